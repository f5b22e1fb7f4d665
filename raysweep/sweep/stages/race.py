"""The rounds of a race across families: chosen so far, kept in `races.json` with the verdict after each of them."""

import dataclasses
import math
from collections.abc import Callable, Collection, Sequence

import pyarrow as pa

from raysweep.core.hashing import content_id, size_json
from raysweep.core.stages import GRID
from raysweep.core.text import short
from raysweep.core.trial import TrialState
from raysweep.frontier.decision.race import RaceCandidate, RaceRound, RaceSettings, race_round
from raysweep.frontier.decision.verdict import Verdict
from raysweep.frontier.points.readers import as_table
from raysweep.storage.race_records import WHY_ENDED, RaceRecord
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.specs import TrialSpecs, assignment
from raysweep.sweep.plan.values import Plan, PlannedTrial
from raysweep.sweep.space.resolve import Resolved
from raysweep.sweep.stages.chooser import longest, run_of
from raysweep.sweep.stages.race_budget import RaceClock, Wallet
from raysweep.sweep.stages.race_endings import Endings
from raysweep.sweep.tuning.rates import cells

GROUP = "race"


class RaceRounds:
    """The trajectories chosen from a sweep's grid to find the best family: one round across all families."""

    def __init__(self, resolved: Resolved, store: TrialStore, say: Callable[[str], None]) -> None:
        self._resolved, self._store, self._say = resolved, store, say
        self._space, self._race = resolved.space, resolved.space.race
        assert self._race.at_flops is not None
        fresh = RaceRecord(
            flops=self._race.at_flops,
            delta=self._race.delta,
            error=self._race.error,
            inference_steps=self._race.inference_steps,
            budget=self._budget_text(),
        )
        kept = next((race for race in store.races() if race.key == fresh.key), fresh)
        self._clock = RaceClock(store, dataclasses.replace(kept, budget=fresh.budget))

    @property
    def clock(self) -> RaceClock:
        """The clock of the race's wall-clock time."""
        return self._clock

    @property
    def record(self) -> RaceRecord:
        """The race so far."""
        return self._clock.record

    def group(self, trial: PlannedTrial) -> str:
        """Return the only group: a round waits for all families."""
        return GROUP

    def ready(self, whole: Plan) -> bool:
        """Whether all costs are known, and every learning rate was found or given up."""
        facts = self._resolved.facts
        if facts is None:
            return False
        if any(trial.spec is None and trial.learning_rate is not None for trial in whole.trials):
            return False  # its cost is not known
        searched = self._store.searches()
        return all(cell.key in searched for cell in cells(TrialSpecs.of(self._space, facts)))

    def begin(self, whole: Plan) -> None:
        """Write the first round."""
        if not self._looks(whole):
            earlier = self._earlier(whole)
            trials = earlier or self._first(whole)
            self._write(
                looks=(tuple(_ids(trials)),), free=tuple(_ids(earlier)), begun=(self._clock.seconds,), verdicts=(),
                ended=None, basis=None,
            )  # fmt: skip
            flops = math.fsum(trial.flops or 0.0 for trial in trials)
            first = "that are there" if earlier else "first"
            self._say(f"race at {short(self.record.flops)} FLOP: {_count(trials)} {first}, {flops:.3g} FLOP")

    def chosen(self, whole: Plan) -> Plan:
        """Return the trajectories chosen so far and, while rates or costs are unknown, those that wait for them."""
        looks = self._looks(whole)
        taken = {trial_id for look in looks for trial_id in look}
        trials = [trial for trial in whole.trials if trial.spec is not None and trial.spec.trial_id in taken]
        if not self.ready(whole):
            first = self._space.grid.seeds[0]
            trials += longest(trial for trial in whole.trials if trial.spec is None and trial.seed == first)
        elif not looks:
            trials = self._earlier(whole) or self._first(whole)
        return dataclasses.replace(whole, trials=tuple(trials))

    def preview(self, whole: Plan) -> Plan:
        """Return the part that was chosen so far, with a note on its share of the whole grid."""
        part = self.chosen(whole)
        if not self.ready(whole):
            note = "race: which of these trajectories run is decided once costs and learning rates are known"
        else:
            grid = math.fsum(t.flops or 0.0 for t in longest(whole.trials) if t.seed in self._space.grid.seeds)
            spent = self._paid(part)
            note = f"race: the rounds so far, {spent:.3g} FLOP; the whole grid would cost {grid:.3g} FLOP"
        return dataclasses.replace(part, notes=(*part.notes, note))

    def over(self, whole: Plan) -> bool:
        """Whether the race has ended, with the candidates and settings of now."""
        return self.record.ended is not None and self.record.basis == self._basis(whole)

    def advance(self, whole: Plan, group: str) -> Sequence[PlannedTrial]:
        """Look at the points so far; choose and write the next round, or end the race."""
        looks = self._looks(whole)
        coming = self._next(whole, looks)
        by_id = {trial.spec.trial_id: trial for trial in whole.trials if trial.spec is not None}
        more = [by_id[candidate.trial_id] for candidate in coming.chosen]
        verdicts = self.record.verdicts[: len(looks) - 1]
        verdicts += () if coming.verdict is None else (coming.verdict.to_dict(),)
        begun = self.record.begun[: len(looks)]
        if more:
            looks, begun = (*looks, tuple(_ids(more))), (*begun, self._clock.seconds)
        ended = None if more else coming.ended or "budget"
        self._write(looks=looks, begun=begun, verdicts=verdicts, ended=ended, basis=self._basis(whole))
        self._tell(whole, coming.verdict, more, ended)
        return more

    def leave_out(self, whole: Plan, group: str, waiting: Collection[str]) -> Collection[str]:
        """Leave out of the present round the trials that have not begun, once the wall-clock budget is spent."""
        looks = self._looks(whole)
        allowance = self._race.allowance
        if allowance is None or allowance.kind != "seconds" or self._clock.seconds < allowance.amount or not looks:
            return ()
        gone = {t for t in waiting if t in looks[-1] and self._store.record(t).state == TrialState.PLANNED}
        kept = tuple(trial_id for trial_id in looks[-1] if trial_id not in gone)
        if not gone or not (kept or looks[1:]):
            return ()
        self._write(
            looks=(*looks[:-1], kept) if kept else looks[:-1], begun=self.record.begun[: len(looks) - (not kept)]
        )
        self._say(f"the time is spent: {_counted(len(gone))} of this round not begun, and left out")
        return gone

    def _next(self, whole: Plan, looks: tuple[tuple[str, ...], ...]) -> RaceRound:
        taken = [trial for look in looks for trial in look]
        ended = Endings.of(whole, self._store, set(taken))
        hopeless = ended.hopeless()
        while True:
            coming = self._round(whole, looks, hopeless)
            unfit = {} if coming.verdict is None else coming.verdict.unfit
            unfit = {family: reason for family, reason in unfit.items() if family not in hopeless}
            further = ended.beyond_hope(unfit, last=not coming.chosen)
            if not further:
                return coming
            hopeless = hopeless | further

    def _round(self, whole: Plan, looks: tuple[tuple[str, ...], ...], hopeless: dict[str, str]) -> RaceRound:
        """Choose the next round of the families that can be judged."""
        taken = [trial for look in looks for trial in look]
        candidates = [one for one in self._candidates(whole) if one.family not in hopeless]
        known = {candidate.trial_id for candidate in candidates}
        compared = [[trial_id for trial_id in look if trial_id in known] for look in looks]
        families = list(dict.fromkeys(candidate.family for candidate in candidates))
        if len(families) < 2:
            return RaceRound(chosen=(), verdict=self._uncontested(families, hopeless, len(looks)), ended="families")
        wallet = self._wallet(whole)
        within = [one for one in candidates if one.trial_id in taken or wallet.holds([one.trial_id])]
        points = self._points(whole, set(taken) & known)
        coming = race_round(within, compared, points, self._settings(), set(self.record.free) & known)
        ended = "budget" if coming.ended == "grid" and len(within) < len(candidates) else coming.ended
        chosen: list[RaceCandidate] = []
        for candidate in coming.chosen:
            if wallet.holds([*(one.trial_id for one in chosen), candidate.trial_id]):
                chosen.append(candidate)
        verdict = coming.verdict
        if verdict is not None and hopeless:
            verdict = dataclasses.replace(verdict, unfit={**verdict.unfit, **hopeless})
        return RaceRound(chosen=tuple(chosen), verdict=verdict, ended=None if chosen else ended or "budget")

    def _earlier(self, whole: Plan) -> list[PlannedTrial]:
        """Return the trials that the storage has had before the race, of each run the longest; they cost nothing.

        None where a family has none: a first look without it would spend error probability on nothing.
        """
        found = longest(trial for trial in whole.trials if trial.state == TrialState.DONE)
        competing = {trial.family for trial in whole.trials if trial.spec is not None}
        return found if {trial.family for trial in found} == competing else []

    def _paid(self, plan: Plan) -> float:
        """Sum the FLOPs of a plan's trials that the race itself has to pay for."""
        free = set(self.record.free)
        return math.fsum(t.flops or 0.0 for t in plan.trials if t.spec is not None and t.spec.trial_id not in free)

    def _first(self, whole: Plan) -> list[PlannedTrial]:
        """Return the trials of the first round.

        Raises:
            SpaceError: the budget is too small for any trajectory, or two families are the same.
        """
        candidates = self._candidates(whole)
        families = {candidate.family for candidate in candidates}
        if len(families) < 2:
            absent = ", ".join(label for label in self._space.families if label not in families)
            raise self._space.error(
                ("families",), f"a race needs two families, and no learning rate was found for {absent}"
            )
        wallet = self._wallet(whole)
        within = [one for one in candidates if wallet.holds([one.trial_id])]
        chosen: list[str] = []
        if {one.family for one in within} == families:
            for one in race_round(within, (), None, self._settings(wallet.flops)).chosen:
                chosen += [one.trial_id] if wallet.holds([*chosen, one.trial_id]) else []
        if not chosen:
            raise self._space.error(("race", "budget"), wallet.too_small([one.trial_id for one in candidates]))
        return [trial for trial in whole.trials if trial.spec is not None and trial.spec.trial_id in set(chosen)]

    def _candidates(self, whole: Plan) -> list[RaceCandidate]:
        found: dict[str, RaceCandidate] = {}
        for trial in whole.trials:
            if trial.spec is None:
                continue
            assert trial.params is not None
            assert trial.flops is not None
            trial_id = trial.spec.trial_id
            if trial_id in found:
                raise self._space.error(
                    ("families", trial.family), f"it trains the same as {found[trial_id].family}; leave one of them out"
                )
            found[trial_id] = RaceCandidate(
                trial_id=trial_id, family=trial.family, size=size_json(trial.size), seed=trial.seed,
                run=run_of(trial), params=float(trial.params), atoms=trial.atoms, flops=trial.flops,
            )  # fmt: skip
        return list(found.values())

    def _uncontested(self, families: Sequence[str], hopeless: dict[str, str], look: int) -> Verdict:
        """Return the verdict where a single family, or none, is left without any comparison."""
        return Verdict(
            kind="undecided", families=tuple(families), flops=self.record.flops, delta=self.record.delta,
            error=self.record.error, look=look, spent=0.0, level=0.95, leader=next(iter(families), None),
            unfit=hopeless,
        )  # fmt: skip

    def _points(self, whole: Plan, taken: set[str]) -> pa.Table | None:
        """Return the points of the trials of all rounds, as the frontier reads them."""
        rows = [
            assignment(t.spec, t.family, GRID) for t in whole.trials if t.spec is not None and t.spec.trial_id in taken
        ]
        table = self._store.table(rows)
        return as_table(table) if table.num_rows else None

    def _looks(self, whole: Plan) -> tuple[tuple[str, ...], ...]:
        """Return the rounds so far, without trials that the search space no longer has."""
        known = set(_ids(whole.trials))
        looks = (tuple(trial_id for trial_id in look if trial_id in known) for look in self.record.looks)
        return tuple(look for look in looks if look)

    def _wallet(self, whole: Plan) -> Wallet:
        return Wallet(self._race.allowance, whole, self.record, self._clock.seconds)

    def _settings(self, flops: float = math.inf) -> RaceSettings:
        budget = self._race.allowance
        if budget is not None and budget.kind == "flops":
            flops = budget.amount
        record = self.record
        return RaceSettings(
            flops=record.flops,
            delta=record.delta,
            error=record.error,
            budget=flops,
            growth=self._race.growth,
            inference_steps=record.inference_steps,
        )

    def _budget_text(self) -> str | None:
        return None if self._race.allowance is None else self._race.allowance.text

    def _basis(self, whole: Plan) -> str:
        return content_id([sorted(_ids(whole.trials)), self._budget_text(), self._race.growth], 16)

    def _write(self, **changes: object) -> None:
        self._clock.write(dataclasses.replace(self.record, **changes))  # type: ignore[arg-type]

    def _tell(self, whole: Plan, verdict: Verdict | None, more: Sequence[PlannedTrial], ended: str | None) -> None:
        spent = self._paid(self.chosen(whole))
        said = "no verdict" if verdict is None else str(verdict).splitlines()[0].removesuffix(".")
        if ended is None:
            self._say(f"{said}; {_count(more)} more, with {'it' if len(more) == 1 else 'them'} {spent:.3g} FLOP")
        else:
            self._say(f"{said}; the race ends after {spent:.3g} FLOP: {WHY_ENDED[ended]}")


def _count(trials: Sequence[PlannedTrial]) -> str:
    return _counted(len(trials))


def _counted(count: int) -> str:
    return f"{count} trajector{'y' if count == 1 else 'ies'}"


def _ids(trials: Sequence[PlannedTrial]) -> list[str]:
    return [trial.spec.trial_id for trial in trials if trial.spec is not None]
