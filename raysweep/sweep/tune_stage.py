"""Runs a stage's trials in Ray Tune: the one place that knows Tune's searchers, schedulers and callbacks."""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raysweep.files import absolute
from raysweep.measurements import Point
from raysweep.sweep.space import Space
from raysweep.sweep.stage import Stage
from raysweep.sweep.trainable import run_trial
from raysweep.sweep.trial_store import TrialStore
from raysweep.trial import TrialState

T = TypeVar("T")


class _Driver:
    """Joins a stage to Tune: which trials run, what they told, and the first error of our own."""

    def __init__(self, stage: Stage, space: Space, store: TrialStore) -> None:
        self.stage, self.space, self.store = stage, space, store
        self.running: set[str] = set()
        self.points: dict[str, list[Point]] = {}
        self.begun: set[str] = set()
        self.error: Exception | None = None

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

    def suggest(self) -> dict[str, object] | None:
        limit = self.space.resources.parallel
        if limit is not None and len(self.running) >= limit:
            return None
        spec = self.stage.next_trial()
        if spec is None:
            return None
        self.running.add(spec.trial_id)
        self.points[spec.trial_id] = []
        data = absolute(self.space.data.store) if self.space.data else None
        return {
            "trial_id": spec.trial_id,
            "spec": spec.model_dump_json(),
            "storage": self.store.location,
            "data": data,
            "path": os.pathsep.join(sys.path) if self.space.entrypoint else "",
            "cpu": self.space.resources.cpu,
            "gpu": self.space.resources.gpu,
        }

    def started(self, trial_id: str) -> None:
        """Pass on that a worker has the trial, once: after a worker's death its trial goes on, it does not begin."""
        if trial_id not in self.begun:
            self.begun.add(trial_id)
            self.stage.started(trial_id)

    def result(self, trial_id: str, result: dict[str, object]) -> bool:
        """Pass a point on unless an earlier attempt told it; return whether the trial is to stop."""
        told = self.points[trial_id]
        if "point" not in result or int(str(result["index"])) < len(told):
            return False
        told.append(Point(**json.loads(str(result["point"]))))
        return self.stage.point(trial_id, told[-1])

    def ended(self, trial_id: str, reason: str | None) -> None:
        """Find out how a trial ended; one whose worker died, or came to no end, is ended here."""
        record = self.store.record(trial_id)
        if record.state in (TrialState.RUNNING, TrialState.PLANNED):
            message = reason or "the worker returned without writing an end"
            self.store.close(trial_id, TrialState.FAILED, self.points[trial_id], message)
            record = self.store.record(trial_id)
        self.running.discard(trial_id)
        self.points.pop(trial_id, None)
        self.stage.ended(trial_id, record)


class _Feed(Searcher):
    """Tune's question for the next trial."""

    def __init__(self, driver: _Driver) -> None:
        super().__init__()
        self._driver = driver

    def suggest(self, trial_id: str) -> dict[str, object] | None:
        driver = self._driver
        if driver.error is not None or driver.guard(lambda: driver.stage.finished):
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

    def on_trial_result(self, tune_controller: object, trial: Trial, result: dict[str, object]) -> str:
        trial_id = str(trial.config["trial_id"])
        stop = self._driver.guard(lambda: self._driver.result(trial_id, result))
        return TrialScheduler.STOP if stop or self._driver.error is not None else TrialScheduler.CONTINUE


class _Watcher(Callback):
    """Tune's news of beginnings and ends."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._driver.guard(lambda: self._driver.started(str(trial.config["trial_id"])))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        self._driver.guard(lambda: self._driver.ended(str(trial.config["trial_id"]), None))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        limit = self._driver.space.resources.max_failures
        reason = f"its worker died {limit + 1} times in a row, the last time so:\n{_last_error(trial)}"
        self._driver.guard(lambda: self._driver.ended(str(trial.config["trial_id"]), reason))


def _name(trial: Trial) -> str:
    return str(trial.config["trial_id"])


def _last_error(trial: Trial) -> str:
    text = str(trial.get_error() or trial.get_pickled_error() or "no reason given by Ray")
    return text[-1000:]


def run_stage(stage: Stage, space: Space, store: TrialStore, scratch: Path) -> None:
    """Run all trials of a stage; returns when each of them has ended.

    Args:
        stage: the source of trials.
        space: resources, and where data and trials are.
        store: where trials are written.
        scratch: a local folder for what Tune insists on writing, thrown away afterwards.
    """
    driver = _Driver(stage, space, store)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{stage.name}-", ignore_cleanup_errors=True) as folder:
        tuner = tune.Tuner(
            tune.with_resources(run_trial, {"cpu": space.resources.cpu, "gpu": space.resources.gpu}),
            tune_config=tune.TuneConfig(
                num_samples=-1,
                search_alg=_Feed(driver),
                scheduler=_Scheduler(driver),
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=stage.name,
                storage_path=folder,
                failure_config=tune.FailureConfig(max_failures=space.resources.max_failures),
                callbacks=[_Watcher(driver)],
                verbose=0,
            ),
        )
        tuner.fit()
    if driver.error is not None:
        raise driver.error
