"""Races across the families as values for the page: the verdict, and how it sharpened from look to look."""

from collections.abc import Sequence
from dataclasses import dataclass

from raysweep.frontier.decision.verdict import LossGap, Verdict
from raysweep.report.content.sources import Material
from raysweep.storage.race_records import WHY_ENDED, RaceRecord


@dataclass(frozen=True, kw_only=True)
class Look:
    """The verdict after one round."""

    number: int
    trajectories: int
    """That were chosen until then."""
    families: tuple[str, ...]
    """Still in the race, the lowest estimated loss first."""
    gaps: tuple[str, ...]
    """The difference of each pair with its interval, in the order of `RacePage.pairs`; empty where one is out."""
    level: float
    spent: float
    """Error probability of all looks until this one."""


@dataclass(frozen=True, kw_only=True)
class RacePage:
    """One race."""

    place: str
    """What the families are compared at: the compute, and the inference that it pays for as well."""
    sentences: tuple[str, ...]
    """The verdict and its guarantee, and who is out or without a fit."""
    pairs: tuple[tuple[str, str], ...]
    """Every two families that were compared at any look."""
    looks: tuple[Look, ...]
    ended: str


def race_pages(material: Material) -> tuple[RacePage, ...]:
    """Describe the races of a sweep that have a verdict, the last one first."""
    return tuple(_page(record) for record in reversed(material.races) if record.verdicts)


def _page(record: RaceRecord) -> RacePage:
    verdicts = [Verdict.from_dict(verdict) for verdict in record.verdicts]
    pairs = tuple(dict.fromkeys(_pair(gap) for verdict in verdicts for gap in verdict.pairs))
    last = verdicts[-1]
    text = str(last).splitlines()
    named = tuple(line for line in text if not line.startswith("  ") and not line.endswith("intervals:"))
    return RacePage(
        place=last.place,
        sentences=named,
        pairs=pairs,
        looks=tuple(_look(number, record, verdict, pairs) for number, verdict in enumerate(verdicts, 1)),
        ended=f"It ended: {WHY_ENDED[record.ended]}." if record.ended else "It goes on.",
    )


def _pair(gap: LossGap) -> tuple[str, str]:
    return min(gap.first, gap.second), max(gap.first, gap.second)


def _look(number: int, record: RaceRecord, verdict: Verdict, pairs: Sequence[tuple[str, str]]) -> Look:
    compared = {frozenset((gap.first, gap.second)) for gap in verdict.pairs}
    return Look(
        number=number,
        trajectories=sum(map(len, record.looks[:number])),
        families=verdict.families,
        gaps=tuple(str(verdict.pair(*pair)) if frozenset(pair) in compared else "" for pair in pairs),
        level=verdict.level,
        spent=verdict.spent,
    )
