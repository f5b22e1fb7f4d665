"""The expected answers of a plan's trajectories, by family, before anything is paid for. Imports the frontier."""

import dataclasses

import pyarrow as pa

from raysweep.core.stages import GRID
from raysweep.frontier import design_outlook
from raysweep.frontier.design.outlook import Outlook
from raysweep.frontier.points.readers import as_table
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.specs import assignment
from raysweep.sweep.plan.values import Plan, PlannedTrial
from raysweep.sweep.space.parts import Grid


def with_outlook(plan: Plan, grid: Grid, store: TrialStore) -> Plan:
    """Add the expected answers of its trajectories to a plan, if their costs are known.

    Args:
        plan: of the trajectories that are to run.
        grid: whose compute budgets are to be bracketed.
        store: of the sweep; points that are there already are fitted.
    """
    known = [trial for trial in plan.trials if trial.params is not None and trial.atoms and trial.naive_flops]
    if not known:
        return plan
    outlooks = design_outlook(_planned(known), _measured(known, store), grid.flops)
    return dataclasses.replace(plan, outlook=tuple(outlooks.values()))


def outlook_of(plan: Plan, grid: Grid, store: TrialStore) -> dict[str, Outlook]:
    """Return the outlook of a plan by family."""
    return {str(one.architecture): one for one in with_outlook(plan, grid, store).outlook}


def _planned(trials: list[PlannedTrial]) -> pa.Table:
    columns: dict[str, list[object]] = {name: [] for name in ("params", "data", "flops", "trajectory", "architecture")}
    for run, trial in enumerate(trials):
        assert trial.params is not None
        assert trial.naive_flops is not None
        per_atom = trial.naive_flops / sum(trial.atoms)
        for atoms in trial.atoms:
            for name, value in zip(
                columns, (float(trial.params), atoms, per_atom * atoms, str(run), trial.family), strict=True
            ):
                columns[name].append(value)
    return pa.table(columns)


def _measured(trials: list[PlannedTrial], store: TrialStore) -> pa.Table | None:
    """Return the points of the trials so far, None if there are none."""
    rows = [assignment(trial.spec, trial.family, GRID) for trial in trials if trial.spec and trial.ended]
    table = store.table(rows)
    return as_table(table) if table.num_rows else None
