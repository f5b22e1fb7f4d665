"""What a fit answers, as values: laws in the user's units, optima and predictions, each number with its interval."""

from dataclasses import dataclass

from raysweep.frontier.numerics.intervals import Interval
from raysweep.frontier.numerics.solver import Floats


@dataclass(frozen=True, kw_only=True)
class AdditiveLaw:
    """L = E + A N^-alpha + B D^-beta."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def __str__(self) -> str:
        return f"L = {self.E:.5g} + {self.A:.5g} N^-{self.alpha:.4f} + {self.B:.5g} D^-{self.beta:.4f}"


@dataclass(frozen=True, kw_only=True)
class DataConstrainedLaw(AdditiveLaw):
    """The additive law in the worth of the data, U + U R* (1 - e^(-R / R*)) for R repeats of U distinct data."""

    repeats: float
    """R*: after so many repeats little is left to learn from the data."""

    def __str__(self) -> str:
        return f"{super().__str__()}, repeats R* = {self.repeats:.3g}"


@dataclass(frozen=True, kw_only=True)
class CurveLaw:
    """L = E + F C^-gamma on the frontier."""

    E: float
    F: float
    gamma: float

    def __str__(self) -> str:
        return f"L = {self.E:.5g} + {self.F:.5g} C^-{self.gamma:.4f}"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A number with its interval (None where no bootstrap was asked for)."""

    value: float
    interval: Interval | None

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} [{self.interval.low:.4g}, {self.interval.high:.4g}]"


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The compute-optimal run at a cost.

    Attributes:
        flops: the cost asked for (seconds where the fit counts seconds).
        params: N*. data: D*. loss: L*.
        params_range: the sizes whose loss exceeds L* by at most `regret` of it at the same cost: the optimum is flat,
            so this range matters more than N* itself. None where the approach knows no loss off the frontier.
        extrapolation: the cost over the largest cost among the points; beyond 1 the answer is an extrapolation.
    """

    flops: float
    params: Answer
    data: Answer
    loss: Answer
    params_range: tuple[float, float] | None
    regret: float
    extrapolation: float


@dataclass(frozen=True, kw_only=True)
class Influence:
    """What one trajectory, or point, does to the exponent a: its value without it, and the shift in standard errors."""

    rows: tuple[int, ...]
    """Of the table given: the points that were left out together."""
    params_exponent: float
    shift: float


@dataclass(frozen=True, kw_only=True)
class Band:
    """A line with its pointwise interval, arrays of shape (m,)."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, kw_only=True)
class FrontierBand:
    """The frontier along m costs: N*, D* and L* with bands, for figures."""

    flops: Floats
    params: Band
    data: Band
    loss: Band
