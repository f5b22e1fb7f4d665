"""The first step of a run: the search space is resolved, its structure store made, its storage checked."""

from dataclasses import dataclass

from raysweep.storage.lease import DriverLease
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.cluster.join import check_before_data
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.preview import current_plan
from raysweep.sweep.progress import Progress
from raysweep.sweep.reuse.settle import settle
from raysweep.sweep.reuse.trials import ReusedTrials
from raysweep.sweep.space.facts import DataFacts
from raysweep.sweep.space.identity import write_identity
from raysweep.sweep.space.networks import check_sizes
from raysweep.sweep.space.resolve import Resolved, resolve
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.chooser import Chooser
from raysweep.sweep.stages.choosers import chooser_of
from raysweep.sweep.tuning.rates import horizon_cells, known_rates


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep that is ready to run: what stays the same while its trials run."""

    resolved: Resolved
    facts: DataFacts
    store: TrialStore
    progress: Progress
    reused: ReusedTrials | None
    rounds: Chooser | None

    @property
    def space(self) -> Space:
        """The search space, resolved."""
        return self.resolved.space

    def plan(self, *, measure: bool = False) -> Plan:
        """Plan every trajectory of the grid, by the state of the trial store; reused trials are copied into it."""
        state_of = self.reused.state if self.reused else None
        grid = current_plan(self.resolved, self.store, measure=measure, reused=state_of)
        if self.reused is not None:
            for trial in grid.trials:
                if trial.spec is not None and trial.ended and not self.store.state(trial.spec.trial_id).is_final:
                    self.reused.copy(trial.spec, self.store)
        return grid

    def chosen(self, grid: Plan) -> Plan:
        """Return the part of the grid that is to run: all of it, or the rounds so far."""
        return self.rounds.chosen(grid) if self.rounds else grid

    def unfinished(self, grid: Plan) -> bool:
        """Whether there is anything left to train."""
        plan = self.chosen(grid)
        if not plan.identified or any(not trial.state.is_final for trial in plan.trials) or self._horizons_open():
            return True
        return self.rounds is not None and not self.rounds.over(grid)

    def _horizons_open(self) -> bool:
        """Whether it remains to be measured how the best rates move with the horizon."""
        specs = TrialSpecs.of(self.space, self.facts)
        known = self.store.searches()
        return any(cell.key not in known for cell in horizon_cells(specs, known_rates(specs, self.store)))

    def attempts(self) -> dict[str, int]:
        """Return the number of attempts of each trial."""
        return {trial_id: self.store.record(trial_id).attempt for trial_id in self.store.ids()}


def prepare(space: Space, progress: Progress, lock: DriverLease) -> Sweep:
    """Resolve a search space, make its structure store if there is none, and apply `changed_code` to its trials.

    Raises:
        RaysweepError: the storage is another sweep's, or the space asks for something unavailable.
    """
    store = TrialStore(space.storage, lock)
    resolved = resolve(space, store, make_data=lambda space: _make_data(space, progress))
    space, facts = resolved.space, resolved.facts
    assert facts is not None
    settled = settle(space, store)
    if settled is not None:
        progress.say(settled)
    write_identity(store, space, facts)
    rounds = chooser_of(resolved, store, progress.say)
    reused = ReusedTrials(space) if space.earlier else None
    return Sweep(resolved=resolved, facts=facts, store=store, progress=progress, reused=reused, rounds=rounds)


def _make_data(space: Space, progress: Progress) -> None:
    """Make the structure store by its recipe on all workers, after all checks that need no structures."""
    assert space.data is not None
    assert space.data.make is not None
    from raysweep.data.generation import xtb  # imports RDKit and tblite
    from raysweep.sweep.cluster.data_workers import data_workers

    check_sizes(space)
    check_before_data(space)
    recipe = space.data.make
    progress.say(f"making the structure store {space.data.store}: {recipe.structures} structures")
    with progress.counting("structures") as count:
        xtb.make_store(
            space.data.store,
            structures=recipe.structures,
            preset=recipe.preset,
            seed=recipe.seed,
            pool=data_workers(None, None),
            progress=count,
        )
