"""Both stages as one source of trials: the grid of a family begins as soon as its learning rate is known.

A stage's last trials would leave workers idle, and each new Tuner restarts its workers: one Tuner for both avoids
both costs. It does not change what is trained, since trials are independent.
"""

from collections.abc import Callable

from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec
from raysweep.storage.trial_store import TrialRecord
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.stages.grid import GridStage
from raysweep.sweep.stages.tuning import TuningStage


class Pipeline:
    """Hands out the trials of the learning-rate stage first, then the trajectories of the grid that are ready."""

    name = "sweep"

    def __init__(self, tuning: TuningStage, grid: GridStage, rates_found: Callable[[], Plan]) -> None:
        """Join two stages.

        Args:
            tuning: the learning-rate stage.
            grid: the grid stage, with the trajectories whose rates are known.
            rates_found: called when a search has ended; records its rate and returns the plan of the grid by then.
        """
        self._tuning, self._grid, self._rates_found = tuning, grid, rates_found
        self._found = tuning.found

    def next_trial(self) -> TrialSpec | None:
        """Return a trial of a search, else the longest trajectory that is ready."""
        spec = self._tuning.next_trial()
        if spec is None:
            self._take_grid()
            spec = self._grid.next_trial()
        return spec

    @property
    def finished(self) -> bool:
        """Whether all trials of both stages were handed out, and no search may ask for more."""
        self._take_grid()
        return self._tuning.finished and self._grid.finished

    def started(self, trial_id: str) -> None:
        """Pass on that a worker has begun the trial."""
        self._stage_of(trial_id).started(trial_id)

    def point(self, trial_id: str, point: Point) -> bool:
        """Pass the point on; return whether the trial is to stop."""
        return self._stage_of(trial_id).point(trial_id, point)

    def ended(self, trial_id: str, record: TrialRecord) -> None:
        """Pass the end on."""
        self._stage_of(trial_id).ended(trial_id, record)

    def cancelled(self, trial_id: str, record: TrialRecord) -> None:
        """Pass on that the trial ended with the sweep."""
        self._stage_of(trial_id).cancelled(trial_id, record)

    def _take_grid(self) -> None:
        """Add the trajectories of families whose search has ended since."""
        if self._found != self._tuning.found:
            self._found = self._tuning.found
            self._grid.take(self._rates_found())

    def _stage_of(self, trial_id: str) -> TuningStage | GridStage:
        return self._grid if trial_id in self._grid else self._tuning
