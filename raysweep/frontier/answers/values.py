"""A fit's answers as values: laws in the user's units, optima and predictions, each number with its interval."""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.laws.laws import Curve
from raysweep.frontier.laws.quantities import Law
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import Interval


@dataclass(frozen=True, kw_only=True)
class AdditiveLaw:
    """L = E + A N^-alpha + B D^-beta; a law of one term has no other: its coefficient is 0, its exponent NaN."""

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def __str__(self) -> str:
        terms = (("N", self.A, self.alpha), ("D", self.B, self.beta))
        shown = [f" + {factor:.5g} {name}^-{exponent:.4f}" for name, factor, exponent in terms if factor]
        return f"L = {self.E:.5g}{''.join(shown)}"


@dataclass(frozen=True, kw_only=True)
class DataConstrainedLaw(AdditiveLaw):
    """The additive law of the effective data, U + U R* (1 - e^(-R / R*)) for R repeats of U distinct data."""

    repeats: float
    """R*: the number of repeats after which little is left to learn from the data."""

    def __str__(self) -> str:
        return f"{super().__str__()}, repeats R* = {self.repeats:.3g}"


@dataclass(frozen=True, kw_only=True)
class ExtendedLaw(AdditiveLaw):
    """The additive law with coupled terms, or a power that breaks in N or in D (see `laws.extension`).

    Attributes:
        coupling: k, 1 where the terms add.
        params_bend, data_bend: by how much the exponent is larger before the break, 0 where there is none.
        params_break, data_break: N_b and D_b, 0 where there is none. An offset D_0 is a break with a bend of -beta.
    """

    coupling: float
    params_bend: float
    params_break: float
    data_bend: float
    data_break: float

    def __str__(self) -> str:
        def term(name: str, factor: float, exponent: float, bend: float, place: float) -> str:
            broken = f" (1 + {place:.3g}/{name})^{bend:.3f}" if place else ""
            return f"{factor:.5g} {name}^-{exponent:.4f}{broken}"

        in_n = term("N", self.A, self.alpha, self.params_bend, self.params_break)
        in_d = term("D", self.B, self.beta, self.data_bend, self.data_break)
        if self.coupling == 1.0:
            return f"L = {self.E:.5g} + {in_n} + {in_d}"
        k = f"{self.coupling:.3g}"
        return f"L = {self.E:.5g} + (({in_n})^(1/{k}) + ({in_d})^(1/{k}))^{k}"


@dataclass(frozen=True, kw_only=True)
class CurveLaw:
    """L = E + F C^-gamma on the frontier."""

    E: float
    F: float
    gamma: float

    def __str__(self) -> str:
        return f"L = {self.E:.5g} + {self.F:.5g} C^-{self.gamma:.4f}"


def plain_law(law: Law, *, repeats: bool) -> AdditiveLaw | CurveLaw | DataConstrainedLaw:
    """Convert a law to plain numbers; `repeats`: whether it is the data-constrained one."""
    if isinstance(law, Curve):
        return CurveLaw(E=float(law.E), F=float(np.exp(law.log_F)), gamma=float(law.gamma))
    additive = AdditiveLaw(
        E=float(law.E),
        A=float(np.exp(law.log_A)),
        alpha=float(law.alpha),
        B=float(np.exp(law.log_B)),
        beta=float(law.beta),
    )
    beyond = law.extension
    if beyond is not None:
        return ExtendedLaw(
            **vars(additive),
            coupling=float(np.exp(beyond.log_coupling)),
            params_bend=float(beyond.params_bend),
            params_break=float(np.exp(beyond.log_params_break)),
            data_bend=float(beyond.data_bend),
            data_break=float(np.exp(beyond.log_data_break)),
        )
    return DataConstrainedLaw(**vars(additive), repeats=float(np.exp(law.log_repeats))) if repeats else additive


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A number with its interval (None without bootstraps).

    `caution` is a reservation in a few words, None where there is none: the number lies beyond the points of a fit
    whose law bends (`law_bends`), so that it may be off by more than its interval.
    """

    value: float
    interval: Interval | None
    caution: str | None = None

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        between = "" if self.interval is None else f" [{self.interval.low:.4g}, {self.interval.high:.4g}]"
        return f"{self.value:.4g}{between}{f' ({self.caution})' if self.caution else ''}"


@dataclass(frozen=True, kw_only=True)
class LifetimeCost:
    """What a model costs that is trained once and used for a number of atom-steps, in the fit's unit of cost.

    Attributes:
        steps: M, atom-steps of inference.
        total: training and inference together.
        step: cost of an atom-step, energy and forces of one atom, with N* parameters.
        source: where that is known from: "measured", or the assumption made instead.
    """

    steps: float
    total: Answer
    training: Answer
    inference: Answer
    step: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """The best run at a cost, or the cheapest of a loss.

    Attributes:
        flops: the cost (seconds where the fit counts seconds), that of inference included where it counts.
        params: N*. data: D*. loss: L*.
        params_range: the sizes whose loss exceeds L* by at most `regret` of it at the same cost: the optimum is flat,
            so this range matters more than N* itself. None where the approach knows no loss off the frontier.
        extrapolation: the cost of training over the largest among the points; beyond 1 the answer is an extrapolation.
        lifetime: the parts of the cost, where a loss was asked for, or inference counts; None otherwise.
    """

    flops: float
    params: Answer
    data: Answer
    loss: Answer
    params_range: tuple[float, float] | None
    regret: float
    extrapolation: float
    lifetime: LifetimeCost | None = None

    @property
    def caution(self) -> str | None:
        """The reservation on the answers where they lie beyond the points of a law that bends, None elsewhere."""
        return self.loss.caution


@dataclass(frozen=True, kw_only=True)
class Influence:
    """The exponent a without one trajectory, or point, and its shift in standard errors."""

    rows: tuple[int, ...]
    """The points that were left out together, as rows of the table given."""
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
