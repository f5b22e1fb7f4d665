"""One number of one family, on the scale on which differences are taken, with the spread from its interval.

The spread is the fit's own interval, with whatever widened it, and not its raw draws: so a difference widens beyond
the points as the two numbers do.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from raysweep.frontier.answers.uncertainty import LARGEST_LOG
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.laws.quantities import quantity
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import Interval
from raysweep.frontier.result import Fit

_OPTIMAL = {"optimal_params": "params", "optimal_data": "data", "optimal_loss": "loss"}


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A number and how it is spread.

    Attributes:
        answer: the fit's own. value: the same on the scale of differences (the logarithm of what is positive).
        below, above: distances to the ends of its interval; NaN where there is none.
        degrees_of_freedom: of Student's t, infinite where the interval is a quantile of the draws.
        draws: on the scale of differences, shape (k,).
    """

    answer: Answer
    value: float
    below: float
    above: float
    degrees_of_freedom: float
    draws: Floats

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite(self.below + self.above))

    def at(self, share: Floats, level: float) -> Floats:
        """A quantile of the number's distribution; `level` is that of the interval."""
        if np.isfinite(self.degrees_of_freedom):
            error = self.above / float(stdtrit(self.degrees_of_freedom, 0.5 + 0.5 * level))
            return np.asarray(self.value + error * stdtrit(self.degrees_of_freedom, share))
        draws = self.draws[np.isfinite(self.draws)]
        low, high = np.quantile(draws, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
        stretch = (self.below + self.above) / max(float(high - low), 1e-300)
        return np.asarray(self.value - self.below + (np.quantile(draws, share) - low) * stretch)


def spread_of(fit: Fit, name: str, flops: float | None, level: float) -> Spread:
    """Evaluate a quantity of a fit and take its spread from its interval.

    Raises:
        FrontierError: the fit has no such quantity, or no optimum.
    """
    answer = answer_of(fit, name, flops, level)
    wanted = quantity(fit.known, name, flops)
    logarithmic = wanted.positive
    draws = np.empty(0) if fit.draws is None else np.atleast_1d(wanted.value(fit.draws))
    with np.errstate(divide="ignore", invalid="ignore"):
        value, draws = (np.log(part) if logarithmic else part for part in (np.asarray(answer.value), draws))
    below = above = float("nan")
    freedom = float("inf")
    interval = answer.interval
    if interval is not None and np.isfinite(value):
        low, high = (_log(end) if logarithmic else end for end in interval)
        below, above = float(value) - low, high - float(value)
        if interval.method == "studentised":  # symmetric, but for its lower end, which may be cut off at 0
            below, freedom = above, float(fit.degrees_of_freedom)
    return Spread(
        answer=answer,
        value=float(value),
        below=max(below, 0.0),
        above=max(above, 0.0),
        degrees_of_freedom=freedom,
        draws=draws,
    )


def answer_of(fit: Fit, name: str, flops: float | None, level: float) -> Answer:
    """A fit's own answer, which beyond its points is widened and has a reservation where its law bends."""
    if name in _OPTIMAL and flops is not None:
        found: Answer = getattr(fit.optimal(flops, level=level), _OPTIMAL[name])
        return found
    return fit.answer(name, level)


def _log(value: float) -> float:
    return float(np.log(value)) if value > 0 else -LARGEST_LOG


def difference_of(
    first: Spread, second: Spread, level: float, correlation: float = 0.0
) -> tuple[float, float, float] | None:
    """Distances below and above the difference of two numbers to the ends of its interval, and its degrees of freedom.

    The distances of the two intervals are added in quadrature, less their correlation (Zou and Donner 2008; Zou 2007),
    which keeps skewed intervals skewed. Student's t has the degrees of freedom of Welch (1947) and Satterthwaite
    (1946); the fewer of the two where the numbers are correlated; and quantiles of draws stay as they are.

    Returns:
        None where one of the two has no interval.
    """
    if not first.known or not second.known:
        return None
    spreads, freedom = (first, second), float("inf")
    shrink = [1.0, 1.0]
    degrees = [one.degrees_of_freedom for one in spreads]
    if np.all(np.isfinite(degrees)):
        quantiles = [float(stdtrit(of, 0.5 + 0.5 * level)) for of in degrees]
        variances = np.array([(one.above / t) ** 2 for one, t in zip(spreads, quantiles, strict=True)])
        freedom = float(min(degrees))
        if correlation == 0.0 and variances.sum() > 0:
            freedom = float(variances.sum() ** 2 / np.sum(variances**2 / np.array(degrees)))
        shrink = [float(stdtrit(freedom, 0.5 + 0.5 * level)) / t for t in quantiles]
    (below, above), (other_below, other_above) = (
        (one.below * factor, one.above * factor) for one, factor in zip(spreads, shrink, strict=True)
    )
    low = below**2 + other_above**2 - 2.0 * correlation * below * other_above
    high = above**2 + other_below**2 - 2.0 * correlation * above * other_below
    return float(np.sqrt(max(low, 0.0))), float(np.sqrt(max(high, 0.0))), freedom


def interval_about(value: float, distances: tuple[float, float], level: float, method: str, scale: str) -> Interval:
    """The interval of a difference on the scale that it is told on: see `told`."""
    low, high = (told(value + away, scale) for away in (-distances[0], distances[1]))
    return Interval(low=low, high=high, level=level, method=method)


def told(difference: float, scale: str) -> float:
    """A difference as it is told: itself, or of logarithms as a "ratio" or a "relative difference" (ratio less 1)."""
    if scale == "difference":
        return difference
    bounded = min(max(difference, -LARGEST_LOG), LARGEST_LOG)
    return float(np.exp(bounded)) if scale == "ratio" else float(np.expm1(bounded))
