"""The content of the report as plain frozen values: computed once, then drawn, printed and written as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass

from raysweep.core.text import scaled


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval; the ends are None if there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether it has an interval."""
        return self.low is not None and self.high is not None


@dataclass(frozen=True, kw_only=True)
class OptimumRow:
    """The compute-optimal model at a compute: N (parameters), D (atoms or tokens) and the loss that they reach."""

    flops: float
    params: Estimate
    data: Estimate
    loss: Estimate
    extrapolated: bool
    """Whether the compute lies outside that of the points."""
    untried: str = ""
    """Where N or D lies outside the sizes and data of the points, so that the law alone speaks: which, and how."""
    near: tuple[float, float] | None = None
    """Sizes whose loss at the same compute is above the lowest by a share of `regret` at most: the optimum is flat."""
    regret: float | None = None
    law_bends: bool = False
    """Whether it lies beyond the points of a law that they contradict."""
    total: Estimate | None = None
    """Where a loss was asked for, or inference counts: `flops` with its interval, training and inference together."""
    inference: Estimate | None = None
    """The part of it that is inference; None where none counts."""

    @property
    def reservation(self) -> str:
        """Its caveats in a few words; empty if there are none."""
        beyond = "beyond the compute of the points" if self.extrapolated else ""
        bent = "the law bends" if self.law_bends else ""
        return ", ".join(part for part in (beyond, bent, self.untried) if part)


@dataclass(frozen=True, kw_only=True)
class Excluded:
    """A point excluded from the fit, and why."""

    family: str
    params: float
    data: float
    flops: float
    loss: float
    reason: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class ExcludedGroup:
    """The number of points of a family that are excluded for one kind of reason; `reason` is the first of them."""

    family: str
    reason: str
    count: int


def grouped(excluded: Sequence[Excluded]) -> tuple[ExcludedGroup, ...]:
    """Count the excluded points by family and kind, each with the part of the first reason before its colon."""
    groups: dict[tuple[str, str], list[str]] = {}
    for point in excluded:
        reason = point.reason.split(":")[0]
        groups.setdefault((point.family, point.kind or reason), []).append(reason)
    return tuple(
        ExcludedGroup(
            family=family, reason=reasons[0] if len(set(reasons)) == 1 else kind.replace("_", " "), count=len(reasons)
        )
        for (family, kind), reasons in groups.items()
    )


@dataclass(frozen=True, kw_only=True)
class FamilyFit:
    """The fit to the points of one family; exponents are None if the fit gives none."""

    family: str
    points: int
    """Points in the fit."""
    usable: bool
    """Whether the fit has numbers to give."""
    status: str
    """"ok", or the kind of the gravest finding."""
    sentences: tuple[str, ...]
    """What the fit says about itself, the gravest first."""
    cautions: tuple[str, ...] = ()
    """Those of the sentences that take something away from the answer."""
    remarks: tuple[str, ...] = ()
    """A line for each kind of finding, the gravest first."""
    alpha: Estimate | None = None
    beta: Estimate | None = None
    asymptote: Estimate | None = None
    """E: the loss that more compute would not go below, in the fitted law."""
    params_exponent: Estimate | None = None
    data_exponent: Estimate | None = None
    loss_exponent: Estimate | None = None
    """gamma of the law that answers (see `Answers.method`)."""
    envelope_exponent: Estimate | None = None
    """gamma of the power law through the lower envelope, what the study calls direct."""
    optima: tuple[OptimumRow, ...] = ()
    """At the computes that were asked for."""
    path: tuple[OptimumRow, ...] = ()
    """Along the frontier, for drawing."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A family's measured loss at the largest common compute and data."""

    family: str
    loss_at_flops: float | None
    """Lowest loss at that compute, interpolated on its trajectories; None: no usable point there."""
    loss_at_data: float | None
    """Lowest loss of its sizes after that much data."""
    params_at_flops: float | None
    """Size that reaches loss_at_flops."""
    data_at_flops: float | None = None
    """Data on which it reaches it."""
    interval: tuple[float, float] | None = None
    """About loss_at_flops, 95 %: where another run of that size on that data would come out, by the fitted law."""


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The answer in plain words, and the numbers behind it."""

    sentences: tuple[str, ...]
    common_flops: float | None
    common_data: float | None
    standings: tuple[Standing, ...]
    """From the lowest loss at the common compute to the highest."""


@dataclass(frozen=True, kw_only=True)
class FamilyCost:
    """The cost of training a family, forward and backward, and of using it, from its smallest to its largest size."""

    family: str
    params: tuple[float, float]
    flops_per_atom: tuple[float, float]
    flops_per_param_atom: tuple[float, float]
    """C / (N D); 6 for a dense language model."""
    seconds_per_atom: tuple[float, float] | None
    devices: tuple[str, ...]
    md_ms_100: tuple[float, float] | None = None
    """Milliseconds of an MD step of 100 atoms; None where it was not timed."""
    md_ms_1000: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """All answers that the table and the page give about a set of points."""

    method: str
    families: tuple[FamilyFit, ...]
    headline: Headline
    excluded: tuple[Excluded, ...]
    costs: tuple[FamilyCost, ...]
    digest: str
    """SHA-256 of the points."""


def estimate(value: Estimate | None, digits: int = 3) -> str:
    """Format a value and its interval: `0.412 [0.380, 0.447]`."""
    if value is None:
        return "–"
    text = scaled(value.value, digits)
    return f"{text} [{scaled(value.low, digits)}, {scaled(value.high, digits)}]" if value.bounded else text
