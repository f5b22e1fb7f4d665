"""Laws and noise of force fields before anything is measured: the published exponents, at raysweep's own scale.

They say what a planned grid may be expected to tell, not what a family does: its own points replace them.
"""

from itertools import product

import numpy as np

from raysweep.frontier.fitting.run_noise.noise import RunNoise
from raysweep.frontier.laws.laws import CostModel, Surface

EXPONENTS = (
    (0.28, 0.31),  # MPNN, 2510.09768
    (0.39, 0.39),  # MC-EGNN
    (0.52, 0.50),  # GemNet-OC
    (0.82, 0.75),  # eSEN
    (0.28, 0.57),  # mpnn, raysweep's own curves of 48 k to 3.1 M atoms (docs/frontier.md)
    (0.33, 0.53),  # egnn
    (0.50, 0.68),  # tensor, l = 2
)
"""Alpha and beta of force fields."""
_PLACE = (1e4, 1e6)
"""N and D at which raysweep's own curves have a loss of about .3, from terms in N and D that are nearly alike."""
_LOSS = 0.3
_SHARES = (0.4, 0.6, 0.75)
"""Of the term in N in the loss there; the three of raysweep's own curves have .66, .53 and .59."""
_ASYMPTOTE = 0.03
"""E: published ones are about 0, and an eighth of a loss leaves room for less than that."""
USUAL_NOISE = RunNoise(
    deviation=0.04, params=1e4, slope=-0.15, memory=3.0, white=0.05, degrees_of_freedom=10.0, families=0, seeds=0
)
"""What runs of one size differ by: 3-6 % of the loss, with correlations of .8, .65, .5, .4 at factors 2, 4, 8, 16 in D
(docs/frontier.md)."""


def usual_laws(cost: CostModel) -> tuple[Surface, ...]:
    """The laws of a prior, all alike probable, with the cost of a family's runs."""
    return tuple(_law(alpha, beta, share, cost) for (alpha, beta), share in product(EXPONENTS, _SHARES))


def _law(alpha: float, beta: float, share: float, cost: CostModel) -> Surface:
    above = _LOSS - _ASYMPTOTE
    return Surface(
        E=_ASYMPTOTE,
        log_A=float(np.log(share * above) + alpha * np.log(_PLACE[0])),
        alpha=alpha,
        log_B=float(np.log((1 - share) * above) + beta * np.log(_PLACE[1])),
        beta=beta,
        cost=cost,
    )
