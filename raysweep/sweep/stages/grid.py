"""The grid stage: first in, first out, longest first, never stopped early."""

from collections.abc import Sequence

from raysweep.core.stages import GRID
from raysweep.sweep.plan.values import Plan, PlannedTrial
from raysweep.sweep.stages.named import NamedStage, NamedTrial
from raysweep.sweep.stages.stage import Listener


class GridStage(NamedStage):
    """Hands out the trajectories that are not done, the longest first."""

    def __init__(self, trials: Sequence[PlannedTrial], listener: Listener) -> None:
        super().__init__(GRID, (), listener)
        self.add(trials)

    def add(self, trials: Sequence[PlannedTrial]) -> None:
        """Add the trajectories that are ready and not done; one that serves several families is added once."""
        open_ = [trial for trial in trials if trial.spec is not None and not trial.state.is_final]
        self.put(NamedTrial(trial.spec, trial.family, cost(trial)) for trial in open_ if trial.spec is not None)

    def take(self, grid: Plan) -> None:
        """Add the trajectories of the grid that have become ready."""
        self.add(grid.trials)


def cost(trial: PlannedTrial) -> float:
    """Return device seconds, or FLOPs, or structures: whichever is known (the same for all trials of a sweep)."""
    return next(float(v) for v in (trial.device_seconds, trial.flops, trial.structures) if v is not None)
