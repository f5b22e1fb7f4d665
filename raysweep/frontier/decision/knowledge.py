"""What points tell of a family's loss elsewhere: the law linearised at its fit, errors that a run remembers, misfit.

The errors of ln loss on a run are those of `fitting.run_noise`. The law itself is taken to be off by a smooth function
of ln N and ln D (universal kriging: a trend with a Gaussian process about it), so that many small runs never tell of
large ones what they cannot know. All is Gaussian; what a run adds does not depend on what it will measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.frontier.fitting.surfaces import log_loss_gradient, prepare, to_theta
from raysweep.frontier.fitting.trajectories import trajectories
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.result import Fit

MISFIT = 0.01
"""Standard deviation of what a law errs by in ln loss, far from any point."""
REACH = 2.0
"""E-folding distance in ln N and ln D (of the squared distance over 2) within which it errs alike."""
_OPEN = 2.0
"""Standard deviation of the prior of the law's parameters in the solver's units: a factor e^2 of a coefficient."""
_LEAST_NOISE = 1e-4
_LEAST_TRUST = 1e-3


@dataclass(frozen=True, kw_only=True)
class Place:
    """A point on a run: ln N, ln D, and which run; runs of the same number share their errors."""

    log_params: float
    log_data: float
    run: int


class Knowledge:
    """The joint covariance of a family's ln loss at the optimum of a compute, and of points that could be measured."""

    def __init__(self, fit: Fit, flops: float, places: Sequence[Place]) -> None:
        self._fit = fit
        surface = fit.surface
        self._prepared = prepare(fit.samples, fit.form)
        self._theta = to_theta(self._prepared, surface, fit.form)
        params, data, _ = (float(value) for value in surface.optimum(flops))
        samples = fit.samples
        measured = np.column_stack([np.log(samples.params), np.log(samples.data)])
        wanted = np.array([(np.log(params), np.log(data)), *((one.log_params, one.log_data) for one in places)])
        runs = np.array([-1, *(one.run for one in places)])
        noise = self._noise(measured, trajectories(samples)) + np.diag(self._doubt(measured))
        across = self._prior(wanted, measured)
        known = np.linalg.solve(self._prior(measured, measured) + noise, across.T)
        self.latent = self._prior(wanted, wanted) - across @ known
        """Covariance of the target (row 0) and the places, without the errors of runs to come."""
        errors = self._noise(wanted[1:], runs[1:])
        self.joint = self.latent.copy()
        self.joint[1:, 1:] += errors

    @property
    def variance(self) -> float:
        """Of ln loss at the optimum of the compute."""
        return max(float(self.joint[0, 0]), 0.0)

    def fall(self, rows: Indices) -> float:
        """By how much measuring some places lowers the variance."""
        block, towards = self.joint[np.ix_(rows, rows)], self.joint[rows, 0]
        return float(towards @ np.linalg.solve(block, towards))

    def measure(self, rows: Indices) -> None:
        """Condition on measurements of some places."""
        gain = np.linalg.solve(self.joint[np.ix_(rows, rows)], self.joint[rows, :])
        self.joint = self.joint - self.joint[:, rows] @ gain
        self.joint[np.diag_indices_from(self.joint)] += 1e-14

    def _prior(self, first: Floats, second: Floats) -> Floats:
        """Covariance of ln loss at two sets of places (m, 2): the law's parameters and what it errs by."""
        trend = self._gradient(first) @ self._gradient(second).T * _OPEN**2
        away = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=2)
        return np.asarray(trend + MISFIT**2 * np.exp(-0.5 * away / REACH**2))

    def _gradient(self, places: Floats) -> Floats:
        at = np.exp(places)
        return np.asarray(log_loss_gradient(self._prepared, self._fit.form, self._theta, at[:, 0], at[:, 1]))

    def _noise(self, places: Floats, runs: Indices) -> Floats:
        """Covariance of the errors of runs at places (m, 2)."""
        known = self._fit.run_noise
        if known is None:
            return np.asarray(max(float(self._fit.noise), _LEAST_NOISE) ** 2 * np.eye(places.shape[0]))
        spread = np.maximum([known.at(float(np.exp(one))) for one in places[:, 0]], _LEAST_NOISE)
        away = np.abs(places[:, None, 1] - places[None, :, 1])
        kept = (1.0 - known.white) * np.exp(-away / known.memory) * (runs[:, None] == runs[None, :])
        white = max(known.white, 1e-3) * np.eye(places.shape[0])
        return np.asarray(spread[:, None] * spread[None, :] * (kept + white))

    def _doubt(self, places: Floats) -> Floats:
        """Variance added to that of points that weigh less than others."""
        samples, trust = self._fit.samples, self._fit.trust
        weight = samples.weight / samples.weight.max() * (1.0 if trust is None else trust)
        own = np.diag(self._noise(places, np.arange(places.shape[0])))
        return np.asarray(own * (1.0 / np.maximum(weight, _LEAST_TRUST) - 1.0))
