"""The form of a law: its terms, and what of it is held fixed."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Form:
    """Which law: "additive", "tied" (alpha = beta), "data_constrained", "params" or "data" (one term)."""

    law: str = "additive"
    asymptote: float | None = None
    """E where it is fixed, None where it is fitted."""
    over: float = 1.0
    """Weight of points above the law relative to those below it (1: symmetric)."""

    @property
    def parameters(self) -> int:
        """The number of fitted parameters."""
        count = {"additive": 5, "data_constrained": 6, "tied": 4, "params": 3, "data": 3}[self.law]
        return count - (self.asymptote is not None)
