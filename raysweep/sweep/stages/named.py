"""A stage of given trials: handed out in a fixed order, the longest first, never stopped early."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec
from raysweep.storage.trial_store import TrialRecord
from raysweep.sweep.stages.stage import Listener, announce


@dataclass(frozen=True)
class NamedTrial:
    """A trial to run."""

    spec: TrialSpec
    family: str
    cost: float
    """A number that grows with how long it takes."""


class NamedStage:
    """Hands out trials, the longest first, so that no long one remains for the end; each trial is added once."""

    def __init__(self, name: str, trials: Iterable[NamedTrial], listener: Listener) -> None:
        """Begin a stage.

        Args:
            name: of the stage in the trial store and MLflow.
            trials: those to run.
            listener: notified of their progress.
        """
        self.name = name
        self._listener = listener
        self._trials: dict[str, NamedTrial] = {}
        self._queue: list[NamedTrial] = []
        self.put(trials)

    def put(self, trials: Iterable[NamedTrial]) -> None:
        """Add trials that were not added before."""
        for trial in trials:
            if trial.spec.trial_id not in self._trials:
                self._trials[trial.spec.trial_id] = trial
                self._queue.append(trial)
        self._queue.sort(key=lambda trial: (-trial.cost, trial.spec.trial_id))

    def waiting(self) -> set[str]:
        """Return the ids of the trials that were not handed out yet."""
        return {trial.spec.trial_id for trial in self._queue}

    def drop(self, trial_ids: Collection[str]) -> None:
        """Take trials out of the queue, as if they had not been added."""
        self._queue = [trial for trial in self._queue if trial.spec.trial_id not in trial_ids]
        for trial_id in trial_ids:
            del self._trials[trial_id]

    def __contains__(self, trial_id: str) -> bool:
        return trial_id in self._trials

    def next_trial(self) -> TrialSpec | None:
        """Return the longest remaining trial."""
        return self._queue.pop(0).spec if self._queue else None

    @property
    def finished(self) -> bool:
        """Whether all were handed out."""
        return not self._queue

    def started(self, trial_id: str) -> None:
        """Announce that a worker has begun the trial."""
        trial = self._trials[trial_id]
        announce(self._listener, trial.spec, trial.family, self.name)

    def point(self, trial_id: str, point: Point) -> bool:
        """Pass the point on; a trial is never stopped."""
        self._listener.point(trial_id, point)
        return False

    def ended(self, trial_id: str, record: TrialRecord) -> None:
        """Pass on the end."""
        self._listener.trial_ended(trial_id, record.state, record.message)

    def cancelled(self, trial_id: str, record: TrialRecord) -> None:
        """Pass on the end."""
        self.ended(trial_id, record)
