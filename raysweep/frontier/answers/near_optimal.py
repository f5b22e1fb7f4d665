"""The flatness of the optimum: the range of sizes that are nearly as good; and answers along a range of costs."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq

from raysweep.frontier.answers.values import Answer, Band, FrontierBand, Optimum
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.laws.lifetime import Usage
from raysweep.frontier.laws.quantities import Law

_FAR = 40.0
"""ln of the factor from N* beyond which a size is called infinitely far."""
_NO_MODEL = 1e100
"""Excess loss of a size whose inference alone costs more than there is."""


def near_optimal(
    law: Law,
    cost: float,
    best: tuple[float, float],
    regret: float,
    unique: float | None,
    usage: Usage | None = None,
) -> tuple[float, float] | None:
    """Range of sizes whose loss at a cost exceeds the best by at most a share `regret` of it.

    Args:
        law: for one that knows no loss off the frontier the range is None.
        cost: of every size.
        best: N* and L* there.
        regret: share of L*.
        unique: amount of distinct data; None: unlimited.
        usage: inference that the cost pays for as well; None: none.
    """
    if not isinstance(law, Surface) or not all(0 < value < np.inf for value in best):
        return None
    surface, target = law, best[1] * (1.0 + regret)

    def excess(log_params: float) -> float:
        params = float(np.exp(log_params))
        left = cost if usage is None else cost - float(usage.cost(params))
        if left <= 0:
            return _NO_MODEL
        return min(float(surface.loss(params, surface.cost.data_for(left, params), unique)) - target, _NO_MODEL)

    centre = float(np.log(best[0]))
    with np.errstate(over="ignore"):
        low = brentq(excess, centre - _FAR, centre) if excess(centre - _FAR) > 0 else -np.inf
        high = brentq(excess, centre, centre + _FAR) if excess(centre + _FAR) > 0 else np.inf
    return float(np.exp(low)), float(np.exp(high))


def frontier_band(optima: Sequence[Optimum]) -> FrontierBand:
    """Collect optima along costs in arrays, for figures."""
    return FrontierBand(
        flops=np.array([one.flops for one in optima], dtype=float),
        params=band([one.params for one in optima]),
        data=band([one.data for one in optima]),
        loss=band([one.loss for one in optima]),
    )


def band(answers: Sequence[Answer]) -> Band:
    """Collect answers along a line in arrays, with NaN where there is no interval."""
    return Band(
        value=np.array([answer.value for answer in answers]),
        low=np.array([answer.interval.low if answer.interval else np.nan for answer in answers]),
        high=np.array([answer.interval.high if answer.interval else np.nan for answer in answers]),
    )
