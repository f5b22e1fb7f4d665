"""Curvature along runs: whether all runs steepen, or flatten, more than the law says.

The coefficient of (ln D)^2 in each run's residuals is one number a run, so that a t-test of their mean needs nothing of
how a run's deviations are remembered. It sees transitions that no window is long enough to show: an additive law never
steepens.
"""

import numpy as np
from scipy import special

from raysweep.frontier.numerics.arrays import Floats, Indices

LEAST_RUNS = 4
LEAST_POINTS = 4
LEAST_FACTOR = 4.0
"""Of D that a run spans."""


def mean_curvature(residuals: Floats, unit: Indices, data: Floats) -> tuple[float, float, int, float] | None:
    """Test the mean curvature of the residuals along runs.

    Returns:
        p-value (two-sided), F = t^2, its degrees of freedom, and the departure at the ends of a run; None where fewer
        than `LEAST_RUNS` runs show their curvature.
    """
    curvature, reach = run_curvatures(residuals, unit, data)
    if curvature.size < LEAST_RUNS:
        return None
    error = max(float(curvature.std(ddof=1)) / np.sqrt(curvature.size), 1e-300)
    t = float(curvature.mean()) / error
    degrees = curvature.size - 1
    p_value = 2.0 * float(special.stdtr(degrees, -abs(t)))
    return p_value, t * t, degrees, abs(float(curvature.mean())) * float(reach.mean()) ** 2


def run_curvatures(residuals: Floats, unit: Indices, data: Floats) -> tuple[Floats, Floats]:
    """The curvature of each run that shows one, and half of its span in ln D, each of shape (runs,)."""
    found = []
    for run in np.unique(unit):
        y, z = np.log(data[unit == run]), residuals[unit == run]
        if y.size >= LEAST_POINTS and np.ptp(y) >= np.log(LEAST_FACTOR):
            found.append((float(np.polyfit(y - y.mean(), z, 2)[0]), float(np.ptp(y)) / 2.0))
    columns = np.array(found).reshape(-1, 2)
    return columns[:, 0], columns[:, 1]


def steepening_p_value(curvature: Floats) -> float:
    """Chance that runs steepen as much as these on average (negative curvature) without a cause, by a t-test."""
    if curvature.size < 2:
        return 1.0
    error = max(float(curvature.std(ddof=1)) / np.sqrt(curvature.size), 1e-300)
    return float(special.stdtr(curvature.size - 1, float(curvature.mean()) / error))
