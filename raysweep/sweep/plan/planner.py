"""The planner: the joint grid covered by the fewest trajectories, and what each of them costs."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from raysweep.core.hashing import size_json
from raysweep.core.trial import OptimizerSpec, TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.costs import Cost, CostBook
from raysweep.sweep.plan.designs import (
    Course,
    chosen_by_cost,
    courses,
    refuse_unreached,
    thin_budgets,
    unreached_notes,
)
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.plan.totals import slots
from raysweep.sweep.plan.values import Plan, PlannedTrial
from raysweep.sweep.space.facts import DataFacts
from raysweep.sweep.space.parts import Family, LearningRate, Size
from raysweep.sweep.space.space import Space

Correct = Callable[[str, float, float], float | None]
"""Corrects the rate of a family for the atoms that a trajectory sees in all; None: what that takes is not known yet."""

Rates = Mapping[tuple[str, str], float]
"""Learning rates by (family, size as JSON): of the base size where muP carries them, else of each size."""


def make_plan(
    space: Space,
    facts: DataFacts | None,
    rates: Rates,
    *,
    measure: bool = True,
    reused: Callable[[TrialSpec], TrialState] | None = None,
    correct: Correct | None = None,
) -> Plan:
    """Plan every trajectory of the grid for the learning rates that are known.

    Args:
        space: the search space, resolved.
        facts: about its structures; None while the store is still to be made.
        rates: the learning rates that are known.
        measure: whether unknown costs are measured (seconds for each size).
        reused: how a trial ended in a storage whose work is reused, where that counts as if it had ended here.
        correct: corrects a rate for the end of its trajectory; None: each is trained at the rate as it is.
    """
    store = TrialStore(space.storage)
    book = CostBook(space.resources, space.data, store, measure=measure)
    specs = None if facts is None else TrialSpecs.of(space, facts)
    designed = courses(space.grid, space.training.optimizer)
    drafts = [
        _draft(space, specs, book, rates, label, size, seed, course, correct)
        for label, family in space.families.items()
        for size in family.members()
        for seed, course in product(space.seeds(), designed)
    ]
    book.save()
    state_of = _states(store, reused)
    by_cost = chosen_by_cost(space.grid, space.in_rounds) is not None
    trials = []
    for draft in drafts:
        for end in draft.ends(facts, by_length=space.in_rounds is not None):
            spec = draft.spec(end, specs, by_cost=by_cost)
            optimizer, keep = space.training.optimizer, space.keep_weights
            trials.append(draft.planned(end, spec, state_of(spec), facts, optimizer, keep))
    told = () if facts is None else _check_budgets(space, facts, designed, drafts)
    return Plan(
        name=space.name,
        storage=space.storage,
        trials=tuple(trials),
        waits_for_data=facts is None,
        tuning_trials=_tuning_trials(space.families, space.learning_rate, space.training.optimizer),
        slots=slots(space.resources),
        price_per_device_hour=space.resources.price_per_device_hour,
        notes=(*store.notes, *told),  # states leave notes, too
    )


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """A trajectory of the grid whose final budget is not decided yet."""

    family: str
    architecture: str
    size: Size
    seed: int
    tuned: float | None
    """Its learning rate before it is corrected for the trajectory's end."""
    correct: Correct | None
    whole: Course
    """The grid's, the same for all sizes."""
    probe: TrialSpec | None
    """Its specification on the whole course, at any learning rate; None while the data is still to be made."""
    cost: Cost | None
    course: Course
    """What remains of it once the cost is known: budgets in time turned into FLOPs, those within an isoFLOP design."""

    def ends(self, facts: DataFacts | None, *, by_length: bool) -> list[Course]:
        """Return the courses to plan: one, none where the size reaches no budget; `by_length`: one for each budget."""
        if facts is None or self.cost is None:
            return [self.course]
        if not self.course.possible(facts, self.cost):
            return []
        return self.course.lengths(facts, self.cost) if by_length else [self.course]

    def spec(self, end: Course, specs: TrialSpecs | None, *, by_cost: bool) -> TrialSpec | None:
        """Specify it on a course; None until its rate is known, and its cost where trajectories are chosen by that."""
        if specs is None or (by_cost and self.cost is None):
            return None
        rate = self.rate(end, specs.facts)
        if rate is None:
            return None
        same = end == self.whole and self.correct is None
        return self.probe if same else specs.grid(self.family, self.size, self.seed, rate, end)

    def rate(self, end: Course, facts: DataFacts | None) -> float | None:
        """Return the learning rate on a course; None until it is known."""
        if self.correct is None or self.tuned is None:
            return self.tuned
        if facts is None or (end.flops and self.cost is None):
            return None  # where the trajectory ends is not known yet
        return self.correct(self.family, self.tuned, max(self.atoms(end, facts), default=end.most(facts)))

    def atoms(self, end: Course, facts: DataFacts | None) -> list[float]:
        """Return the atoms seen at each point of a course, as far as costs are known."""
        cost = self.cost
        reached = end.reached(facts, cost) if facts and cost else end.flops
        return [*(end.budgets(facts) if facts else ()), *(flops / cost.flops_per_atom for flops in reached if cost)]

    def planned(
        self,
        end: Course,
        spec: TrialSpec | None,
        state: TrialState,
        facts: DataFacts | None,
        optimizer: OptimizerSpec,
        keep: str,
    ) -> PlannedTrial:
        """Plan it on a course, with what it costs as far as that is known."""
        cost = self.cost
        reached = end.reached(facts, cost) if facts and cost else end.flops
        atoms = self.atoms(end, facts)
        spent = _atoms_spent(atoms, optimizer)
        return PlannedTrial(
            family=self.family,
            architecture=self.architecture,
            size=self.size,
            seed=self.seed,
            structures=end.structures[-1] if end.structures else end.seen,
            points=len(end.structures) + len(reached),
            atoms=tuple(sorted(atoms)) if cost else (),
            learning_rate=self.rate(end, facts),
            spec=spec,
            state=state,
            params=cost.params if cost else None,
            data=max(atoms, default=None),
            flops=cost.flops_per_atom * spent if cost and spent else None,
            naive_flops=cost.flops_per_atom * sum(atoms) if cost and atoms else None,
            device_seconds=cost.seconds_per_atom * spent if cost and spent else None,
            disk_bytes=_disk_bytes(cost.params, optimizer, len(end.structures) + len(reached), keep) if cost else None,
        )


def _draft(
    space: Space,
    specs: TrialSpecs | None,
    book: CostBook,
    rates: Rates,
    label: str,
    size: Size,
    seed: int,
    course: Course,
    correct: Correct | None,
) -> _Draft:
    family, bounds = space.families[label], space.grid.atoms_per_param
    rate = rates.get((label, size_json(family.base_size() if space.learning_rate.transfer == "mup" else size)))
    probe = None if specs is None else specs.grid(label, size, seed, rate or 1.0, course)
    cost = None if probe is None else book.cost(probe)
    remaining = course
    if specs is not None and cost is not None:
        remaining = course.timed(cost)
        remaining = remaining if bounds is None else remaining.isoflop(bounds, specs.facts, cost)
    return _Draft(
        family=label, architecture=family.architecture, size=size, seed=seed, tuned=rate, correct=correct, whole=course,
        probe=probe, cost=cost, course=remaining,
    )  # fmt: skip


def _check_budgets(
    space: Space, facts: DataFacts, designed: Sequence[Course], drafts: Sequence[_Draft]
) -> tuple[str, ...]:
    """Refuse compute budgets that no size of an isoFLOP design reaches; return notes on those that few or none do."""
    costs = {label: [draft.cost for draft in drafts if draft.family == label] for label in space.families}
    first = [draft for draft in drafts if draft.cost is not None and draft.seed == space.grid.seeds[0]]
    members = Counter((draft.family, flops) for draft in first for flops in draft.course.flops)
    refuse_unreached(space.grid, facts, designed, costs, members, space.error)
    return (
        *thin_budgets(space.grid, space.families, members),
        *unreached_notes(space.grid, facts, designed, costs),
    )


def _states(
    store: TrialStore, reused: Callable[[TrialSpec], TrialState] | None
) -> Callable[[TrialSpec | None], TrialState]:
    begun = set(store.ids())

    def state_of(spec: TrialSpec | None) -> TrialState:
        if spec is None:
            return TrialState.PLANNED
        state = store.usable_record(spec).state if spec.trial_id in begun else TrialState.PLANNED
        if reused is not None and not state.is_final:
            state = reused(spec)
        # By ASHA, as a tuning trial: as a grid trial it is not done.
        return TrialState.PLANNED if state == TrialState.STOPPED else state

    return state_of


def _atoms_spent(atoms: Sequence[float], optimizer: OptimizerSpec) -> float | None:
    """Return the atoms that a trajectory trains on in all; with wsd the decay to each budget comes on top."""
    end = max(atoms, default=None)
    if optimizer.name != "wsd" or end is None:
        return end
    return end + optimizer.decay_share * (sum(atoms) - end)  # the trunk leads to the last branch


def _disk_bytes(params: int, optimizer: OptimizerSpec, points: int, keep: str) -> float:
    """Return the disk space of two checkpoints of weights and two sequences or moments, and of the weights of points.

    In 4 bytes a number, whatever the precision. The last point's weights are in a checkpoint.
    """
    checkpoints = 2 * 3 * (2 if optimizer.name == "wsd" else 1)  # a branch (wsd) keeps its trunk, too
    return 4.0 * params * (checkpoints + {"last": 0, "best": 1, "all": points}[keep])


def _tuning_trials(families: Mapping[str, Family], settings: LearningRate, optimizer: OptimizerSpec) -> int:
    searched = [family for label, family in families.items() if label not in settings.rates]
    runs = 0 if not settings.horizons else len(settings.horizons) if optimizer.name == "cosine" else 1
    at_horizons = len(families) * settings.horizon_trials * runs
    return sum(len(family.tuned_sizes(settings)) for family in searched) * settings.trials + at_horizons
