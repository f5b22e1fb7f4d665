"""`Verdict`: which family is best at a compute, or that they are equal, or that it is not decided; as text and JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

from raysweep.core.errors import FrontierError
from raysweep.core.text import columns, short
from raysweep.frontier.numerics.arrays import Plain

if TYPE_CHECKING:
    from pydantic import TypeAdapter

VerdictKind = Literal["best", "equal", "undecided"]
FORMAT = "raysweep.verdict/1"


@dataclass(frozen=True, kw_only=True)
class LossGap:
    """The loss of one family at the compute over that of another, less 1; `low` and `high` are None where unknown."""

    first: str
    second: str
    difference: float
    low: float | None
    high: float | None

    @property
    def reversed(self) -> "LossGap":
        """The same two families in the other order."""
        low, high = (None if end is None else -end / (1.0 + end) for end in (self.high, self.low))
        turned = -self.difference / (1.0 + self.difference)
        return LossGap(first=self.second, second=self.first, difference=turned, low=low, high=high)

    def within(self, delta: float) -> bool:
        """Whether the interval lies within a factor 1 + delta in both directions."""
        turned = self.reversed
        return self.high is not None and turned.high is not None and max(self.high, turned.high) <= delta

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" [{self.low:+.1%}, {self.high:+.1%}]"
        return f"{self.difference:+.1%}{interval}"


@dataclass(frozen=True, kw_only=True)
class RuledOut:
    """When a family was excluded, and by which: its loss over that of `by`, less 1, with the interval that did it."""

    look: int
    by: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which family has the lowest loss at a compute.

    With a probability of at least 1 - `error`, over all looks together, the best family is not in `out`, and each
    family of an "equal" verdict is at most `delta` worse than the best.

    Attributes:
        kind: best: every other family is out; equal: those in `families` are within `delta` of each other, all others
            are out; undecided: neither.
        families: the best one, the equal ones, or those still in the race, the lowest estimate first.
        out: families excluded at this look or before.
        flops, delta, error, look: as asked for. spent: the error probability of all looks until this one.
        level: coverage of this look's intervals.
        leader: the family of the lowest estimate; None where no family has a usable fit.
        losses: by family, the estimated loss at the compute.
        pairs: every pair of the families still in, and the leader with those that left at this look.
        within_delta: whether the runner-up of a "best" verdict was also within `delta` of it.
        regret: the most that choosing the leader costs at this look's level, as a share of the loss; None: unknown.
        unfit: families without a usable fit, with the reason.
        inference_steps: atom-steps of inference that `flops` pays for besides the training.
        assumed: by family, what had to be assumed of the cost of its inference.
        needed: FLOPs that deciding will take beyond those spent, by the intervals' rate so far; None: unknown.
    """

    kind: VerdictKind
    families: tuple[str, ...]
    out: dict[str, RuledOut] = field(default_factory=dict)
    flops: float
    delta: float
    error: float
    look: int
    spent: float
    level: float
    leader: str | None
    losses: dict[str, float] = field(default_factory=dict)
    pairs: tuple[LossGap, ...] = ()
    within_delta: bool = False
    regret: float | None = None
    unfit: dict[str, str] = field(default_factory=dict)
    needed: float | None = None
    inference_steps: float = 0.0
    assumed: dict[str, str] = field(default_factory=dict)

    @property
    def decided(self) -> bool:
        """Whether more points would change nothing."""
        return self.kind != "undecided"

    def pair(self, first: str, second: str) -> LossGap:
        """Look up two families, in either order.

        Raises:
            FrontierError: the verdict has no such pair.
        """
        for found in self.pairs:
            if {found.first, found.second} == {first, second}:
                return found if found.first == first else found.reversed
        known = ", ".join(f"{one.first} and {one.second}" for one in self.pairs) or "none"
        raise FrontierError(f"no pair of {first} and {second} in this verdict; it has {known}")

    def to_dict(self) -> dict[str, Plain]:
        """Convert to values that JSON can hold."""
        return {"format": FORMAT, **_adapter().dump_python(self, mode="json")}

    @classmethod
    def from_dict(cls, content: Mapping[str, object]) -> "Verdict":
        """Read the output of `to_dict`.

        Raises:
            FrontierError: it is of another format, or torn.
        """
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            found = content.get("format") if isinstance(content, Mapping) else content
            raise FrontierError(f"a verdict of format {found!r:.60}; this version reads {FORMAT!r}")
        try:
            return _adapter().validate_python({name: value for name, value in content.items() if name != "format"})
        except ValueError as error:
            raise FrontierError(f"not a verdict that to_dict wrote, or torn: {error}") from error

    def __str__(self) -> str:
        lines = [self._sentence(), self._guarantee()]
        if self.pairs:
            lines.append(f"Loss {self.place} relative to the other family's, {self.level:.2%} intervals:")
            lines.append(columns([(f"  {one.first} against {one.second}", str(one)) for one in self.pairs]))
        for name, one in self.out.items():
            by = f" by {one.by}" if one.by else ""
            lines.append(f"{name}: out since look {one.look}{by}")
        lines += [f"{name}: no usable fit: {reason}" for name, reason in self.unfit.items()]
        lines += [f"{name}: {assumed}" for name, assumed in self.assumed.items()]
        return "\n".join(lines)

    @property
    def place(self) -> str:
        """What the families are compared at, in words: the compute, and the inference that it pays for as well."""
        used = f" of training and {short(self.inference_steps)} atom-steps of inference" if self.inference_steps else ""
        return f"at {short(self.flops)} FLOPs{used}"

    def _sentence(self) -> str:
        at = self.place
        if self.kind == "best":
            close = f", though by less than {self.delta:.1%}" if self.within_delta else ""
            return f"{self.families[0]} is best {at}{close}."
        if self.kind == "equal":
            return f"{_listed(self.families)} are equal {at} within {self.delta:.1%} of the loss."
        between = f" between {_listed(self.families)}" if len(self.families) > 1 else ""
        lead = ""
        if self.leader is not None and len(self.families) > 1:
            lead = f" {self.leader} leads"
            lead += (
                "." if self.regret is None else f"; choosing it costs at most {max(self.regret, 0.0):.1%} of the loss."
            )
        more = "" if self.needed is None else f" Deciding takes about {short(self.needed, 2)} FLOPs more."
        return f"Undecided {at}{between} after {_looks(self.look)}.{lead}{more}"

    def _guarantee(self) -> str:
        spent = f"{self.spent:.2%} spent in {_looks(self.look)}"
        return f"Error probability at most {self.error:.1%} over all looks ({spent})."


@cache
def _adapter() -> "TypeAdapter[Verdict]":
    from pydantic import TypeAdapter  # here, since a verdict needs no pydantic

    return TypeAdapter(Verdict)


def _looks(count: int) -> str:
    return "1 look" if count == 1 else f"{count} looks"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
