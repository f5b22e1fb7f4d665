"""Runs a sweep, step by step; running it again resumes it.

    prepare   the storage is leased, the search space resolved (which makes the structure store where there is none)
    plan      every trajectory of the grid, by the learning rates that are known and what the trial store has
    train     the rest: costs, then learning rates and grid in one Ray Tune run, adaptive rounds included
    finish    assignments and `points.parquet`
    forecast  where the search space asks for one: recorded, then proved by a run

The steps share a `Sweep`, which never changes, and pass plans on, which are values. Whatever happens in between is in
the trial store, from which a new plan is made.
"""

import time
from dataclasses import dataclass, replace

import pyarrow as pa
from rich.console import Console

from raysweep.core.trial import TrialState
from raysweep.storage.forecast_records import ForecastOutcome
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.engine.caps import CapReachedError
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.progress import Progress
from raysweep.sweep.space.space import Space
from raysweep.sweep.steps.driving import driven, finish
from raysweep.sweep.steps.prepare import Sweep
from raysweep.sweep.steps.train import Mirror, train

__all__ = ["Mirror", "SweepResult", "run"]


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """The state of a sweep after `run`."""

    name: str
    storage: str
    plan: Plan
    states: dict[str, TrialState]
    """By trial id, trials of both stages."""
    ran: int
    """Trials that this call ran; 0 where all was done before."""
    without_rate: tuple[str, ...]
    """Families whose learning rate could not be found, so that their grid was not run."""
    notes: tuple[str, ...]
    seconds: float
    forecast: ForecastOutcome | None = None
    """The forecast that the search space asks for, proved; None where there is none (`notes` say why not)."""

    @property
    def complete(self) -> bool:
        """Whether every trajectory of the grid ended, well or by divergence."""
        return not self.without_rate and all(trial.state.is_final for trial in self.plan.trials)

    def table(self) -> pa.Table:
        """Return all points of the sweep, with the columns `family` and `stage`."""
        return TrialStore(self.storage).table()

    def count(self, state: TrialState) -> int:
        """Count the trials in a state."""
        return sum(value == state for value in self.states.values())


def run(space: Space, *, mirror: Mirror | None = None, console: Console | None = None) -> SweepResult:
    """Run a sweep, or the rest of it, to its end; finished work is not repeated.

    Args:
        space: the search space.
        mirror: makes a listener that mirrors the trials elsewhere (MLflow); None: no mirror.
        console: where progress is printed; standard output by default.

    Raises:
        RaysweepError: what the search space asks for is unavailable, another driver runs this sweep, or another thread
            of this process runs one.
        Interrupted: on SIGINT, SIGTERM or SIGHUP; the same call resumes.
        ClusterLostError: the Ray cluster died; likewise.
        CapReachedError: the sweep has spent what `caps` allows; with a higher cap the same call resumes.
        LeaseLostError: another driver has taken over the sweep, since this one sent no heartbeat for too long.
    """
    began = time.monotonic()
    with driven(space, console) as sweep:
        before = sweep.attempts()
        grid = sweep.plan()
        if sweep.unfinished(grid):
            try:
                train(sweep, grid, mirror)
            except CapReachedError:
                finish(sweep, sweep.plan())
                raise
            grid = sweep.plan()
        finish(sweep, grid)
        ran = sum(attempt != before.get(trial_id, 0) for trial_id, attempt in sweep.attempts().items())
        result = _result(sweep, sweep.chosen(grid), ran, time.monotonic() - began)
    return _with_forecast(space, result, mirror, console) if space.forecast.wanted and result.complete else result


def _with_forecast(space: Space, result: SweepResult, mirror: Mirror | None, console: Console | None) -> SweepResult:
    """Record and prove the forecast that the search space asks for."""
    from raysweep.sweep.forecasts.closing import closing_forecast  # imports scipy

    began, before = time.monotonic(), _attempts(space)
    outcome = closing_forecast(space, mirror=mirror, console=console)
    result = replace(
        result,
        ran=result.ran + sum(attempt != before.get(trial_id, 0) for trial_id, attempt in _attempts(space).items()),
        seconds=result.seconds + time.monotonic() - began,
    )
    if isinstance(outcome, ForecastOutcome):
        return replace(result, forecast=outcome)
    Progress(console).say(outcome)
    return replace(result, notes=(*result.notes, outcome))


def _attempts(space: Space) -> dict[str, int]:
    store = TrialStore(space.storage)
    return {trial_id: store.record(trial_id).attempt for trial_id in store.ids()}


def _result(sweep: Sweep, plan: Plan, ran: int, seconds: float) -> SweepResult:
    store = sweep.store
    states = {row.trial_id: store.record(row.trial_id).state for row in store.assignments()}
    if sweep.reused is not None and (left := sweep.reused.note()) is not None:
        store.notes.append(left)
    notes = tuple(dict.fromkeys(store.notes))
    for note in notes:
        sweep.progress.say(note)
    return SweepResult(
        name=sweep.space.name,
        storage=sweep.space.storage,
        plan=plan,
        states=states,
        ran=ran,
        without_rate=tuple(dict.fromkeys(t.family for t in plan.trials if t.spec is None)),
        notes=notes,
        seconds=seconds,
    )
