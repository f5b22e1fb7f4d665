"""The preview of a sweep: the plan that a run would follow, worked out without running anything."""

import dataclasses
import os
from collections.abc import Callable

from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.planner import make_plan
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.plan.totals import idle, missing
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.reuse.changed_code import codes
from raysweep.sweep.reuse.changed_code import note as code_note
from raysweep.sweep.reuse.trials import ReusedTrials
from raysweep.sweep.space.resolve import Resolved, resolve
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.choosers import chooser_of
from raysweep.sweep.tuning.rates import given_rates, horizon_correction, known_rates


def plan(space: Space) -> Plan:
    """Plan a run without running it; nothing is written but measured costs.

    With RAY_ADDRESS the resources of that cluster's nodes are queried.

    Raises:
        SpaceError: the search space asks for more structures than its store has, or a trial fits on no node.
    """
    store = TrialStore(space.storage)
    resolved = resolve(space, store)
    resolved.check_networks()
    space = resolved.space
    found = current_plan(resolved, store, measure=True, reused=ReusedTrials(space).state)
    rounds = chooser_of(resolved, store)
    found = rounds.preview(found) if rounds else found
    if found.trials and not found.waits_for_data:
        from raysweep.sweep.plan.expectations import with_outlook  # imports scipy

        found = with_outlook(found, space.grid, store)
    if os.environ.get("RAY_ADDRESS"):
        from raysweep.sweep.cluster.join import cluster_slots  # imports Ray

        found = dataclasses.replace(found, slots=cluster_slots(space.resources, space.error))
    told = [
        note
        for note in (
            resolved.unknown,
            missing(space.resources),
            idle(space.resources, space.entrypoint),
            code_note(store, codes(space.entrypoint, space.architectures, store)),
        )
        if note
    ]
    return dataclasses.replace(found, notes=(*store.notes, *found.notes, *told))


def current_plan(
    resolved: Resolved,
    store: TrialStore,
    *,
    measure: bool,
    reused: Callable[[TrialSpec], TrialState] | None = None,
) -> Plan:
    """Plan every trajectory of the grid by the learning rates that are given, or found by now.

    Args:
        resolved: the search space.
        store: its storage.
        measure: whether unknown costs are measured.
        reused: how a trial ended in a storage whose work is reused.
    """
    space, facts = resolved.space, resolved.facts
    correct = None
    if facts is None:
        rates = given_rates(space.families, space.learning_rate)
    else:
        specs = TrialSpecs.of(space, facts)
        rates = known_rates(specs, store)
        if space.learning_rate.horizon_grid:
            correct = horizon_correction(specs, store, rates)
    return make_plan(space, facts, rates, measure=measure, reused=reused, correct=correct)
