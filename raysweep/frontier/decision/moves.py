"""The choice of the next runs of a race: those that tell contested families apart for the least compute.

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
from raysweep.frontier.decision.knowledge import Knowledge, Place
from raysweep.frontier.decision.verdict import Verdict
from raysweep.frontier.design.next_runs import NextRun, NextRuns
from raysweep.frontier.fit import fit_families
from raysweep.frontier.numerics.arrays import Indices
from raysweep.frontier.points.cleaning import column
from raysweep.frontier.points.families import Family, families_of
from raysweep.frontier.points.readers import as_table
from raysweep.frontier.result import Fit

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
    settings["bootstraps"] = 0
    moves = [move for move in _moves(candidates) if move.family in verdict.families]
    if not any(move.flops <= budget for move in moves):
        least = min((move.flops for move in moves), default=float("nan"))
        raise FrontierError(
            f"next_moves: no candidate of a family in the race costs at most {budget:.3g}; the cheapest: {least:.3g}"
        )
    fits = usable_fits(points, verdict.families, settings)
    return choose_moves(fits, moves, budget, verdict)


def usable_fits(points: object, families: Sequence[str], settings: Settings) -> dict[str, Fit]:
    """Fit the families that are still in; those without a usable fit are left out."""
    table = as_table(points)
    of = families_of(table)
    rows = [of[name] for name in families if name in of]
    if not rows:
        return {}
    fits = fit_families(table.take(np.sort(np.concatenate(rows))), **settings)
    return {name: fit for name, fit in fits.items() if fit.status.usable and fit.estimate is not None}


def choose_moves(
    fits: Mapping[str, Fit], moves: Sequence[Move], budget: float, verdict: Verdict, overhead: float = 0.0
) -> NextRuns:
    """Choose among moves; `overhead` is added to each run's cost when their worth is compared."""
    starts = [move for name in verdict.families if name not in fits for move in first_moves(moves, name, budget)]
    chosen, spent = _afford(starts, budget)
    known = [name for name in verdict.families if name in fits]
    race = _Contest({name: fits[name] for name in known}, moves, verdict, overhead)
    before: dict[Family, float] = {name: float(np.sqrt(one.variance)) for name, one in race.known.items()}
    if len(known) > 1:
        told, spent = race.choose(budget, spent)
        chosen += told
    return NextRuns(
        target=f"{TARGET} at {verdict.flops:.3g} FLOPs", runs=tuple(chosen), standard_errors=before, spent=spent
    )


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

    def __init__(self, fits: Mapping[str, Fit], moves: Sequence[Move], verdict: Verdict, overhead: float) -> None:
        self.moves = [move for move in moves if move.family in fits]
        self.overhead = overhead
        self.rows: dict[int, Indices] = {}
        self.known: dict[str, Knowledge] = {}
        for name, fit in fits.items():
            places, numbers = self._places(name)
            self.known[name] = Knowledge(fit, verdict.flops, places)
            self.rows |= numbers
        leader = verdict.leader if verdict.leader in fits else next(iter(fits), None)
        others = [name for name in fits if name != leader]
        self.pairs = {(leader, other): _excess(verdict, leader, other) for other in others} if leader else {}
        self.now = {pair: self._variance(pair) for pair in self.pairs}

    def _places(self, family: str) -> tuple[list[Place], dict[int, Indices]]:
        """The points of all moves of a family, those that moves of one run share once, and each move's among them."""
        number: dict[tuple[str, float], int] = {}
        runs: dict[str, int] = {}
        places: list[Place] = []
        rows: dict[int, Indices] = {}
        for k, move in enumerate(self.moves):
            if move.family != family:
                continue
            run = runs.setdefault(move.run, len(runs))
            for amount in sorted(move.data):
                if (move.run, amount) not in number:
                    number[move.run, amount] = len(places) + 1  # 0 is the target
                    place = Place(log_params=float(np.log(move.params)), log_data=float(np.log(amount)), run=run)
                    places.append(place)
            rows[k] = np.array([number[move.run, amount] for amount in move.data])
        return places, rows

    def _variance(self, pair: tuple[str, str]) -> float:
        return self.known[pair[0]].variance + self.known[pair[1]].variance

    def choose(self, budget: float, spent: float) -> tuple[list[NextRun], float]:
        """Choose moves one by one, by their worth per FLOP, while there is budget; also tell what all cost."""
        taken: dict[str, int] = {}
        chosen: dict[str, NextRun] = {}
        while (best := self._best(taken, budget - spent)) is not None:
            move = self.moves[best]
            spent += self._cost(best, taken)
            self.known[move.family].measure(self._new(best, taken))
            taken[self._run(move)] = best
            chosen.pop(self._run(move), None)
            chosen[self._run(move)] = _next_run(move, float(np.sqrt(self.known[move.family].variance)))
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
            gain = self._gain(move.family, self.known[move.family].fall(new))
            worth = gain / (cost + (0.0 if begun else self.overhead))
            if gain > _LEAST_GAIN and worth > most:
                best, most = k, worth
        return best

    def _gain(self, family: str, fall: float) -> float:
        """The fall of the sum over pairs of ln of what their variance exceeds the allowed one by."""
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
    """How many times the pair's variance is what would decide it, as best or as equal, whichever takes less."""
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
