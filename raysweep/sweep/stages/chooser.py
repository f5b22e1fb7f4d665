"""The interface that chooses the trajectories of a grid in rounds, and the stage that asks for the next round.

A chooser writes each round into the storage before its trials are run, so an interrupted sweep continues with its
current round. The next one is chosen when every trial of the present one has ended: it does not depend on timing.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from raysweep.core.hashing import size_json
from raysweep.core.trial import TrialSpec
from raysweep.storage.trial_store import TrialRecord
from raysweep.sweep.plan.values import Plan, PlannedTrial
from raysweep.sweep.stages.grid import GridStage
from raysweep.sweep.stages.stage import Listener


class Chooser(Protocol):
    """Chooses trajectories from the plan of every trajectory of a grid at each of its lengths (`whole`)."""

    def group(self, trial: PlannedTrial) -> str:
        """Return the group of a trial: rounds of different groups do not wait for each other."""

    def ready(self, whole: Plan) -> bool:
        """Whether rounds can be chosen, or wait for costs and learning rates."""

    def begin(self, whole: Plan) -> None:
        """Write the first rounds that can be chosen; called before their trials are run."""

    def chosen(self, whole: Plan) -> Plan:
        """Return the trajectories chosen so far; where there are none, the first round."""

    def preview(self, whole: Plan) -> Plan:
        """Return the part that was chosen so far, with a note on its share of the whole grid."""

    def over(self, whole: Plan) -> bool:
        """Whether every chosen trajectory has ended, and no round will follow."""

    def advance(self, whole: Plan, group: str) -> Sequence[PlannedTrial]:
        """Choose and write the next round of a group whose trials have ended; empty where its rounds are over."""

    def leave_out(self, whole: Plan, group: str, waiting: Collection[str]) -> Collection[str]:
        """Return the trials of a group's present round, of those that wait to be begun, for which no time is left."""

    @property
    def clock(self) -> Listener | None:
        """A clock of the sweep's time, for rounds that depend on it."""


class ChosenGrid(GridStage):
    """The grid stage that asks for the next round of a group whenever all of its trajectories have ended."""

    def __init__(self, grid: Plan, listener: Listener, chooser: Chooser, begun: Callable[[Plan, Plan], None]) -> None:
        """Begin with the rounds that were chosen so far.

        Args:
            grid: the plan of every trajectory of the grid at each of its lengths.
            listener: notified of the trials' progress.
            chooser: chooses from it.
            begun: called with each new round: the plan of all rounds by then, and that of the new one.
        """
        self._chooser, self._begun = chooser, begun
        self._open: dict[str, set[str]] = {}
        """Trials that have not ended yet, by group; where there are none, its next round is due."""
        self._over: set[str] = set()
        super().__init__((), listener)
        self.take(grid)

    def take(self, grid: Plan) -> None:
        """Add the trajectories of the rounds so far that have become ready."""
        self._grid, self._ready = grid, self._chooser.ready(grid)
        if self._ready:
            self._chooser.begin(grid)
        self.add(self._chooser.chosen(grid).trials)

    def add(self, trials: Sequence[PlannedTrial]) -> None:
        """Add the trajectories that are ready and not done."""
        for trial in trials:
            if trial.spec is not None:
                open_ = self._open.setdefault(self._chooser.group(trial), set())
                if not trial.state.is_final and trial.spec.trial_id not in self:
                    open_.add(trial.spec.trial_id)
        super().add(trials)

    def next_trial(self) -> TrialSpec | None:
        """Return the longest remaining trajectory."""
        self._leave_out()
        self._advance()
        return super().next_trial()

    @property
    def finished(self) -> bool:
        """Whether all trials were handed out and no round will follow."""
        self._leave_out()
        self._advance()
        return super().finished and all(group in self._over for group in self._open)

    def ended(self, trial_id: str, record: TrialRecord) -> None:
        """Pass the end on; its group waits for one trial less."""
        super().ended(trial_id, record)
        for open_ in self._open.values():
            open_.discard(trial_id)

    def _leave_out(self) -> None:
        """Drop the trials of present rounds that wait, where the chooser has no time left for them."""
        waiting = self.waiting()
        for group, open_ in self._open.items():
            gone = set(self._chooser.leave_out(self._grid, group, open_ & waiting)) if open_ & waiting else set()
            open_ -= gone
            self.drop(gone)

    def _advance(self) -> None:
        """Begin the next round of each group whose trajectories have all ended."""
        if not self._ready:
            return
        for group in [label for label, open_ in self._open.items() if not open_ and label not in self._over]:
            more = self._chooser.advance(self._grid, group)
            self._begun(self._chooser.chosen(self._grid), dataclasses.replace(self._grid, trials=tuple(more)))
            self.add(more)
            if not self._open[group]:
                self._over.add(group)


def by_family(plan: Plan) -> dict[str, list[PlannedTrial]]:
    """Group the trials of a plan by family, in its order."""
    found: dict[str, list[PlannedTrial]] = {}
    for trial in plan.trials:
        found.setdefault(trial.family, []).append(trial)
    return found


def longest(trials: Iterable[PlannedTrial]) -> list[PlannedTrial]:
    """Return the trajectory with the most points of each family, size and seed."""
    found: dict[tuple[str, str, int], PlannedTrial] = {}
    for trial in trials:
        key = trial.family, size_json(trial.size), trial.seed
        if key not in found or trial.points > found[key].points:
            found[key] = trial
    return list(found.values())


def run_of(trial: PlannedTrial) -> str:
    """Name the run that a trajectory belongs to: of one family, those that share it differ only in where they end."""
    assert trial.spec is not None
    if trial.spec.optimizer.name == "cosine":  # a run for each budget
        return trial.spec.trial_id
    return f"{size_json(trial.size)} {trial.seed}"
