"""The laws by name: how each is written, and which parameters it leaves free."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from raysweep.frontier.numerics.arrays import Floats

LawName = Literal[
    "additive", "tied", "data_constrained", "params", "data", "coupled", "broken_params", "broken_data", "offset"
]
E, LOG_A, ALPHA, LOG_B, BETA, LOG_COUPLING, BEND_N, BREAK_N, BEND_D, BREAK_D = range(10)
"""Places of a law's parameters in the solver's theta; the additive law and its restrictions have the first five."""
Direction = tuple[tuple[int, float], ...]
"""Places of theta that move together, each with its share."""


@dataclass(frozen=True, kw_only=True)
class LawForm:
    """A law's formula, and its free parameters.

    Attributes:
        formula: as a reader knows it.
        free: the parameters that are fitted, in order. E is the first in every law, and `asymptote` holds it.
        further: parameters that are fitted outside of the solver.
    """

    formula: str
    free: tuple[Direction, ...]
    further: int = 0

    @property
    def extended(self) -> bool:
        """Whether the law has more than the additive one."""
        return any(place > BETA for together in self.free for place, _ in together)

    @property
    def ties_exponents(self) -> bool:
        """Whether alpha and beta move together."""
        return any({ALPHA, BETA} <= {place for place, _ in together} for together in self.free)

    @property
    def directions(self) -> Floats:
        """The free directions of theta as columns, shape (5, p), or (10, p) for a law that extends the additive one."""
        columns = np.zeros((BREAK_D + 1 if self.extended else BETA + 1, len(self.free)))
        for column, together in enumerate(self.free):
            for place, share in together:
                columns[place, column] = share
        return columns


def _alone(*places: int) -> tuple[Direction, ...]:
    return tuple(((place, 1.0),) for place in places)


_ADDITIVE = _alone(E, LOG_A, ALPHA, LOG_B, BETA)
LAWS: dict[LawName, LawForm] = {
    "additive": LawForm(formula="L(N, D) = E + A N^-alpha + B D^-beta", free=_ADDITIVE),
    "tied": LawForm(
        formula="L(N, D) = E + A N^-alpha + B D^-alpha",
        free=(*_alone(E, LOG_A), ((ALPHA, 1.0), (BETA, 1.0)), *_alone(LOG_B)),
    ),
    "data_constrained": LawForm(
        formula="L(N, D, U) = E + A N^-alpha + B D'^-beta, D' = U + U R* (1 - exp(-(D/U - 1) / R*))",
        free=_ADDITIVE,
        further=1,
    ),
    "params": LawForm(formula="L(N) = E + A N^-alpha", free=_alone(E, LOG_A, ALPHA)),
    "data": LawForm(formula="L(D) = E + B D^-beta", free=_alone(E, LOG_A, ALPHA)),
    "coupled": LawForm(
        formula="L(N, D) = E + ((A N^-alpha)^(1/k) + (B D^-beta)^(1/k))^k", free=(*_ADDITIVE, *_alone(LOG_COUPLING))
    ),
    "broken_params": LawForm(
        formula="L(N, D) = E + A N^-alpha (1 + N_b/N)^delta + B D^-beta", free=(*_ADDITIVE, *_alone(BEND_N, BREAK_N))
    ),
    "broken_data": LawForm(
        formula="L(N, D) = E + A N^-alpha + B D^-beta (1 + D_b/D)^delta", free=(*_ADDITIVE, *_alone(BEND_D, BREAK_D))
    ),
    "offset": LawForm(
        formula="L(N, D) = E + A N^-alpha + B (D + D_0)^-beta",
        free=(*_alone(E, LOG_A, ALPHA, LOG_B), ((BETA, 1.0), (BEND_D, -1.0)), *_alone(BREAK_D)),
    ),
}
"""Coupled terms as in 2001.08361 (eq. 1.5, without E there) and 2608.07222; smooth breaks as in 2210.14891."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """One of `LAWS`, and its fixed parameters."""

    law: LawName = "additive"
    asymptote: float | None = None
    """E where it is fixed, None where it is fitted."""
    over: float = 1.0
    """Weight of points above the law relative to those below it (1: symmetric)."""
    toward_largest: bool = False
    """Whether points weigh more the nearer they are to the largest compute (`points.weighting`)."""

    @property
    def parameters(self) -> int:
        """The number of fitted parameters."""
        of = LAWS[self.law]
        return len(of.free) + of.further - (self.asymptote is not None)
