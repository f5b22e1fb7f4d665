"""Each family's loss at a compute with its spread, and the difference of two of them at any level."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from raysweep.core.errors import FrontierError
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.laws.quantities import quantity
from raysweep.frontier.result import Fit

_BASE = 0.90
"""Level of the interval that others are scaled from: its ends are known from few draws."""


@dataclass(frozen=True, kw_only=True)
class LogLoss:
    """The logarithm of a family's lowest loss at a compute.

    Attributes:
        value: the estimate. below, above: distances to the ends of its interval at a one-sided level of 95 %.
        degrees_of_freedom: of Student's t, by which the distances are scaled to other levels.
    """

    value: float
    below: float
    above: float
    degrees_of_freedom: float

    def distances(self, error: float) -> tuple[float, float]:
        """Distances below and above that are each exceeded with a probability of `error`."""
        scale = float(
            stdtrit(self.degrees_of_freedom, 1.0 - error) / stdtrit(self.degrees_of_freedom, 0.5 + 0.5 * _BASE)
        )
        return self.below * scale, self.above * scale


def log_loss_at(fit: Fit, flops: float) -> LogLoss | str:
    """Estimate the logarithm of a family's lowest loss at a compute.

    Returns:
        The reason as text where the fit cannot tell it.
    """
    if not fit.status.usable or fit.estimate is None:
        return str(fit.status)
    try:
        wanted = quantity(fit.known, "optimal_loss", flops)
        value = float(np.log(wanted.value(fit.known)))
        interval = fit.interval("optimal_loss", _BASE, flops=flops)
    except FrontierError as error:
        return str(error)
    if not np.isfinite(value) or not 0 < interval.low <= interval.high < np.inf:
        return f"its loss at {flops:.3g} FLOPs is not finite"
    factor = 1.0
    if flops > fit.samples.cost.max() and isinstance(fit.known, Surface):
        factor = fit.extrapolation_factor
    return LogLoss(
        value=value,
        below=factor * max(value - float(np.log(interval.low)), 0.0),
        above=factor * max(float(np.log(interval.high)) - value, 0.0),
        degrees_of_freedom=max(float(fit.degrees_of_freedom), 1.0),
    )


def log_difference(first: LogLoss, second: LogLoss, error: float) -> tuple[float, float, float]:
    """The difference of two logarithms of the loss and its ends, each exceeded with a probability of `error`.

    Distances add in quadrature (Zou and Donner 2008), which keeps skewed intervals skewed.
    """
    (below, above), (other_below, other_above) = first.distances(error), second.distances(error)
    value = first.value - second.value
    return value, value - float(np.hypot(below, other_above)), value + float(np.hypot(above, other_below))
