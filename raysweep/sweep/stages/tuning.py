"""The learning-rate stage as a source of trials: the searches of all families side by side."""

from dataclasses import dataclass

from raysweep.core.points import Point, from_table
from raysweep.core.stages import LEARNING_RATE
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.rate_records import RateRecord
from raysweep.storage.trial_store import Assignment, TrialRecord, TrialStore
from raysweep.sweep.plan.specs import TrialSpecs, assignment
from raysweep.sweep.reuse.trials import ReusedTrials
from raysweep.sweep.stages.stage import Listener, announce
from raysweep.sweep.tuning.horizons import HorizonSearch
from raysweep.sweep.tuning.rates import (
    Cell,
    cells,
    given_rates,
    horizon_cells,
    make_search,
    record_of,
)
from raysweep.sweep.tuning.search import RateCandidate, RateSearch


@dataclass
class _Told:
    """What was reported to the listener about a trial."""

    started: bool = False
    points: int = 0
    ended: bool = False


class TuningStage:
    """Hands out the trials of all searches; those that ended in an earlier run are read back from the store.

    A trial may have continued after the rung at which ASHA's verdict stops it (see `asha`): points beyond
    are dropped from the store, and only what is certain is reported to the listener.
    """

    name = LEARNING_RATE

    def __init__(
        self,
        specs: TrialSpecs,
        store: TrialStore,
        listener: Listener,
        reused: ReusedTrials | None = None,
    ) -> None:
        self._specs, self._store, self._listener, self._reused = specs, store, listener, reused
        self._known = known = store.searches()
        self._cells: list[Cell] = cells(specs)
        self.rows: dict[str, RateRecord] = {
            c.key: known[c.key] for c in self._cells if c.key in known and known[c.key].rate is not None
        }
        """Records of the searches that are finished, by cell key."""
        self._reported = tuple(self.rows)  # by an earlier run; the trials of these searches are not read again
        self._searches: dict[str, RateSearch | HorizonSearch] = {}
        for cell in self._cells:
            if cell.key not in self.rows and cell.search not in self._searches:
                self._searches[cell.search] = make_search(specs, cell)
        self._home: dict[str, tuple[RateSearch | HorizonSearch, RateCandidate]] = {}
        self._told: dict[str, _Told] = {}
        # Read back what earlier runs ended, up to the first trial of each search that has to run.
        found = [self._ask(search) for search in self._searches.values()]
        self._ready = [candidate for candidate in found if candidate is not None]
        self._judged = -1
        self._open_horizons()

    @property
    def found(self) -> int:
        """Number of searches that have finished."""
        return sum(search.finished for search in self._searches.values())

    def count(self) -> tuple[int, int]:
        """Count the trials, as far as they are known (ranges may be widened), and those that have ended."""
        asked = [candidate for search in self._searches.values() for candidate in search.candidates]
        planned = sum(search.trials for search in self._searches.values())
        reported = {trial.trial_id for key in self._reported for trial in self.rows[key].trials}
        return planned + len(reported), sum(candidate.ended for candidate in asked) + len(reported)

    def next_trial(self) -> TrialSpec | None:
        """Return the next trial of the search that has had the fewest, so that all families advance together."""
        self._open_horizons()
        if self._ready:
            return self._ready.pop(0).spec
        for search in sorted(self._searches.values(), key=lambda s: len(s.candidates)):
            candidate = self._ask(search)
            if candidate is not None:
                return candidate.spec
        return None

    @property
    def finished(self) -> bool:
        """Whether all searches are finished."""
        self._open_horizons()
        return not self._ready and all(search.finished for search in self._searches.values())

    def started(self, trial_id: str) -> None:
        """Note that a worker has begun the trial."""
        search, candidate = self._home[trial_id]
        if not candidate.ended:
            candidate.state = TrialState.RUNNING
        told = self._told[trial_id]
        told.started = True
        announce(self._listener, candidate.spec, search.family, self.name)

    def point(self, trial_id: str, point: Point) -> bool:
        """Note a point and return whether ASHA stops the trial."""
        search, candidate = self._home[trial_id]
        if not candidate.ended:
            candidate.hear([point])
            self._settle(search)
        return candidate.ended

    def ended(self, trial_id: str, record: TrialRecord) -> None:
        """Note the end of a trial; `_settle` ends those that ASHA stopped, with the points that count."""
        search, candidate = self._home[trial_id]
        candidate.state = record.state
        self._settle(search)

    def cancelled(self, trial_id: str, record: TrialRecord) -> None:
        """Notify the listener; no verdict may depend on a trial that is resumed later."""
        told = self._told[trial_id]
        if told.started and not told.ended:
            told.ended = True
            self._listener.trial_ended(trial_id, record.state, record.message)

    def assignments(self) -> list[Assignment]:
        """Assign the trials of all searches, also of earlier runs, in the order of families and of asking."""
        rows: list[Assignment] = []
        for cell in self._cells:
            if cell.search in self._searches:
                rows += [assignment(c.spec, cell.family, self.name) for c in self._searches[cell.search].candidates]
            else:
                rows += self.rows[cell.key].assignments()
        return rows

    def report(self) -> dict[str, RateRecord]:
        """Summarise the searches that are finished by now, by cell key."""
        for cell in self._cells:
            search = self._searches.get(cell.search)
            if search is not None and search.finished:
                self.rows[cell.key] = record_of(cell, search)
        return {cell.key: self.rows[cell.key] for cell in self._cells if cell.key in self.rows}

    def _open_horizons(self) -> None:
        """Begin to try rates at several horizons, where asked for, for each family whose rate is known by now."""
        if not self._specs.learning_rate.horizons or self._judged == self.found:
            return
        self._judged = self.found
        rates = given_rates(self._specs.families, self._specs.learning_rate)
        found = self.report()
        for cell in self._cells:
            if cell.centre is None and cell.key in found and (rate := found[cell.key].rate) is not None:
                rates[cell.place] = rate
        for cell in horizon_cells(self._specs, rates):
            if cell in self._cells:
                continue
            self._cells.append(cell)
            if cell.key in self._known:
                self.rows[cell.key] = self._known[cell.key]
                self._reported = (*self._reported, cell.key)
            elif cell.search not in self._searches:
                search = self._searches[cell.search] = make_search(self._specs, cell)
                candidate = self._ask(search)
                self._ready += [] if candidate is None else [candidate]

    def _ask(self, search: RateSearch | HorizonSearch) -> RateCandidate | None:
        """Return the next trial of a search that has to run; trials that have run are read back from the store."""
        while (candidate := search.ask()) is not None:
            trial_id = candidate.spec.trial_id
            self._home[trial_id] = (search, candidate)
            self._told[trial_id] = _Told()
            record = self._store.usable_record(candidate.spec)
            if not record.state.is_final:
                if self._reused is None or not self._reused.copy(candidate.spec, self._store):
                    return candidate
                record = self._store.valid_record(trial_id)
            candidate.hear(from_table(self._store.points(trial_id)))
            candidate.state = record.state
            self._settle(search)
        return None

    def _settle(self, search: RateSearch | HorizonSearch) -> None:
        """Report the results that have become certain, and end in the store the trials that ASHA stops."""
        for candidate, verdict in zip(search.candidates, search.verdicts(), strict=True):
            trial_id = candidate.spec.trial_id
            told = self._told[trial_id]
            for point in candidate.points[told.points : verdict.length]:
                if told.started:
                    self._listener.point(trial_id, point)
                told.points += 1
            cut = verdict.stopped and verdict.length <= len(candidate.points)  # else it diverged before its next rung
            if cut and (candidate.state != TrialState.STOPPED or len(candidate.points) > verdict.length):
                candidate.points = candidate.points[: verdict.length]
                candidate.state = TrialState.STOPPED
                self._store.close(trial_id, TrialState.STOPPED, candidate.points)
            if verdict.settled and candidate.ended and not told.ended:
                told.ended = True
                if told.started:
                    message = self._store.record(trial_id).message
                    self._listener.trial_ended(trial_id, candidate.state, message)
