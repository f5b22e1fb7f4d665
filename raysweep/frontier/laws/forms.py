"""The laws by name: how each is written, and which parameters of the additive law it leaves free."""

from dataclasses import dataclass
from typing import Literal

LawName = Literal["additive", "tied", "data_constrained", "params", "data"]
E, LOG_A, ALPHA, LOG_B, BETA = range(5)
"""Places of the additive law's parameters in the solver's theta."""


@dataclass(frozen=True, kw_only=True)
class LawForm:
    """How a law is written, and what of the additive law moves in it.

    Attributes:
        formula: as a reader knows it.
        free: the parameters that are fitted, in order; places in one group are one parameter. E is the first in every
            law, and `asymptote` holds it.
        further: parameters that are fitted outside of the solver.
    """

    formula: str
    free: tuple[tuple[int, ...], ...]
    further: int = 0


_EACH = ((E,), (LOG_A,), (ALPHA,), (LOG_B,), (BETA,))
LAWS: dict[LawName, LawForm] = {
    "additive": LawForm(formula="L(N, D) = E + A N^-alpha + B D^-beta", free=_EACH),
    "tied": LawForm(formula="L(N, D) = E + A N^-alpha + B D^-alpha", free=((E,), (LOG_A,), (ALPHA, BETA), (LOG_B,))),
    "data_constrained": LawForm(
        formula="L(N, D, U) = E + A N^-alpha + B D'^-beta, D' = U + U R* (1 - exp(-(D/U - 1) / R*))",
        free=_EACH,
        further=1,
    ),
    "params": LawForm(formula="L(N) = E + A N^-alpha", free=((E,), (LOG_A,), (ALPHA,))),
    "data": LawForm(formula="L(D) = E + B D^-beta", free=((E,), (LOG_A,), (ALPHA,))),
}


@dataclass(frozen=True, kw_only=True)
class Form:
    """Which of `LAWS`, and what of it is held fixed."""

    law: LawName = "additive"
    asymptote: float | None = None
    """E where it is fixed, None where it is fitted."""
    over: float = 1.0
    """Weight of points above the law relative to those below it (1: symmetric)."""

    @property
    def parameters(self) -> int:
        """The number of fitted parameters."""
        of = LAWS[self.law]
        return len(of.free) + of.further - (self.asymptote is not None)
