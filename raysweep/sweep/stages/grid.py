"""The grid stage: first in, first out, longest first, never stopped early."""

from collections.abc import Sequence
from dataclasses import dataclass

from raysweep.core.points import Point
from raysweep.core.stages import GRID
from raysweep.core.trial import TrialSpec
from raysweep.storage.trial_store import TrialRecord
from raysweep.sweep.plan.values import Plan, PlannedTrial
from raysweep.sweep.stages.stage import Listener, announce


@dataclass(frozen=True)
class _Work:
    spec: TrialSpec
    family: str
    cost: float


class GridStage:
    """Hands out the trajectories that are not done, the longest first, so that no long one remains for the end."""

    name = GRID

    def __init__(self, trials: Sequence[PlannedTrial], listener: Listener) -> None:
        self._listener = listener
        self._work: dict[str, _Work] = {}
        self._queue: list[_Work] = []
        self.add(trials)

    def add(self, trials: Sequence[PlannedTrial]) -> None:
        """Add the trajectories that are ready and not done; one that serves several families is added once."""
        for trial in trials:
            if trial.spec is not None and not trial.state.is_final and trial.spec.trial_id not in self._work:
                work = _Work(trial.spec, trial.family, cost(trial))
                self._work[trial.spec.trial_id] = work
                self._queue.append(work)
        self._queue.sort(key=lambda work: (-work.cost, work.spec.trial_id))

    def take(self, grid: Plan) -> None:
        """Add the trajectories of the grid that have become ready."""
        self.add(grid.trials)

    def __contains__(self, trial_id: str) -> bool:
        return trial_id in self._work

    def next_trial(self) -> TrialSpec | None:
        """Return the longest remaining trajectory."""
        return self._queue.pop(0).spec if self._queue else None

    @property
    def finished(self) -> bool:
        """Whether all were handed out."""
        return not self._queue

    def started(self, trial_id: str) -> None:
        """Announce that a worker has begun the trial."""
        work = self._work[trial_id]
        announce(self._listener, work.spec, work.family, self.name)

    def point(self, trial_id: str, point: Point) -> bool:
        """Pass the point on; a grid trial is never stopped."""
        self._listener.point(trial_id, point)
        return False

    def ended(self, trial_id: str, record: TrialRecord) -> None:
        """Pass on the end."""
        self._listener.trial_ended(trial_id, record.state, record.message)

    def cancelled(self, trial_id: str, record: TrialRecord) -> None:
        """Pass on the end."""
        self.ended(trial_id, record)


def cost(trial: PlannedTrial) -> float:
    """Return device seconds, or FLOPs, or structures: whichever is known (the same for all trials of a sweep)."""
    return next(float(v) for v in (trial.device_seconds, trial.flops, trial.structures) if v is not None)
