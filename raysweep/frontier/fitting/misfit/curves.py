"""Lack of fit of a power law of compute, E + F C^-gamma, through the lowest losses or the minima of valleys."""

from dataclasses import replace

import numpy as np

from raysweep.frontier.fitting.misfit.directions import Axes
from raysweep.frontier.fitting.misfit.lack_of_fit import LackOfFit, lack_of_fit
from raysweep.frontier.numerics.arrays import Floats


def curve_misfit(cost: Floats, residuals: Floats, theta: Floats, free: Floats, centre: float) -> LackOfFit | None:
    """Test whether losses bend away from the power law along compute.

    Args:
        cost: of the losses, shape (n,).
        residuals: ln of measured over predicted loss, shape (n,).
        theta: of the solver, (E, ln F, gamma, ...) at the centre and over the loss scale.
        free: columns span the directions in which theta may move, shape (p', p).
        centre: mean ln C.
    """
    x = np.log(cost) - centre
    term = np.exp(theta[1] - theta[2] * x)
    total = theta[0] + term
    tangent = np.stack([np.ones_like(x), term, -x * term], axis=1) / total[:, None] @ free[:3]
    slope = -theta[2] * term / total
    none = np.zeros_like(cost)
    axes = Axes(
        params=np.ones_like(cost),
        data=cost,
        cost=cost,
        params_slope=none,
        data_slope=slope,
        data_exponent=float(theta[2]),
    )
    found = lack_of_fit(residuals, tangent, axes, np.arange(cost.size))
    if found is None:
        return None
    return replace(found, departures=tuple(one for one in found.departures if one.place.endswith("compute")))
