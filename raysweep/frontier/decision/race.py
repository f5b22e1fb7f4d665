"""A race between families as a pure function: from the runs so far to the next round, or to the end.

The pilot runs every size of every family at equal compute. Each later round looks at the points (`decide`), drops the
families that are out, and spends a share of what was spent so far on the runs that tell the contested families apart
(`moves`). Only whole runs enter a look, and a look depends on nothing but the points: a race that was killed goes on
to the same verdict.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.core.errors import FrontierError
from raysweep.core.hashing import digest
from raysweep.frontier.answers.arguments import not_negative, positive
from raysweep.frontier.decision.decide import LookAsked, LookTaken, checked_share, look_at
from raysweep.frontier.decision.moves import Move, choose_moves, first_moves
from raysweep.frontier.decision.verdict import RuledOut, Verdict
from raysweep.frontier.points.readers import as_table

AT_ONCE = 16
"""Most runs of a round: each is charged this share of the round's budget on top of its cost, so that one informative
run is preferred to many that cost next to nothing."""
PILOT = 0.25
"""Most of the budget that the pilot may take."""
ENLARGED = 2.0
"""While a family has no usable fit, its runs cost up to this multiple of the dearest one before."""


@dataclass(frozen=True, kw_only=True)
class RaceCandidate:
    """A run of a family that could be made, to one of the ends that the grid allows.

    Attributes:
        trial_id: of the trial, unique. size: as text, to group candidates by. params: N.
        run: what candidates share that are one run, trained for longer or shorter: at most one of them is chosen.
        atoms: seen at each of its points. flops: its total cost.
    """

    trial_id: str
    family: str
    size: str
    seed: int
    run: str
    params: float
    atoms: tuple[float, ...]
    flops: float


@dataclass(frozen=True, kw_only=True)
class RaceSettings:
    """The settings of a race.

    Attributes:
        flops: the compute at which families are compared. delta, error, inference_steps: as in `decide`.
        budget: FLOPs of all runs together. growth: of each round's, as a share of what was spent before it.
        seed: of the fits.
    """

    flops: float
    delta: float = 0.02
    error: float = 0.05
    budget: float = math.inf
    growth: float = 0.5
    seed: int = 0
    inference_steps: float = 0.0

    def __post_init__(self) -> None:
        positive("RaceSettings", "flops", self.flops)
        positive("RaceSettings", "growth", self.growth)
        not_negative("RaceSettings", "inference_steps", self.inference_steps)
        checked_share("RaceSettings", "delta", self.delta)
        checked_share("RaceSettings", "error", self.error)
        if isinstance(self.budget, bool) or not self.budget > 0:
            raise FrontierError(f"RaceSettings(budget={self.budget!r}): give FLOPs above 0")


@dataclass(frozen=True, kw_only=True)
class RaceRound:
    """The next round of a race.

    Attributes:
        chosen: empty where the race has ended. verdict: of the points so far; None before the first round.
        ended: decided, budget (nothing more is affordable), grid (nothing is left), points (no trial gave any).
    """

    chosen: tuple[RaceCandidate, ...]
    verdict: Verdict | None = None
    ended: str | None = None


def race_round(
    candidates: Sequence[RaceCandidate],
    looks: Sequence[Sequence[str]],
    points: object,
    settings: RaceSettings,
    free: Collection[str] = (),
) -> RaceRound:
    """Choose the next round of a race, or end it.

    Args:
        candidates: all runs of all families, at all lengths.
        looks: trial ids of each earlier round, in order. All of them have ended.
        points: of those trials, as in `decide`, with a column trial_id (or trajectory); None: there are none.
        settings: of the race.
        free: those of the trial ids that the budget does not pay for, since they were there before the race.

    Raises:
        FrontierError: fewer than two families, an id that is no candidate's, or a column is absent.
    """
    known = {candidate.trial_id: candidate for candidate in candidates}
    families = _checked(candidates, looks, known)
    if not looks:
        return _ended(_pilot(candidates, families, settings), None, 0.0, settings)
    table = None if points is None else as_table(points)
    if table is None or not table.num_rows:
        return RaceRound(chosen=(), ended="points")
    look = _last_look(table, looks, families, settings)
    verdict = look.verdict
    if verdict.decided:
        return RaceRound(chosen=(), verdict=verdict, ended="decided")
    before = [known[trial] for look in looks for trial in look]
    spent = math.fsum(candidate.flops for candidate in before if candidate.trial_id not in free)
    begun = {(candidate.family, candidate.run) for candidate in before}
    left = [one for one in candidates if one.family in verdict.families and (one.family, one.run) not in begun]
    if not left:
        return RaceRound(chosen=(), verdict=verdict, ended="grid")
    within = [one for one in left if spent + one.flops <= settings.budget]
    if not within:
        return RaceRound(chosen=(), verdict=verdict, ended="budget")
    return _ended(_next(within, before, look, settings), verdict, spent, settings)


def _checked(
    candidates: Sequence[RaceCandidate], looks: Sequence[Sequence[str]], known: dict[str, RaceCandidate]
) -> list[str]:
    families = list(dict.fromkeys(candidate.family for candidate in candidates))
    if len(families) < 2:
        raise FrontierError(f"a race of {len(families)} families ({', '.join(families) or 'none'}); two are needed")
    if len(known) < len(candidates):
        raise FrontierError("two candidates of the race have one trial_id")
    if unknown := sorted({trial for look in looks for trial in look} - set(known)):
        raise FrontierError(f"no candidate of the race has the trial_id {unknown[0]!r}")
    return families


def _pilot(candidates: Sequence[RaceCandidate], families: Sequence[str], settings: RaceSettings) -> list[RaceCandidate]:
    """Each size of each family once, for as much compute as every family's smallest size can take."""
    moves = _moves(candidates)
    smallest = []
    for family in families:
        own = [move for move in moves if move.family == family]
        least = min(move.params for move in own)
        smallest.append(max(move.flops for move in own if move.params == least))
    limit, least_cost = min(smallest), min(move.flops for move in moves)
    while True:
        chosen = [move for family in families for move in first_moves(moves, family, limit)]
        if math.fsum(move.flops for move in chosen) <= PILOT * settings.budget or limit <= least_cost:
            break
        limit /= 2.0
    return [candidates[move.row] for move in sorted(chosen, key=lambda move: move.flops)]


def _next(
    within: Sequence[RaceCandidate],
    before: Sequence[RaceCandidate],
    look: LookTaken,
    settings: RaceSettings,
) -> list[RaceCandidate]:
    """The runs of the next round."""
    verdict = look.verdict
    dearest = max(candidate.flops for candidate in before)
    done = math.fsum(candidate.flops for candidate in before)
    budget = max(settings.growth * done, min(candidate.flops for candidate in within))
    limit = max(ENLARGED * dearest, min(candidate.flops for candidate in within))
    unfit = [one for one in within if one.family in verdict.unfit and one.flops <= limit]
    order = [*unfit, *(one for one in within if one.family not in verdict.unfit)]
    found = choose_moves(look.known, _moves(order), budget, verdict, budget / AT_ONCE)
    chosen = [order[run.row] for run in found.runs]
    return chosen or [min(within, key=lambda one: (one.flops, one.trial_id))]


def _moves(candidates: Sequence[RaceCandidate]) -> list[Move]:
    ranked = sorted(enumerate(candidates), key=lambda item: (item[1].seed, item[1].flops, item[1].trial_id))
    return [
        Move(row=row, family=one.family, run=one.run, params=one.params, data=one.atoms, flops=one.flops)
        for row, one in ranked
    ]


def _ended(wanted: Sequence[RaceCandidate], verdict: Verdict | None, spent: float, settings: RaceSettings) -> RaceRound:
    """Keep the runs that fit into the budget."""
    chosen = []
    for candidate in wanted:
        if spent + candidate.flops <= settings.budget:
            chosen.append(candidate)
            spent += candidate.flops
    return RaceRound(chosen=tuple(chosen), verdict=verdict, ended=None if chosen else "budget")


def _last_look(
    table: pa.Table, looks: Sequence[Sequence[str]], families: Sequence[str], settings: RaceSettings
) -> LookTaken:
    """The last look: a family that is out at one look stays out at the next."""
    seen: set[str] = set()
    last: LookTaken | None = None
    for look, trials in enumerate(looks, 1):
        seen |= set(trials)
        part = _until(table, seen)
        out = () if last is None else tuple(last.verdict.out.items())
        last = _looked_at(_Seen(digest=_digest(part), table=part), tuple(families), look, out, settings)
    assert last is not None
    return last


def _until(table: pa.Table, trials: set[str]) -> pa.Table:
    """The points of some trials."""
    names = [name for name in ("trial_id", "trajectory") if name in table.column_names]
    if not names:
        raise FrontierError("race_round: the points have no column trial_id: of which trial is each?")
    ids = pc.cast(table[names[0]], pa.string())
    return table.filter(pc.is_in(ids, value_set=pa.array(sorted(trials), pa.string())))


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """The points of a look; equal to others of the same digest."""

    digest: str
    table: pa.Table = field(compare=False)


def _digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return digest(sink.getvalue().to_pybytes())


@lru_cache(maxsize=64)
def _looked_at(
    points: _Seen, families: tuple[str, ...], look: int, out: tuple[tuple[str, RuledOut], ...], settings: RaceSettings
) -> LookTaken:
    """Take a look; kept, since the next round goes through all looks again."""
    asked = LookAsked(
        flops=settings.flops, delta=settings.delta, error=settings.error, look=look, families=families, out=dict(out),
        inference_steps=settings.inference_steps,
    )  # fmt: skip
    return look_at(points.table, asked, seed=settings.seed)
