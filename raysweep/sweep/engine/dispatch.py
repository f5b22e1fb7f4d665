"""Dispatches the trials of a stage: which one runs next, which is retried, and how each of them ends. Without Ray.

The adapters to Ray Tune (`tune_adapters`) ask a `Dispatcher` for trials and tell it what their workers do.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from raysweep.core.errors import StorageError
from raysweep.core.points import Point, from_table
from raysweep.core.text import knobs
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.engine.caps import Spending
from raysweep.sweep.engine.failures import Failure, cause_of_failure, full_storage, host_of
from raysweep.sweep.engine.policy import Then, WorkerEnd, decide
from raysweep.sweep.engine.watchdog import Limits
from raysweep.sweep.space.running import Resources
from raysweep.sweep.stages.stage import Stage

CANCELLING_SECONDS = 3.0
"""Time limit for recording how running trials ended, once the sweep is being stopped."""
LATE_SECONDS = 15.0
"""Grace period after a time limit, for the worker to end its trial itself; a stopped one (SIGSTOP) does not."""


@dataclass(frozen=True)
class Launch:
    """A trial to run next."""

    spec: TrialSpec
    number: int
    """How often this process has launched the trial, from 1."""
    alone: bool
    """Whether it runs alone on a node."""


@dataclass
class _Running:
    launch: Launch
    started: float | None = None
    last_heard: float | None = None
    killed: bool = False

    def overrun(self, limits: Limits, grace: float = 0.0) -> str | None:
        if self.started is None or self.last_heard is None:
            return None
        now = time.monotonic() - grace
        return limits.overrun(now - self.started, now - self.last_heard)


@dataclass
class _Trial:
    """State of a trial that outlives its workers."""

    points: list[Point] = field(default_factory=list)
    launches: int = 0
    failures: int = 0
    announced: bool = False
    was_alone: bool = False


class Dispatcher:
    """Dispatches the trials of a stage and decides what happens to them."""

    def __init__(
        self,
        stage: Stage,
        store: TrialStore,
        resources: Resources,
        spending: Spending,
        say: Callable[[str], object] = lambda _: None,
        host_lost: Callable[[str | None], bool] | None = None,
    ) -> None:
        """Begin with nothing launched.

        Args:
            stage: the source of trials, which is notified of their progress.
            store: the trial store.
            resources: of a trial, and the limits on it.
            spending: the account of what the sweep has spent, against its caps.
            say: called with a line for each trial that lost its worker and is retried.
            host_lost: whether the host of an address is lost; None: only Ray's errors show it.
        """
        self._stage, self._store, self._resources, self._spending = stage, store, resources, spending
        self._say, self._host_lost = say, host_lost
        self.limits = Limits(resources.timeout_seconds, resources.stall_seconds)
        self.cap: str | None = None
        """The cap that keeps further trials from starting, in words; None while there is none."""
        self._running: dict[str, _Running] = {}
        self._trials: dict[str, _Trial] = {}
        self._retries: list[TrialSpec] = []
        self._alone: list[TrialSpec] = []

    @property
    def finished(self) -> bool:
        """Whether no trial remains, not even one that may have to be retried, or none may start any more."""
        return self.cap is not None or (not (self._retries or self._alone or self._running) and self._stage.finished)

    def next_trial(self) -> Launch | None:
        """Return the trial to run next; None if there is none at the moment."""
        if self._resources.parallel is not None and len(self._running) >= self._resources.parallel:
            return None
        if any(run.launch.alone and run.started is None for run in self._running.values()):
            return None  # so that a node becomes free for it
        alone = False
        spec = self._retries.pop(0) if self._retries else self._stage.next_trial()
        if spec is None and self._alone:  # only if nothing else is ready, since it waits for a whole node
            spec, alone = self._alone.pop(0), True
        self.cap = self._spending.full(spec.trial_id) if spec is not None else None
        if spec is None or self.cap is not None:
            return None
        trial = self._trials.setdefault(spec.trial_id, _Trial())
        trial.launches += 1
        launch = Launch(spec, trial.launches, alone)
        self._running[spec.trial_id] = _Running(launch)
        return launch

    def started(self, trial_id: str) -> None:
        """Note that a worker has the trial; the stage is notified once, since a retried trial continues."""
        run, trial = self._running[trial_id], self._trials[trial_id]
        run.started = run.last_heard = time.monotonic()
        self._spending.began(trial_id)
        if not trial.announced:
            trial.announced = True
            self._stage.started(trial_id)

    def point(self, trial_id: str, index: int, point: Point) -> bool:
        """Pass a point on unless an earlier worker gave it; return whether the trial is to stop."""
        points = self._trials[trial_id].points
        self.heard(trial_id)
        if index < len(points):
            return False
        points.append(point)
        self._spending.point(trial_id, point)
        return self._stage.point(trial_id, point)

    def heard(self, trial_id: str) -> None:
        """Note that the worker of a trial is alive."""
        self._running[trial_id].last_heard = time.monotonic()

    def cap_reached(self) -> str | None:
        """Return the cap that the sweep has reached, in words; None if there is none."""
        return self._spending.reached()

    def overdue(self, trial_id: str) -> bool:
        """Whether to kill a worker: it overran its limit and did not end the trial itself; True only once."""
        run = self._running.get(trial_id)
        if run is None or run.killed or run.overrun(self.limits, LATE_SECONDS) is None:
            return False
        run.killed = True
        return True

    def worker_ended(self, trial_id: str, error: str) -> None:
        """Decide what happens to a trial whose worker raised an error or died.

        Raises:
            StorageError: the worker could not write, so no other trial can either.
        """
        full = full_storage(error)
        if full is not None:
            raise StorageError(full)
        run, trial = self._running[trial_id], self._trials[trial_id]
        written = self._store.record(trial_id).state
        end = WorkerEnd(
            error=error,
            failure=self._cause(error) if written.is_open else None,
            written=written,
            overrun=run.overrun(self.limits),
            failures=trial.failures,
            was_alone=trial.was_alone,
            entrypoint=run.launch.spec.entrypoint,
        )
        decision = decide(end, self._resources.max_failures)
        trial.failures += decision.counted
        if decision.then is Then.END:
            self._end(trial_id, decision.state, decision.reason)
            return
        del self._running[trial_id]
        if decision.then is Then.ALONE:
            trial.was_alone = True
            self._alone.append(run.launch.spec)
        else:
            self._retries.insert(0, run.launch.spec)
        self._say(f"{_name(run.launch.spec)}: {self._retry_line(decision.then, trial, counted=decision.counted)}")

    def worker_returned(self, trial_id: str) -> None:
        """Pass on the end that a worker wrote before it returned."""
        self._end(trial_id, TrialState.FAILED, "the worker returned without recording how the trial ended")

    def _end(self, trial_id: str, state: TrialState, reason: str) -> None:
        """Pass on how a trial ended; one whose worker wrote no end gets the given one."""
        run, trial = self._running.pop(trial_id), self._trials[trial_id]
        record = self._store.record(trial_id)
        if record.state.is_open:
            self._store.keep_spec(run.launch.spec)
            self._store.close(trial_id, state, trial.points, reason)
            record = self._store.record(trial_id)
        trial.points = []
        self._stage.ended(trial_id, record)

    def cancel(self) -> None:
        """Write that running trials are cancelled, as far as time allows; an end that a worker has written is kept."""
        if self._store.lease is not None and self._store.lease.lost:
            return  # another driver has the trials
        until = time.monotonic() + CANCELLING_SECONDS
        for trial_id, run in self._running.items():
            if run.started is None or time.monotonic() > until:
                continue
            points, state = self._trials[trial_id].points, self._store.record(trial_id).state
            if state == TrialState.RUNNING:
                self._store.close(trial_id, TrialState.CANCELLED, points, "cancelled: the sweep was stopped")
            elif state != TrialState.PLANNED:
                for point in from_table(self._store.points(trial_id))[len(points) :]:
                    self._stage.point(trial_id, point)
            self._stage.cancelled(trial_id, self._store.record(trial_id))

    def _cause(self, error: str) -> Failure:
        """Return the cause of a worker's failure; Ray may not know yet that its host is lost."""
        cause = cause_of_failure(error)
        if self._host_lost is None or cause is Failure.MEMORY:
            return cause
        return Failure.NODE if self._host_lost(host_of(error)) else cause

    def _retry_line(self, then: Then, trial: _Trial, *, counted: bool) -> str:
        if then is Then.ALONE:
            return "out of memory; it is retried once with a host to itself"
        if not counted:
            return "its host was lost; it resumes on another one from its last checkpoint"
        count = f"failure {trial.failures} of {self._resources.max_failures} allowed"
        return f"its worker died ({count}); it resumes from its last checkpoint"


def _name(spec: TrialSpec) -> str:
    return f"{spec.architecture} {knobs(dict(sorted(spec.size.items())))} seed={spec.seed}"
