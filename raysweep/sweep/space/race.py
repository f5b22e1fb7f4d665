"""The settings of `raysweep choose`, and its budgets as people write them: `10m`, `2 device-hours`, `1e15`."""

import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from raysweep.sweep.space.parts import Part

BUDGET_FORMS = (
    "give wall-clock time (45s, 10m, 2h, 1h30m, 1d), device hours (2dh, 0.5 device-hours), or training FLOPs "
    "(1e15, 1e15 FLOP)"
)
_LEAST_FLOPS = 1e6
"""No trajectory costs as little: a smaller number without a unit is a time whose unit was forgotten."""
_NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}
_STEP = rf"({_NUMBER})\s*({'|'.join(sorted(_SECONDS, key=len, reverse=True))})"
_TIME = re.compile(rf"(?:{_STEP}\s*)+")
_DEVICE = re.compile(rf"({_NUMBER})\s*(?:dh|device[- ]?hours?)")
_FLOPS = re.compile(rf"({_NUMBER})(?:\s*(?:FLOPs?|FLOPS|flops?))?")


@dataclass(frozen=True)
class Allowance:
    """The budget of a race."""

    kind: Literal["flops", "device_seconds", "seconds"]
    """Training FLOPs, seconds of devices, or seconds of wall-clock time."""
    amount: float
    text: str
    """As it was written."""


def parse_budget(written: str | float) -> Allowance:
    """Read a budget.

    >>> parse_budget("1h30m"), parse_budget("2 device-hours").amount, parse_budget(1e15).kind
    (Allowance(kind='seconds', amount=5400.0, text='1h30m'), 7200.0, 'flops')

    Raises:
        ValueError: it is none, or nothing; says what is accepted.
    """
    text = f"{written:g}" if isinstance(written, float | int) else " ".join(written.split())
    if (found := _DEVICE.fullmatch(text)) is not None:
        budget = Allowance("device_seconds", 3600 * float(found[1]), text)
    elif (found := _FLOPS.fullmatch(text)) is not None:
        budget = Allowance("flops", float(found[1]), text)
        if 0 < budget.amount < _LEAST_FLOPS and text == found[1]:
            raise ValueError(f"{text} without a unit would be {text} FLOPs, which trains nothing; {BUDGET_FORMS}")
    elif _TIME.fullmatch(text) is not None:
        parts = re.findall(_STEP, text)
        budget = Allowance("seconds", math.fsum(float(number) * _SECONDS[unit] for number, unit in parts), text)
    else:
        raise ValueError(f"{text!r} is no budget; {BUDGET_FORMS}")
    if not math.isfinite(budget.amount) or budget.amount <= 0:
        raise ValueError(f"{text!r} must be above 0 and finite; {BUDGET_FORMS}")
    return budget


def _is_budget(written: str | float) -> str | float:
    parse_budget(written)
    return written


class Race(Part):
    """Settings of `raysweep choose`, which runs the trajectories that show which family is best at one compute."""

    enabled: bool = Field(default=False, description="true: `raysweep run` races as `raysweep choose` does")
    at_flops: float | None = Field(
        default=None, gt=0, description="training compute in FLOPs at which the best family is wanted (`--at`)"
    )
    delta: float = Field(
        default=0.02,
        gt=0,
        lt=1,
        description="families whose losses differ by less than this share of the loss are equal (`--delta`)",
    )
    error: float = Field(
        default=0.05, gt=0, lt=0.5, description="largest probability that the verdict is wrong (`--error`)"
    )
    inference_steps: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="atom-steps of inference (atoms times MD steps) that at_flops pays for besides the training "
        "(`--inference-steps`)",
    )
    budget: Annotated[str | float, AfterValidator(_is_budget)] | None = Field(
        default=None,
        description="what the race may spend: wall-clock time (10m, 1h30m), device hours (2dh, 2 device-hours) or "
        "training FLOPs (1e15); default: the grid (`--budget`)",
    )
    seeds: int | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="seeds available for each size, starting with grid.seeds; default: four times as many as those",
    )
    growth: float = Field(default=0.5, gt=0, description="FLOPs a round may spend, relative to all rounds before it")

    @property
    def allowance(self) -> Allowance | None:
        """The budget; None: no limit but the grid."""
        return None if self.budget is None else parse_budget(self.budget)

    @model_validator(mode="after")
    def _compute_is_given(self) -> "Race":
        if self.enabled and self.at_flops is None:
            raise ValueError("at_flops: missing: the compute at which families are compared, in FLOPs (`--at`)")
        return self
