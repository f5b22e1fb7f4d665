"""Ray Tune's searcher, scheduler and callback, as thin adapters around a `Dispatcher`."""

import json
from collections.abc import Callable
from pathlib import Path

import ray
from ray.tune import Callback
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from raysweep.core.points import Point
from raysweep.sweep.engine.caps import CapReachedError
from raysweep.sweep.engine.dispatch import Dispatcher
from raysweep.sweep.engine.guarded import Guarded


class Feed(Searcher):
    """Answers Tune's question for the next trial."""

    def __init__(self, guarded: Guarded) -> None:
        super().__init__()
        self._guarded = guarded

    def suggest(self, trial_id: str) -> dict[str, object] | None:
        """Return the configuration of the next trial."""
        if self._guarded.error is not None or self._guarded.do(lambda dispatcher: dispatcher.finished):
            return Searcher.FINISHED  # type: ignore[return-value]
        return self._guarded.do(self._next)

    def _next(self, dispatcher: Dispatcher) -> dict[str, object] | None:
        launch = dispatcher.next_trial()
        return None if launch is None else self._guarded.config_of(launch)

    def on_trial_complete(self, trial_id: str, result: dict[str, object] | None = None, error: bool = False) -> None:
        """Do nothing: `Watcher` is notified."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the trial store is what a resume reads."""

    restore = save

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Do nothing: the trial store is what a resume reads."""


class Scheduler(FIFOScheduler):
    """First in, first out; a trial stops where its stage says so."""

    def __init__(self, guarded: Guarded) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._guarded = guarded
        self._controller: TuneController | None = None

    __getstate__ = Guarded.__getstate__

    def on_trial_add(self, tune_controller: TuneController, trial: Trial) -> None:
        """Keep the controller, which has the workers."""
        self._controller = tune_controller

    def kill_workers(self) -> None:
        """Kill all workers and free their resources of a Ray that outlives the sweep; Tune itself does not."""
        if self._controller is not None:
            self._controller._actor_manager.cleanup()  # type: ignore[no-untyped-call]

    def on_trial_result(self, tune_controller: object, trial: Trial, result: dict[str, object]) -> str:
        """Stop a trial where its stage says so."""
        stop = self._guarded.do(lambda dispatcher: self._take(dispatcher, _id(trial), result))
        return TrialScheduler.STOP if stop or self._guarded.error is not None else TrialScheduler.CONTINUE

    def _take(self, dispatcher: Dispatcher, trial_id: str, result: dict[str, object]) -> bool:
        if "point" not in result:
            dispatcher.heard(trial_id)
            return False
        return dispatcher.point(trial_id, int(str(result["index"])), Point(**json.loads(str(result["point"]))))


class Watcher(Callback):
    """Passes on starts and ends of trials, and checks lease, cluster, limits and caps between them."""

    def __init__(self, guarded: Guarded, check: Callable[[], object]) -> None:
        self._guarded, self._check = guarded, check

    __getstate__ = Guarded.__getstate__

    def on_step_end(self, iteration: int, trials: list[Trial], **info: object) -> None:
        """Check lease and cluster (`check` raises if they are lost), limits and caps."""
        self._check()
        for trial in trials:
            actor = trial.temporary_state.ray_actor
            if actor is not None and self._guarded.dispatcher.overdue(_id(trial)):
                ray.kill(actor)  # `Dispatcher.worker_ended` is called then
        reached = self._guarded.do(lambda dispatcher: dispatcher.cap_reached())
        if reached is not None:
            raise CapReachedError(reached)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Pass on that a worker has begun."""
        self._guarded.do(lambda dispatcher: dispatcher.started(_id(trial)))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Pass on that a worker has returned."""
        self._guarded.do(lambda dispatcher: dispatcher.worker_returned(_id(trial)))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: object) -> None:
        """Pass on that a worker raised or died."""
        self._guarded.do(lambda dispatcher: dispatcher.worker_ended(_id(trial), _error_of(trial)))


def _id(trial: Trial) -> str:
    return str(trial.config["trial_id"])


def _error_of(trial: Trial) -> str:
    """Return Ray's error of a worker; `Trial.get_error` reads a copy that does not exist yet at this time."""
    path = Path(str(trial.error_file))
    return path.read_text(errors="backslashreplace") if path.exists() else "Ray gave no reason"
