"""Intervals of whatever follows from a law: from its refits to bootstrap resamples and without each resampling unit."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.laws.quantities import Law, Quantity
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, Interval, interval_of

LARGEST_LOG = 700.0
"""exp of more overflows a double."""


@dataclass(frozen=True, kw_only=True)
class Uncertainty:
    """A law and its refits.

    Attributes:
        estimate: the law.
        draws: refitted to each bootstrap resample, None where no bootstrap was asked for.
        jackknife: refitted without each resampling unit; None where the fit is not smooth in the points.
        degrees_of_freedom: of Student's t.
        clustered: whether some resampling units are of several points.
        complete: whether the draws have all that is uncertain, so that their quantiles are the interval.
    """

    estimate: Law
    draws: Law | None
    jackknife: Law | None
    degrees_of_freedom: int
    clustered: bool
    complete: bool = False

    def answer(self, wanted: Quantity, level: float) -> Answer:
        """Evaluate a quantity, with its interval where there are draws to take it from."""
        return Answer(value=float(wanted.value(self.estimate)), interval=self.interval(wanted, level))

    def interval(self, wanted: Quantity, level: float, method: str = "default") -> Interval | None:
        """Take the interval of a quantity; None where there are too few draws, or its value is not finite.

        Raises:
            FrontierError: the level is not a share, or there is no such method.
        """
        if not 0 < level < 1:
            raise FrontierError(f"level = {level}: give a share between 0 and 1, such as 0.95")
        if self.draws is None or np.size(self.draws.E) < LEAST_DRAWS:
            return None
        scale = np.log if wanted.positive else np.asarray
        with np.errstate(divide="ignore", invalid="ignore"):
            estimate = float(scale(wanted.value(self.estimate)))
            draws = np.asarray(scale(wanted.value(self.draws)))
            jackknife = None if self.jackknife is None else np.asarray(scale(wanted.value(self.jackknife)))
        if not np.isfinite(estimate):
            return None
        low, high, used = self._ends(estimate, draws, jackknife, level, method)
        if wanted.positive:
            low, high = float(np.exp(low)), float(np.exp(min(high, LARGEST_LOG)))
        return Interval(low=max(low, wanted.least), high=high, level=level, method=used)

    def log_loss_interval(self, loss: Callable[[Surface], Floats], level: float) -> Interval | None:
        """Take the interval of ln loss off the frontier, before a run's own noise; None where there are too few draws.

        Args:
            loss: of a law or of all its refits.
            level: coverage aimed at.
        """
        if not isinstance(self.draws, Surface) or np.size(self.draws.E) < LEAST_DRAWS:
            return None
        assert isinstance(self.estimate, Surface)
        jackknife = None
        if self.clustered and isinstance(self.jackknife, Surface):
            jackknife = np.log(loss(self.jackknife))
        estimate = float(np.log(float(loss(self.estimate))))
        low, high, used = self._ends(estimate, np.log(loss(self.draws)), jackknife, level, "default")
        return Interval(low=low, high=high, level=level, method=used)

    def _ends(
        self, estimate: float, draws: Floats, jackknife: Floats | None, level: float, method: str
    ) -> tuple[float, float, str]:
        if self.complete and method == "default":
            method = "percentile"
        return interval_of(estimate, draws, jackknife, level, self.degrees_of_freedom, self.clustered, method)
