"""The choice of the next runs of a race: those that separate contested families at the lowest compute.

A pair is worth runs as long as its interval is wider than the verdict allows, and a run is worth the share by which it
narrows the intervals of its pairs, per FLOP. Families without a usable fit come first, with runs that give them one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.arguments import positive
from raysweep.frontier.approaches.options import Settings
from raysweep.frontier.decision.decide import fits_of
from raysweep.frontier.decision.errors import PointLayout
from raysweep.frontier.decision.kriging import FamilyPoints, TargetCovariance
from raysweep.frontier.decision.losses import LossesAt, losses_at
from raysweep.frontier.decision.verdict import Verdict
from raysweep.frontier.design.next_runs import NextRun, NextRuns
from raysweep.frontier.numerics.arrays import Indices
from raysweep.frontier.points.cleaning import column
from raysweep.frontier.points.families import Family
from raysweep.frontier.points.readers import as_table

TARGET = "the difference of losses"
_LEAST_GAIN = 1e-6
_UNKNOWN = 1e4
"""Factor by which a pair's variance is too large where its interval is unknown."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """A run that could be made: its number in the caller's list, its total cost, and its points.

    `run` is what moves share that are one run, trained for longer or shorter: one of them is made.
    """

    row: int
    family: str
    run: str
    params: float
    data: tuple[float, ...]
    flops: float


def next_moves(
    points: object, candidates: object, budget: float, *, verdict: Verdict, **settings: Unpack[Settings]
) -> NextRuns:
    """Choose the next runs of a race, across the families that are still in.

    Args:
        points: as in `decide`.
        candidates: a table of runs that could be made: architecture, params, data, flops. Rows that share a
            `trajectory`, if there is such a column, are points of one run, which may end at any of them.
        budget: FLOPs of all chosen runs together.
        verdict: of the points so far: which families are in, and how far from decided each pair is.
        **settings: as in `fit`.

    Returns:
        The runs in order of worth; a run's standard error is that of its family's ln loss at the compute.

    Raises:
        FrontierError: no candidate of a family in the race is affordable, or a column is absent.
    """
    budget = positive("next_moves", "budget", budget)
    moves = [move for move in _moves(candidates) if move.family in verdict.families]
    if not any(move.flops <= budget for move in moves):
        least = min((move.flops for move in moves), default=float("nan"))
        raise FrontierError(
            f"next_moves: no candidate of a family in the race costs at most {budget:.3g}; the cheapest: {least:.3g}"
        )
    return choose_moves(known_losses(points, verdict, settings), moves, budget, verdict)


def known_losses(points: object, verdict: Verdict, settings: Settings) -> LossesAt | None:
    """The errors of the families that are still in and have a usable fit; None if none has."""
    found = fits_of(as_table(points), verdict.families, settings)
    fits = {name: one for name, one in found.items() if not isinstance(one, str)}
    return losses_at(fits, verdict.flops, verdict.inference_steps) if fits else None


def choose_moves(
    known: LossesAt | None, moves: Sequence[Move], budget: float, verdict: Verdict, overhead: float = 0.0
) -> NextRuns:
    """Choose among moves; `overhead` is added to each run's cost when their worth is compared."""
    fitted = {} if known is None else known.laws
    starts = [move for name in verdict.families if name not in fitted for move in first_moves(moves, name, budget)]
    chosen, spent = _afford(starts, budget)
    before: dict[Family, float] = {}
    if known is not None:
        race = _Contest(known, moves, verdict, overhead)
        before |= {name: float(np.sqrt(one.variance)) for name, one in race.joint.items()}
        if len(race.joint) > 1:
            told, spent = race.choose(budget, spent)
            chosen += told
    target = f"{TARGET} at {verdict.flops:.3g} FLOPs"
    return NextRuns(target=target, runs=tuple(chosen), standard_errors=before, spent=spent)


def first_moves(moves: Sequence[Move], family: str, limit: float) -> list[Move]:
    """For each size of a family its first run, as long as the limit on its cost allows, the cheapest sizes first."""
    by_size: dict[float, list[Move]] = {}
    for move in moves:
        if move.family == family:
            by_size.setdefault(move.params, []).append(move)
    chosen = []
    for _, of_size in sorted(by_size.items()):
        ends = sorted((move for move in of_size if move.run == of_size[0].run), key=lambda move: move.flops)
        within = [move for move in ends if move.flops <= limit]
        chosen.append(within[-1] if within else ends[0])
    return sorted(chosen, key=lambda move: move.flops)


def _afford(wanted: Sequence[Move], budget: float) -> tuple[list[NextRun], float]:
    chosen, spent = [], 0.0
    for move in wanted:
        if spent + move.flops <= budget:
            spent += move.flops
            chosen.append(_next_run(move, float("nan")))
    return chosen, spent


def _next_run(move: Move, standard_error: float) -> NextRun:
    return NextRun(
        row=move.row,
        architecture=move.family,
        params=move.params,
        data=max(move.data),
        cost=move.flops,
        standard_error=standard_error,
    )


class _Contest:
    """The families with a fit, the pairs that are contested, and the greedy choice."""

    def __init__(self, known: LossesAt, moves: Sequence[Move], verdict: Verdict, overhead: float) -> None:
        self.moves = [move for move in moves if move.family in known.laws and move.family in verdict.families]
        self.overhead = overhead
        self.rows: dict[int, Indices] = {}
        self.joint: dict[str, TargetCovariance] = {}
        self.laws, self.dearest = known.laws, dict[str, float]()
        for name in (name for name in verdict.families if name in known.laws):
            family = known.laws[name].best(known.form)
            self.dearest[name] = known.laws[name].dearest
            self.joint[name] = TargetCovariance(family, known.form, self._lay(name, family))
        leader = verdict.leader if verdict.leader in self.joint else next(iter(self.joint))
        others = [name for name in self.joint if name != leader]
        self.pairs = {(leader, other): _excess(verdict, leader, other) for other in others}
        self.now = {pair: self._variance(pair) for pair in self.pairs}

    def _lay(self, name: str, family: FamilyPoints) -> PointLayout:
        """Lay out the points of all moves of a family, those that moves of one run share once."""
        number: dict[tuple[str, float], int] = {}
        runs: dict[str, int] = {}
        sizes = []
        for k, move in enumerate(self.moves):
            if move.family != name:
                continue
            runs.setdefault(move.run, len(runs))
            for amount in sorted(move.data):
                if (move.run, amount) not in number:
                    number[move.run, amount] = len(number) + 1  # 0 is the target
                    sizes.append(move.params)
            self.rows[k] = np.array([number[move.run, amount] for amount in move.data])
        data = np.array([amount for _, amount in number])
        return family.lay(np.array(sizes), data, np.array([runs[run] for run, _ in number], dtype=np.int64))

    def _variance(self, pair: tuple[str, str]) -> float:
        return sum(self.joint[name].variance + self._beyond(name) for name in pair)

    def _beyond(self, family: str, cost: float = 0.0) -> float:
        """Variance due to the distance from a family's most expensive run, after a run of a given cost."""
        return self.laws[family].beyond(max(self.dearest[family], cost))

    def choose(self, budget: float, spent: float) -> tuple[list[NextRun], float]:
        """Choose moves one by one, by their worth per FLOP, within the budget; also return their total cost."""
        taken: dict[str, int] = {}
        chosen: dict[str, NextRun] = {}
        while (best := self._best(taken, budget - spent)) is not None:
            move = self.moves[best]
            spent += self._cost(best, taken)
            self.joint[move.family].measure(self._new(best, taken))
            self.dearest[move.family] = max(self.dearest[move.family], move.flops)
            taken[self._run(move)] = best
            chosen.pop(self._run(move), None)
            chosen[self._run(move)] = _next_run(move, float(np.sqrt(self.joint[move.family].variance)))
        return list(chosen.values()), spent

    def _best(self, taken: Mapping[str, int], left: float) -> int | None:
        best, most = None, 0.0
        seen: set[object] = set()
        for k, move in enumerate(self.moves):
            cost = self._cost(k, taken)
            kind = (move.family, move.params, move.data, move.flops)
            begun = self._run(move) in taken
            if cost <= 0 or cost > left or (not begun and kind in seen):
                continue
            seen |= set() if begun else {kind}
            new = self._new(k, taken)
            if not new.size:
                continue
            nearer = self._beyond(move.family) - self._beyond(move.family, move.flops)
            gain = self._gain(move.family, self.joint[move.family].fall(new) + nearer)
            worth = gain / (cost + (0.0 if begun else self.overhead))
            if gain > _LEAST_GAIN and worth > most:
                best, most = k, worth
        return best

    def _gain(self, family: str, fall: float) -> float:
        """The decrease of the sum over pairs of ln (variance / allowed variance), where that exceeds 0."""
        gain = 0.0
        for pair, excess in self.pairs.items():
            if family not in pair:
                continue
            before = self._variance(pair)
            scale = excess / self.now[pair]
            gain += float(np.log(max(before * scale, 1.0)) - np.log(max((before - fall) * scale, 1.0)))
        return gain

    @staticmethod
    def _run(move: Move) -> str:
        return f"{move.family}\n{move.run}"

    def _cost(self, k: int, taken: Mapping[str, int]) -> float:
        """Of a move, less what its run's shorter end costs where that is taken; 0 for what is not longer."""
        before = taken.get(self._run(self.moves[k]))
        return self.moves[k].flops - (0.0 if before is None else self.moves[before].flops)

    def _new(self, k: int, taken: Mapping[str, int]) -> Indices:
        before = taken.get(self._run(self.moves[k]))
        return self.rows[k] if before is None else np.setdiff1d(self.rows[k], self.rows[before])


def _excess(verdict: Verdict, leader: str, other: str) -> float:
    """The ratio of the pair's variance to the one that would decide it, as best or as equal, whichever is easier."""
    try:
        gap = verdict.pair(leader, other)
    except FrontierError:
        return _UNKNOWN
    if gap.low is None or gap.high is None:
        return _UNKNOWN
    away = abs(float(np.log1p(gap.difference)))
    half_width = 0.5 * float(np.log1p(gap.high) - np.log1p(gap.low))
    return float(np.clip((half_width / max(away, np.log1p(verdict.delta) - away)) ** 2, 1.0, _UNKNOWN))


def _moves(candidates: object) -> list[Move]:
    """Read a table of candidates; each row is a move to that point of its run, with the points before it."""
    table = as_table(candidates, "candidates", required=("params", "data", "flops"))
    if "architecture" not in table.column_names:
        raise FrontierError("candidates: no column architecture: of which family is each run?")
    params, data, flops = (column(table, name) for name in ("params", "data", "flops"))
    names = [str(name) for name in table["architecture"].to_pylist()]
    same = table["trajectory"].to_pylist() if "trajectory" in table.column_names else list(range(table.num_rows))
    runs: dict[tuple[str, str], list[int]] = {}
    for row in np.argsort(flops, kind="stable"):
        runs.setdefault((names[row], str(same[row])), []).append(int(row))
    return [
        Move(
            row=row,
            family=family,
            run=run,
            params=float(params[row]),
            data=tuple(float(data[one]) for one in rows[: place + 1]),
            flops=float(flops[row]),
        )
        for (family, run), rows in runs.items()
        for place, row in enumerate(rows)
    ]
