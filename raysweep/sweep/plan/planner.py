"""The planner: the joint grid covered by the fewest trajectories, and what each of them costs."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import product

from raysweep.core.hashing import size_json
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.costs import Cost, CostBook
from raysweep.sweep.plan.designs import Course, courses, refuse_unreached, thin_budgets, unreached_notes
from raysweep.sweep.plan.specs import grid_spec
from raysweep.sweep.plan.totals import slots
from raysweep.sweep.plan.values import Plan, PlannedTrial
from raysweep.sweep.space.facts import DataFacts
from raysweep.sweep.space.parts import Size
from raysweep.sweep.space.space import Space

Rates = Mapping[tuple[str, str], float]
"""Learning rates by (family, size as JSON): of the base size where muP carries them, else of each size."""


def make_plan(
    space: Space,
    facts: DataFacts | None,
    rates: Rates,
    *,
    measure: bool = True,
    reused: Callable[[TrialSpec], TrialState] | None = None,
) -> Plan:
    """Return the plan for known learning rates.

    Args:
        space: the search space.
        facts: about its structures; None where the store is not made yet.
        rates: the learning rates that are known.
        measure: whether sizes whose cost is not known yet are measured (seconds each).
        reused: how a trial ended in a storage whose work is reused, where that counts as if it had ended here.
    """
    store = TrialStore(space.storage)
    begun = set(store.ids())
    book = CostBook(space, store, measure=measure)
    trials = []
    members: Counter[tuple[str, float]] = Counter()
    costs: dict[str, list[Cost | None]] = {label: [] for label in space.families}
    designed = courses(space)
    by_cost = space.grid.design == "isoflop" or space.adaptive.enabled or bool(space.grid.device_hours)
    for label, family in space.families.items():
        for size in family.members():
            rate = rates.get((label, size_json(_rate_size(space, label, size))))
            for seed, course in product(space.seeds(), designed):
                probe = grid_spec(space, facts, label, size, seed, rate or 1.0, course) if facts else None
                cost = book.cost(probe) if probe else None
                costs[label].append(cost)
                ends = [course]
                if facts and cost:
                    ends = [course.timed(cost)]
                    if space.grid.atoms_per_param is not None:
                        ends = [ends[0].isoflop(space.grid.atoms_per_param, facts, cost)]
                        members.update((label, flops) for flops in ends[0].flops if seed == space.grid.seeds[0])
                    ends = [end for end in ends if end.possible(facts, cost)]
                    if space.adaptive.enabled:
                        ends = [shorter for end in ends for shorter in end.lengths(facts, cost)]
                for end in ends:
                    spec = None
                    if facts and rate is not None and (cost or not by_cost):
                        spec = probe if end == course else grid_spec(space, facts, label, size, seed, rate, end)
                    state = store.usable_record(spec).state if spec and spec.trial_id in begun else TrialState.PLANNED
                    if reused and spec and not state.is_final:
                        state = reused(spec)
                    if state == TrialState.STOPPED:  # by ASHA, as a tuning trial: as a grid trial it is not done
                        state = TrialState.PLANNED
                    planned = _planned(space, facts, label, size, seed, end, spec, state, cost)
                    trials.append(dataclasses.replace(planned, learning_rate=rate))
    book.save()
    if facts:
        refuse_unreached(space, facts, designed, costs, members)
    searched = [label for label in space.families if label not in space.learning_rate.rates]
    cells = sum(len(space.families[label].tuned_sizes(space.learning_rate)) for label in searched)
    return Plan(
        name=space.name,
        storage=space.storage,
        trials=tuple(trials),
        waits_for_data=facts is None,
        tuning_trials=cells * space.learning_rate.trials,
        slots=slots(space),
        price_per_device_hour=space.resources.price_per_device_hour,
        notes=(*store.notes, *thin_budgets(space, members), *unreached_notes(space, facts, designed, costs))
        if facts
        else tuple(store.notes),
    )


def _rate_size(space: Space, label: str, size: Size) -> Size:
    return space.families[label].base_size() if space.learning_rate.transfer == "mup" else size


def _planned(
    space: Space,
    facts: DataFacts | None,
    label: str,
    size: Size,
    seed: int,
    course: Course,
    spec: TrialSpec | None,
    state: TrialState,
    cost: Cost | None,
) -> PlannedTrial:
    reached = course.reached(facts, cost) if facts and cost else course.flops
    atoms = list(course.budgets(facts)) if facts else []
    atoms += [flops / cost.flops_per_atom for flops in reached] if cost else []
    ends = spent = max(atoms, default=None)
    wsd = space.training.optimizer.name == "wsd"
    if wsd and ends is not None:  # the trunk leads to the last branch; the others come on top
        spent = ends + space.training.optimizer.decay_share * (sum(atoms) - ends)
    return PlannedTrial(
        family=label,
        architecture=space.families[label].architecture,
        size=size,
        seed=seed,
        structures=course.structures[-1] if course.structures else course.seen,
        points=len(course.structures) + len(reached),
        atoms=tuple(sorted(atoms)) if cost else (),
        spec=spec,
        state=state,
        params=cost.params if cost else None,
        data=ends,
        flops=cost.flops_per_atom * spent if cost and spent else None,
        naive_flops=cost.flops_per_atom * sum(atoms) if cost and atoms else None,
        device_seconds=cost.seconds_per_atom * spent if cost and spent else None,
        # Two checkpoints of weights and two sequences or moments, in 4 bytes each; a branch (wsd) keeps its trunk, too.
        disk_bytes=2 * 3 * 4.0 * (2 if wsd else 1) * cost.params if cost else None,
    )
