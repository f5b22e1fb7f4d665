"""The errors of losses about a law, for several families together: run-to-run noise, and the law's own misfit.

In units of a family's noise, with x = ln N and y = ln D of points i and j:

    s_i s_j ((1 - white) exp(-|y_i - y_j| / memory) + white [i = j])   on one run, s = exp(slope (x - centre))
    misfit^2 exp(-((x_i - x_j)^2 + (y_i - y_j)^2) / (2 REACH^2))       between any two points of a family
    drift^2 (a_i a_j W(x_i, x_j) + b_i b_j W(y_i, y_j))                the same

The first is the noise of `fitting.run_noise`: a run differs from others of its size, and remembers it. The others are
what the law is off by (universal kriging: a trend with a Gaussian process about it; Cressie 1993, chapter 3), so that
many small runs never tell of large ones what they cannot know: a smooth function of N and D, and exponents that drift.
W is the covariance of an integrated Wiener process (Wahba 1978), a and b the shares of the loss that the law's terms in
N and D have: laws that break, couple or have an offset depart so from the additive one, the more the farther one looks.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from raysweep.frontier.numerics.arrays import Floats, Indices

REACH = 2.0
"""Distance in ln N and ln D within which a law errs alike: about a factor 7."""
CENTRE = np.array([-0.15, 1.1, -3.0, -1.2, 0.8])
SPREAD = np.array([0.2, 0.8, 1.0, 1.0, 0.8])
"""Gaussian priors of slope, ln memory, logit of white, ln misfit and ln drift. Measured runs of force fields have a
slope of -.35, a memory of 2.2 and 5 % white. A law errs by .3 of what a run does, from a tenth to the whole; with a
noise of 3 % an exponent drifts by .07 over a factor e, from .03 to .15."""
LEAST_WHITE = 1e-3


@dataclass(frozen=True, kw_only=True)
class ErrorForm:
    """One form of the errors; see the module."""

    slope: float
    memory: float
    white: float
    misfit: float
    drift: float


def form_at(place: Floats) -> ErrorForm:
    """The form at a place (5,) of the prior's coordinates."""
    slope, log_memory, logit, log_misfit, log_drift = (float(one) for one in place)
    white = LEAST_WHITE + (1.0 - LEAST_WHITE) * float(expit(logit))
    memory, misfit, drift = (float(np.exp(one)) for one in (log_memory, log_misfit, log_drift))
    return ErrorForm(slope=slope, memory=memory, white=white, misfit=misfit, drift=drift)


@dataclass(frozen=True, kw_only=True)
class PointLayout:
    """Places of points: ln N less the centre and ln D, shape (n, 2), and the run of each, shape (n,)."""

    places: Floats
    run: Indices


def spread_at(form: ErrorForm, layout: PointLayout) -> Floats:
    """Standard deviation of runs at places, in units of that at the centre, shape (n,)."""
    return np.asarray(np.exp(np.clip(form.slope * layout.places[:, 0], -5.0, 5.0)))


def noise_of(form: ErrorForm, layout: PointLayout) -> Floats:
    """Covariance of the noise of runs, shape (n, n)."""
    spread, along = spread_at(form, layout), layout.places[:, 1]
    same = layout.run[:, None] == layout.run[None, :]
    kept = (1.0 - form.white) * np.exp(-np.abs(along[:, None] - along[None, :]) / form.memory) * same
    return np.asarray(spread[:, None] * spread[None, :] * (kept + form.white * np.eye(along.size)))


def likeness(first: PointLayout, second: PointLayout) -> Floats:
    """Correlation of the law's misfit, shape (n, m)."""
    away = ((first.places[:, None, :] - second.places[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(np.exp(-0.5 * away / REACH**2))


def bending(first: Floats, second: Floats) -> Floats:
    """Covariance of a Wiener process integrated from 0 to either side, at places (n,) and (m,), shape (n, m)."""
    one, other = np.abs(first)[:, None], np.abs(second)[None, :]
    least, most = np.minimum(one, other), np.maximum(one, other)
    same = first[:, None] * second[None, :] > 0
    return np.asarray(same * least**2 * (3.0 * most - least) / 6.0)


@dataclass(frozen=True, kw_only=True)
class Smooth:
    """Parts of a covariance of ln loss without the noise of runs, each of shape (n, m): of the law's parameters, of
    drifting exponents, and of the rest of what the law is off by.
    """

    trend: Floats
    drift: Floats
    alike: Floats

    def under(self, form: ErrorForm) -> Floats:
        """Their sum under a form of errors."""
        return np.asarray(self.trend + form.drift**2 * self.drift + form.misfit**2 * self.alike)
