"""What losses err by about a law: the noise of runs, and the law's own misfit, of several families together.

In units of a family's noise, with x = ln N and y = ln D of points i and j:

    s_i s_j ((1 - white) exp(-|y_i - y_j| / memory) + white [i = j])   on one run, s = exp(slope (x - centre))
    misfit^2 exp(-((x_i - x_j)^2 + (y_i - y_j)^2) / (2 REACH^2))       between any two points of a family

The first is the noise of `fitting.run_noise`: a run differs from others of its size, and remembers it. The second is
what the law is off by, a smooth function of N and D (universal kriging: a trend with a Gaussian process about it;
Cressie 1993, chapter 3), so that many small runs never tell of large ones what they cannot know.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from raysweep.frontier.numerics.arrays import Floats, Indices

REACH = 2.0
"""Distance in ln N and ln D within which a law errs alike: about a factor 7."""
CENTRE = np.array([-0.15, 1.1, -3.0, -0.7])
SPREAD = np.array([0.2, 0.8, 1.0, 1.0])
"""Gaussian priors of slope, ln memory, logit of white and ln misfit. Measured runs of force fields have a slope of
-.35, a memory of 2.2 and 5 % white; a law errs by half of what a run does, from a fifth to the whole."""
LEAST_WHITE = 1e-3


@dataclass(frozen=True, kw_only=True)
class ErrorForm:
    """One form of the errors; see the module."""

    slope: float
    memory: float
    white: float
    misfit: float


def form_at(place: Floats) -> ErrorForm:
    """The form at a place (4,) of the prior's coordinates."""
    slope, log_memory, logit, log_misfit = (float(one) for one in place)
    white = LEAST_WHITE + (1.0 - LEAST_WHITE) * float(expit(logit))
    return ErrorForm(slope=slope, memory=float(np.exp(log_memory)), white=white, misfit=float(np.exp(log_misfit)))


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Places of points: ln N less the centre and ln D, shape (n, 2), and the run of each, shape (n,)."""

    places: Floats
    run: Indices


def spread_at(form: ErrorForm, layout: Layout) -> Floats:
    """Standard deviation of runs at places, in units of that at the centre, shape (n,)."""
    return np.asarray(np.exp(np.clip(form.slope * layout.places[:, 0], -5.0, 5.0)))


def noise_of(form: ErrorForm, layout: Layout) -> Floats:
    """Covariance of the noise of runs, shape (n, n)."""
    spread, along = spread_at(form, layout), layout.places[:, 1]
    same = layout.run[:, None] == layout.run[None, :]
    kept = (1.0 - form.white) * np.exp(-np.abs(along[:, None] - along[None, :]) / form.memory) * same
    return np.asarray(spread[:, None] * spread[None, :] * (kept + form.white * np.eye(along.size)))


def likeness(first: Layout, second: Layout) -> Floats:
    """Correlation of what the law is off by, shape (n, m)."""
    away = ((first.places[:, None, :] - second.places[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(np.exp(-0.5 * away / REACH**2))
