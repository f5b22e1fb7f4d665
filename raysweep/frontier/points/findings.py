"""Findings about points and fits: typed, with a sentence for a person. Nothing goes wrong silently."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


class Severity(IntEnum):
    """The effect of a finding on the answer."""

    NOTE = 1  # the answer stands
    CAUTION = 2  # the answer stands with the reservation that the sentence names
    FATAL = 3  # there is no answer, or none that should be used

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        """Read and write the name, not the number."""
        from pydantic_core import core_schema  # here, since a fit needs no pydantic

        return core_schema.no_info_plain_validator_function(
            cls.__getitem__,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda severity: severity.name),
        )


class Kind(StrEnum):
    """The kinds of findings."""

    OK = "ok"
    NOT_CONVERGED = "not_converged"
    STARTS_DISAGREE = "starts_disagree"
    BOUND_ACTIVE = "bound_active"
    ASYMPTOTE_NOT_IDENTIFIED = "asymptote_not_identified"
    EXPONENTS_OPEN = "exponents_open"
    NEGATIVE_CURVATURE = "negative_curvature"
    MINIMUM_OUTSIDE_WINDOW = "minimum_outside_window"
    TOO_FEW_BUDGETS = "too_few_budgets"
    NOT_FINITE = "not_finite"
    ON_PLATEAU = "on_plateau"
    DUPLICATES = "duplicates"
    MIXED_FLOP_CONVENTIONS = "mixed_flop_conventions"
    MIXED_DEVICES = "mixed_devices"
    TOTALS_OVER_INT64 = "totals_over_int64"
    INTEGER_OVERFLOW = "integer_overflow"
    ONE_SIZE_ONLY = "one_size_only"
    TWO_SIZES_ONLY = "two_sizes_only"
    ONE_DATA_ONLY = "one_data_only"
    TWO_DATA_ONLY = "two_data_only"
    TOO_FEW_LEVELS = "too_few_levels"
    DEPENDENT_DESIGN = "dependent_design"
    TOO_FEW_POINTS = "too_few_points"
    LOSSES_EQUAL = "losses_equal"
    NOT_POSITIVE = "not_positive"
    NO_REPEATS = "no_repeats"
    NOT_DECREASING = "not_decreasing"
    DIVERGED = "diverged"
    FAR_BELOW = "far_below"
    MANY_FAR_AWAY = "many_far_away"
    LAW_EXPLAINS_LITTLE = "law_explains_little"
    LAW_CHOSEN = "law_chosen"
    LAW_BENDS = "law_bends"
    TRANSITION = "transition"
    BEFORE_WINDOW = "before_window"
    OUTLIERS = "outliers"
    INFLUENTIAL_POINT = "influential_point"
    COST_NOT_A_POWER_LAW = "cost_not_a_power_law"
    COST_IMPLAUSIBLE = "cost_implausible"
    FILLED_IN = "filled_in"
    REPEATS_IGNORED = "repeats_ignored"
    EXCLUDED_BY_USER = "excluded_by_user"
    TOO_FEW_BOOTSTRAPS = "too_few_bootstraps"
    TOO_FEW_TRAJECTORIES = "too_few_trajectories"
    RUN_NOISE = "run_noise"
    RUN_NOISE_LEFT_OUT = "run_noise_left_out"
    SHARED_PARAMETERS = "shared_parameters"
    TOO_FEW_SETTINGS = "too_few_settings"
    OPTIMUM_AT_EDGE = "optimum_at_edge"
    FAR_FROM_OPTIMUM = "far_from_optimum"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding, with a sentence that says what it means and what to do."""

    kind: Kind
    severity: Severity
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Status:
    """The most severe finding of a fit, and all others.

    `kind` is `Kind.OK` where nothing but notes was found; `usable` says whether the fit answers questions at all.
    """

    kind: Kind
    severity: Severity
    sentence: str
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is no reservation."""
        return self.severity is Severity.NOTE

    @property
    def usable(self) -> bool:
        """Whether the fit has numbers to give."""
        return self.severity is not Severity.FATAL

    def found(self, kind: Kind) -> bool:
        """Whether there is a finding of this kind, gravest or not."""
        return any(finding.kind is kind for finding in self.findings)

    def doubts(self, kind: Kind) -> bool:
        """Whether there is a finding of this kind that is more than a note."""
        return any(finding.kind is kind and finding.severity > Severity.NOTE for finding in self.findings)

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.sentence}"


def count_of(count: int, one: str, many: str, what: str = "point") -> str:
    """Begin a sentence with a count: `1 point has ...`, `3 points have ...`."""
    return f"1 {what} {one}" if count == 1 else f"{count} {what}s {many}"


def note(kind: Kind, sentence: str) -> Finding:
    """A finding that leaves the answer as it is."""
    return Finding(kind=kind, severity=Severity.NOTE, sentence=sentence)


def caution(kind: Kind, sentence: str) -> Finding:
    """A finding that puts a reservation on the answer."""
    return Finding(kind=kind, severity=Severity.CAUTION, sentence=sentence)


def fatal(kind: Kind, sentence: str) -> Finding:
    """A finding that leaves no answer."""
    return Finding(kind=kind, severity=Severity.FATAL, sentence=sentence)


def status_of(findings: Iterable[Finding]) -> Status:
    """The status of a fit with these findings: the first of the gravest gives kind and sentence."""
    kept = tuple(dict.fromkeys(findings))
    worst = max(kept, key=lambda finding: finding.severity, default=None)
    if worst is None or worst.severity is Severity.NOTE:
        return Status(kind=Kind.OK, severity=Severity.NOTE, sentence="the fit is at a certified optimum", findings=kept)
    return Status(kind=worst.kind, severity=worst.severity, sentence=worst.sentence, findings=kept)
