"""The rounds of `run --adaptive`: those chosen so far, family by family, kept in `adaptive.json`."""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import pyarrow as pa

from raysweep.core.hashing import size_json
from raysweep.core.stages import GRID
from raysweep.frontier.points.readers import as_table
from raysweep.storage import layout
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.specs import assignment
from raysweep.sweep.plan.values import Plan, PlannedTrial
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.adaptive import Candidate, Round, first_round, next_round
from raysweep.sweep.stages.brackets.bracketing import next_bracketing_round, pilot, refusal
from raysweep.sweep.stages.brackets.state import Aim
from raysweep.sweep.stages.chooser import by_family, longest, run_of

_WHY = {
    "width": "the interval is as narrow as requested (adaptive.width)",
    "flops": "no further trajectory fits within adaptive.flops",
    "grid": "no trajectory of the grid is left; extend the grid, or raise adaptive.seeds",
    "points": "no trial yielded a point",
    "unbracketed": "no trajectory left would bracket the others: `raysweep plan` says which sizes or data they lack",
    "transition": "no law can be fitted to runs of these lengths, and none is told",
    "bracketed": "nothing more was asked for (adaptive.width or adaptive.flops would narrow an answer)",
}


class Rounds:
    """The trajectories chosen from a sweep's grid, family by family."""

    def __init__(self, space: Space, store: TrialStore, say: Callable[[str], None]) -> None:
        self._space, self._store, self._say = space, store, say
        self._settings = space.adaptive
        self._aim = Aim(budgets=space.grid.flops, settings=space.adaptive) if space.grid.design == "auto" else None
        kept = store.read_json(layout.ROUNDS)
        self._chosen: dict[str, list[str]] = {}
        """Trial ids by family, of all rounds."""
        if isinstance(kept, dict):
            self._chosen = {str(label): [str(i) for i in ids] for label, ids in kept.items()}
        self._over: dict[str, str] = {}
        """Why the rounds of a family are over, if this process knows."""

    def group(self, trial: PlannedTrial) -> str:
        """Return its family: the rounds of a family depend on its own points alone."""
        return trial.family

    def ready(self, whole: Plan) -> bool:
        """Return True: families whose rate is not known yet have no trials to wait for."""
        return True

    def leave_out(self, whole: Plan, group: str, waiting: Collection[str]) -> Collection[str]:
        """Return none: these rounds do not depend on the time that they take."""
        return ()

    @property
    def clock(self) -> None:
        """None: these rounds do not depend on the time that they take."""

    def begin(self, whole: Plan) -> None:
        """Write the first round of each family whose rates and costs are known."""
        for label, of_family in by_family(whole).items():
            if all(trial.spec for trial in of_family) and not _by_id(of_family).keys() & set(
                self._chosen.get(label, ())
            ):
                self._chosen[label] = self._first(of_family)
        self._store.write_json(layout.ROUNDS, self._chosen)

    def chosen(self, whole: Plan) -> Plan:
        """Return the trajectories of a plan chosen so far; for a family without any, its first round."""
        trials: list[PlannedTrial] = []
        for label, of_family in by_family(whole).items():
            if not all(trial.spec for trial in of_family):  # neither rates nor costs are known: no round yet
                trials += longest(of_family)
                continue
            known = _by_id(of_family)
            ids = [trial_id for trial_id in self._chosen.get(label, ()) if trial_id in known]
            trials += [known[trial_id] for trial_id in ids or self._first(of_family)]
        return dataclasses.replace(whole, trials=tuple(trials))

    def preview(self, whole: Plan) -> Plan:
        """Return the part that was chosen so far, with a note on its share of the whole grid."""
        part = self.chosen(whole)
        if not all(trial.spec for trial in whole.trials):
            note = "adaptive: which of these trajectories run is decided once costs and learning rates are known"
        else:
            grid = math.fsum(self._grid_flops(of_family) for of_family in by_family(whole).values())
            spent = math.fsum(trial.flops or 0.0 for trial in part.trials)
            note = f"adaptive: the rounds so far, {spent:.3g} FLOP; the whole grid would cost {grid:.3g} FLOP"
        return dataclasses.replace(part, notes=(*part.notes, note))

    def over(self, whole: Plan) -> bool:
        """Whether every chosen trajectory has ended, and no family needs more."""
        return all(trial.state.is_final for trial in self.chosen(whole).trials) and not any(
            self._next(label, of_family).chosen for label, of_family in by_family(whole).items()
        )

    def advance(self, whole: Plan, family: str) -> Sequence[PlannedTrial]:
        """Choose the next round of a family whose trials have ended; empty where its rounds are over."""
        of_family = by_family(whole)[family]
        coming = self._next(family, of_family)
        known = _by_id(of_family)
        self._chosen[family] += [candidate.trial_id for candidate in coming.chosen]
        self._store.write_json(layout.ROUNDS, self._chosen)
        self._tell(family, of_family, coming)
        return [known[candidate.trial_id] for candidate in coming.chosen]

    def _first(self, of_family: Sequence[PlannedTrial]) -> list[str]:
        candidates = self._candidates(of_family)
        if self._aim is not None and (refused := refusal(of_family[0].family, candidates, self._aim)):
            raise self._space.error(*refused)
        first = pilot(candidates, self._aim) if self._aim else first_round(candidates, self._settings)
        chosen = first.chosen
        if not chosen:
            cheapest = min(candidate.flops for candidate in candidates)
            label = of_family[0].family
            raise self._space.error(
                ("adaptive", "flops"), f"{label}: not even its cheapest trajectory fits, at {cheapest:.3g} FLOP"
            )
        return [candidate.trial_id for candidate in chosen]

    def _next(self, family: str, of_family: Sequence[PlannedTrial]) -> Round:
        taken = set(self._chosen.get(family) or self._first(of_family))
        candidates, points = self._candidates(of_family), self._points(of_family, taken)
        if self._aim is not None:
            return next_bracketing_round(candidates, taken, points, self._aim)
        return next_round(candidates, taken, points, self._settings)

    def _candidates(self, of_family: Iterable[PlannedTrial]) -> list[Candidate]:
        found = []
        for trial in of_family:
            assert trial.spec is not None
            assert trial.params is not None
            assert trial.flops is not None
            found.append(
                Candidate(
                    trial_id=trial.spec.trial_id,
                    size=size_json(trial.size),
                    seed=trial.seed,
                    run=run_of(trial),
                    params=trial.params,
                    atoms=trial.atoms,
                    flops=trial.flops,
                    flops_per_atom=trial.naive_flops / sum(trial.atoms) if trial.naive_flops else None,
                )
            )
        return found

    def _points(self, of_family: Iterable[PlannedTrial], taken: set[str]) -> pa.Table | None:
        """Return the points of a family's trials that ended, as the frontier reads them."""
        rows = [assignment(t.spec, t.family, GRID) for t in of_family if t.spec and t.spec.trial_id in taken]
        table = self._store.table(rows)
        return as_table(table) if table.num_rows else None

    def _grid_flops(self, of_family: Sequence[PlannedTrial]) -> float:
        """Return the cost of a family's grid without rounds."""
        return math.fsum(t.flops or 0.0 for t in longest(of_family) if t.seed in self._space.grid.seeds)

    def _tell(self, family: str, of_family: Sequence[PlannedTrial], coming: Round) -> None:
        known = _by_id(of_family)
        spent = math.fsum(known[i].flops or 0.0 for i in self._chosen[family] if i in known)
        whole = self._grid_flops(of_family)
        target = self._settings.target
        found = "no fit yet"
        if coming.interval is not None:
            low, high = coming.interval
            width = math.log(high / low) if self._settings.relative else high - low
            found = f"{target} in [{low:.4g}, {high:.4g}], width {width:.3g}"
        found = f"{coming.told}; {found}" if coming.told else found
        share = f"{spent:.3g} FLOP, {spent / whole:.1%} of the grid's" if whole else f"{spent:.3g} FLOP"
        if coming.chosen:
            self._say(f"{family}: {found}; {len(coming.chosen)} trajectories more, with them {share}")
        elif family not in self._over:
            self._over[family] = coming.ended or ""
            self._say(f"{family}: {found}; after {share}, {_WHY[coming.ended or 'grid']}")


def _by_id(trials: Iterable[PlannedTrial]) -> Mapping[str, PlannedTrial]:
    return {trial.spec.trial_id: trial for trial in trials if trial.spec is not None}
