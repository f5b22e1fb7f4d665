"""Weights of points by how near they are to the largest compute.

Where a law does not hold throughout, its parameters drift with scale, and what is asked of it lies beyond the largest
runs: those then tell most. This is a local fit (Cleveland 1979) whose kernel is one-sided: a power of compute.
"""

from dataclasses import replace

import numpy as np

from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.samples import Samples

STEEPEST = 1.0
"""The power of compute that weights fall with at most: a tenth of the compute, a tenth of the weight."""
POINTS_PER_PARAMETER = 2.0
"""Effective points for each of the law's parameters that are left at least."""
_HALVINGS = 30


def toward_largest(samples: Samples, parameters: int) -> Samples:
    """Multiply the weights by (C / largest C)^power.

    The power is `STEEPEST`, or the largest at which the effective number of points is still
    `POINTS_PER_PARAMETER` times the law's parameters; 0 where there are fewer points than that.
    """
    log_cost = np.log(samples.cost / samples.cost.max())
    least = POINTS_PER_PARAMETER * parameters

    def weight(power: float) -> Floats:
        return np.asarray(samples.weight * np.exp(power * log_cost))

    low, high = 0.0, STEEPEST
    if effective(weight(high)) >= least:
        return replace(samples, weight=weight(high))
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if effective(weight(middle)) >= least else (low, middle)
    return replace(samples, weight=weight(low))


def effective(weight: Floats) -> float:
    """Effective number of points of given weights (Kish 1965)."""
    return float(weight.sum() ** 2 / (weight**2).sum())
