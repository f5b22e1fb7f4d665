"""Runs a stage's trials in Ray Tune: the one place that knows Tune's searchers, schedulers and callbacks."""

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import ray
from ray import tune
from ray.tune import Callback
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raysweep.core.errors import StorageError
from raysweep.core.io.files import absolute
from raysweep.core.points import Point, from_table
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.cluster.capacity import whole_node
from raysweep.sweep.cluster.watch import ClusterWatch
from raysweep.sweep.engine.caps import CapReachedError, Spending
from raysweep.sweep.engine.failures import Death, cause_of_death, full_storage, host_of
from raysweep.sweep.engine.trainable import run_trial
from raysweep.sweep.engine.watchdog import Limits
from raysweep.sweep.plan.costs import CostBook
from raysweep.sweep.reuse.changed_code import codes
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.stage import Stage

T = TypeVar("T")
CANCELLING_SECONDS = 3.0
"""How long the ends of running trials may take to write, where the sweep was told to end."""
LATE_SECONDS = 15.0
"""How long after a limit of a trial its worker may still end it itself; one that stands still (SIGSTOP) does not."""


@dataclass
class _Run:
    """A trial that Tune has."""

    spec: TrialSpec
    alone: bool
    started: float | None = None
    heard: float | None = None
    killed: bool = False

    def overrun(self, limits: Limits, grace: float = 0.0) -> str | None:
        if self.started is None or self.heard is None:
            return None
        now = time.monotonic() - grace
        return limits.overrun(now - self.started, now - self.heard)


class _Driver:
    """Joins a stage to Tune: which trials run, what they told, and the first error of our own."""

    def __init__(
        self, stage: Stage, space: Space, store: TrialStore, say: Callable[[str], object], watch: ClusterWatch | None
    ) -> None:
        self.stage, self.space, self.store, self._say, self.watch = stage, space, store, say, watch
        self.limits = Limits(space.resources.timeout_seconds, space.resources.stall_seconds)
        self.running: dict[str, _Run] = {}
        self.points: dict[str, list[Point]] = {}
        self.begun: set[str] = set()
        self.error: Exception | None = None
        self._codes = codes(space, store)  # as it is now: a worker that finds other code says so
        self.spending = Spending(space, store)
        self._costs = CostBook(space, store, measure=False)
        self.full: str | None = None
        """Why no further trial may begin, once that is so."""
        self._again: list[TrialSpec] = []
        self._alone: list[TrialSpec] = []
        self._were_alone: set[str] = set()
        self._deaths: Counter[str] = Counter()
        self._gos: Counter[str] = Counter()

    def __getstate__(self) -> dict[str, object]:
        """Give Tune nothing to pickle: it keeps a copy of itself on disk, which nothing ever reads."""
        return {}

    def guard(self, action: Callable[[], T]) -> T | None:
        """Do something of ours within Tune's loop, which would take an error for the trial's: keep it for later."""
        if self.error is None:
            try:
                return action()
            except Exception as error:  # noqa: BLE001 - raised again by `run_stage`
                self.error = error
        return None

    @property
    def finished(self) -> bool:
        """Whether no trial is left, not even one that may have to run again, or none may begin any more."""
        return self.full is not None or (not (self._again or self._alone or self.running) and self.stage.finished)

    def gpu(self, spec: TrialSpec) -> float:
        """Return the GPUs, or the share of one, that a trial asks of Ray."""
        if self.space.resources.gpu != "auto":
            return self.space.resources.gpu
        cost = self._costs.cost(spec)
        return cost.gpu_share if cost else 1.0

    def suggest(self) -> dict[str, object] | None:
        limit = self.space.resources.parallel
        if limit is not None and len(self.running) >= limit:
            return None
        if any(run.alone and run.started is None for run in self.running.values()):
            return None  # so that a node becomes free for it
        alone = False
        spec = self._again.pop(0) if self._again else self.stage.next_trial()
        if spec is None and self._alone:  # when nothing else is ready: it waits for a whole node
            spec, alone = self._alone.pop(0), True
        self.full = self.spending.full(spec.trial_id) if spec is not None else None
        if spec is None or self.full is not None:
            return None
        self.running[spec.trial_id] = _Run(spec, alone)
        self.points.setdefault(spec.trial_id, [])
        self._gos[spec.trial_id] += 1
        data = absolute(self.space.data.store) if self.space.data else None
        return {
            "trial_id": spec.trial_id,
            "name": f"{spec.trial_id}-{self._gos[spec.trial_id]}",
            "spec": spec.model_dump_json(),
            "code": self._codes.now(spec),
            "storage": self.store.location,
            "data": data,
            "path": os.pathsep.join(map(os.path.abspath, sys.path)) if self.space.entrypoint else "",
            "cpu": self.space.resources.cpu,
            "gpu": self.gpu(spec),
            "timeout": self.limits.timeout,
            "stall": self.limits.stall,
            "alone": alone,
        }

    def started(self, trial_id: str) -> None:
        """Pass on that a worker has the trial, once: after a worker's death its trial goes on, it does not begin."""
        self.running[trial_id].started = self.running[trial_id].heard = time.monotonic()
        self.spending.began(trial_id)
        if trial_id not in self.begun:
            self.begun.add(trial_id)
            self.stage.started(trial_id)

    def result(self, trial_id: str, result: dict[str, object]) -> bool:
        """Pass a point on unless an earlier attempt told it; return whether the trial is to stop."""
        told = self.points[trial_id]
        self.running[trial_id].heard = time.monotonic()
        if "point" not in result or int(str(result["index"])) < len(told):
            return False
        told.append(Point(**json.loads(str(result["point"]))))
        self.spending.point(trial_id, told[-1])
        return self.stage.point(trial_id, told[-1])

    def died(self, trial_id: str, error: str) -> None:
        """Find out why a worker died before its trial ended: the trial goes on, runs once more alone, or ends here.

        Raises:
            StorageError: it could not write, so no other trial can either.
        """
        full = full_storage(error)
        if full is not None:
            raise StorageError(full)
        run, record = self.running[trial_id], self.store.record(trial_id)
        open_ended = record.state.is_open
        state, reason = TrialState.FAILED, error
        cause = self._cause(error) if open_ended else None
        overrun = run.overrun(self.limits) if open_ended else None
        if overrun is not None:
            state, reason = TrialState.TIMED_OUT, f"{overrun}; Python itself did not answer any more"
        elif cause is Death.NODE:
            self._again.insert(0, run.spec)
        elif cause is Death.MEMORY or record.state == TrialState.OUT_OF_MEMORY:
            state, reason = TrialState.OUT_OF_MEMORY, f"its worker was killed for memory:\n{reason}"
            if trial_id not in self._were_alone:
                self._were_alone.add(trial_id)
                self._alone.append(run.spec)
        elif cause is Death.FAULT:
            self._deaths[trial_id] += 1
            own = f" in entrypoint {run.spec.entrypoint} (os._exit, a crash or a kill)" if run.spec.entrypoint else ""
            reason = f"its worker died {self._deaths[trial_id]} times{own}, the last time so:\n{reason}"
            if self._deaths[trial_id] <= self.space.resources.max_failures:
                self._again.insert(0, run.spec)
        if run.spec in self._again or run.spec in self._alone:
            del self.running[trial_id]
            self._say_again(run.spec, cause)
        else:
            self.ended(trial_id, state, reason)

    def _cause(self, error: str) -> Death:
        """Return the cause of a worker's death; Ray may not know yet that its host died."""
        cause = cause_of_death(error)
        if self.watch is not None and cause in (Death.FAULT, Death.NODE):
            lost = self.watch.host_lost(host_of(error))
            return Death.NODE if lost else cause
        return cause

    def _say_again(self, spec: TrialSpec, cause: Death | None) -> None:
        size = " ".join(f"{knob}={value}" for knob, value in sorted(spec.size.items()))
        name = f"{spec.architecture} {size} seed={spec.seed}"
        if cause is Death.NODE:
            self._say(f"{name}: its host is lost; it goes on elsewhere from its last checkpoint")
        elif cause is Death.FAULT:
            limit = self.space.resources.max_failures
            count = f"{self._deaths[spec.trial_id]} of {limit} times at most"
            self._say(f"{name}: its worker died ({count}); it goes on from its last checkpoint")
        else:
            self._say(f"{name}: out of memory; it is tried once more, alone on a host")

    def ended(self, trial_id: str, state: TrialState, reason: str) -> None:
        """Pass on how a trial ended; one whose end no worker wrote is ended here, in the state that is given."""
        record = self.store.record(trial_id)
        if record.state.is_open:
            self.store.keep_spec(self.running[trial_id].spec)
            self.store.close(trial_id, state, self.points[trial_id], reason)
            record = self.store.record(trial_id)
        del self.running[trial_id]
        self.points.pop(trial_id)
        self.stage.ended(trial_id, record)

    def cancel(self) -> None:
        """Write that the trials which run now were ended with the sweep, as far as there is time.

        One whose worker came to its end meanwhile, unheard, has that end.
        """
        if self.store.held is not None and self.store.held.lost:
            return  # another driver has the trials
        until = time.monotonic() + CANCELLING_SECONDS
        for trial_id, run in self.running.items():
            if run.started is None or time.monotonic() > until:
                continue
            state = self.store.record(trial_id).state
            if state == TrialState.RUNNING:
                self.store.close(trial_id, TrialState.CANCELLED, self.points[trial_id], "ended with its sweep")
            elif state != TrialState.PLANNED:
                for point in from_table(self.store.points(trial_id))[len(self.points[trial_id]) :]:
                    self.stage.point(trial_id, point)
            self.stage.cancelled(trial_id, self.store.record(trial_id))


class _Feed(Searcher):
    """Tune's question for the next trial."""

    def __init__(self, driver: _Driver) -> None:
        super().__init__()
        self._driver = driver

    def suggest(self, trial_id: str) -> dict[str, object] | None:
        driver = self._driver
        if driver.error is not None or driver.guard(lambda: driver.finished):
            return Searcher.FINISHED  # type: ignore[return-value]
        return driver.guard(driver.suggest)

    def on_trial_complete(self, trial_id: str, result: dict[str, object] | None = None, error: bool = False) -> None:
        """Nothing: `_Watcher` hears of it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the trial store is what a resume reads."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the trial store is what a resume reads."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Nothing: the trial store is what a resume reads."""


class _Scheduler(FIFOScheduler):
    """First in, first out; a trial stops where its stage says so."""

    def __init__(self, driver: _Driver) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._driver = driver
        self._controller: TuneController | None = None

    def __getstate__(self) -> dict[str, object]:
        """Give Tune nothing to pickle (see `_Driver`)."""
        return {}

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        self._controller = tune_controller

    def kill_workers(self) -> None:
        """Kill all workers and give back what they hold of a Ray that outlives the sweep; Tune itself leaves them."""
        if self._controller is not None:
            self._controller._actor_manager.cleanup()  # type: ignore[no-untyped-call]

    def on_trial_result(self, tune_controller: object, trial: Trial, result: dict[str, object]) -> str:
        trial_id = str(trial.config["trial_id"])
        stop = self._driver.guard(lambda: self._driver.result(trial_id, result))
        return TrialScheduler.STOP if stop or self._driver.error is not None else TrialScheduler.CONTINUE


class _Watcher(Callback):
    """Tune's news of beginnings and ends."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver

    def on_step_end(self, iteration: int, trials: list[Trial], **info: object) -> None:
        if self._driver.store.held is not None:
            self._driver.store.held.check_beats()
        if self._driver.watch is not None:
            self._driver.watch.check()
        self._kill_overdue(trials)
        reason = self._driver.guard(self._driver.spending.reached)
        if reason is not None:
            raise CapReachedError(reason)

    def _kill_overdue(self, trials: list[Trial]) -> None:
        """Kill workers that overran their limit without ending the trial; `_Driver.died` is called then."""
        for trial in trials:
            run, actor = self._driver.running.get(str(trial.config["trial_id"])), trial.temporary_state.ray_actor
            if actor is None or run is None or run.killed:
                continue
            if run.overrun(self._driver.limits, LATE_SECONDS) is not None:
                run.killed = True
                ray.kill(actor)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._driver.guard(lambda: self._driver.started(str(trial.config["trial_id"])))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        reason = "the worker returned without writing an end"
        self._driver.guard(lambda: self._driver.ended(str(trial.config["trial_id"]), TrialState.FAILED, reason))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._driver.guard(lambda: self._driver.died(str(trial.config["trial_id"]), _last_error(trial)))


def _last_error(trial: Trial) -> str:
    """Return what Ray says of a worker's death; `Trial.get_error` reads a copy that is not made yet at this time."""
    path = Path(str(trial.error_file))
    return path.read_text(errors="backslashreplace") if path.exists() else "no reason given by Ray"


def _name(trial: Trial) -> str:
    return str(trial.config["name"])


def run_stage(
    stage: Stage,
    space: Space,
    store: TrialStore,
    scratch: Path,
    say: Callable[[str], object] = lambda _: None,
    watch: ClusterWatch | None = None,
) -> None:
    """Run all trials of a stage; returns when each of them has ended.

    Args:
        stage: the source of trials.
        space: resources, and where data and trials are.
        store: where trials are written.
        scratch: a local folder for what Tune insists on writing, thrown away afterwards.
        say: is told, in a line, of each trial that lost its worker and goes on.
        watch: of the cluster; None: nobody looks whether it, or a host of it, is lost.

    Raises:
        CapReachedError: the sweep has spent what its search space allows.
        KeyboardInterrupt: it was told to end, or its cluster is lost.
    """
    driver = _Driver(stage, space, store, say, watch)
    reached = driver.spending.reached()
    if reached is not None:
        raise CapReachedError(reached)
    whole = whole_node(space)
    scheduler = _Scheduler(driver)

    def held(config: dict[str, object]) -> tune.PlacementGroupFactory:
        bundle = whole if config["alone"] else {"CPU": space.resources.cpu, "GPU": float(str(config["gpu"]))}
        return tune.PlacementGroupFactory([{name: count for name, count in bundle.items() if count}])

    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{stage.name}-", ignore_cleanup_errors=True) as folder:
        tuner = tune.Tuner(
            tune.with_resources(run_trial, held),
            tune_config=tune.TuneConfig(
                num_samples=-1,
                search_alg=_Feed(driver),
                scheduler=scheduler,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=stage.name,
                storage_path=folder,
                failure_config=tune.FailureConfig(max_failures=0),  # `_Driver.died` knows which deaths count
                callbacks=[_Watcher(driver)],
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        except KeyboardInterrupt:
            if watch is None or not watch.lost:  # else nobody is there to kill them
                scheduler.kill_workers()
            driver.cancel()
            raise
        except Exception as error:
            if driver.error is None:
                raise  # Tune's own; else it stumbled over what ended the sweep
            raise driver.error from error
    if driver.error is not None:
        raise driver.error
    if driver.full is not None:
        raise CapReachedError(driver.full)
