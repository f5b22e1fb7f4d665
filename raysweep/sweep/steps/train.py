"""The main step of a run: costs are measured, then both stages are trained in one Ray Tune run."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raysweep.core.errors import RaysweepError
from raysweep.core.hashing import size_json
from raysweep.core.io.files import open_location
from raysweep.core.io.temporary import temporary_folder
from raysweep.core.text import knobs
from raysweep.storage import layout
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.cluster.driver.output import quiet
from raysweep.sweep.cluster.join import cluster
from raysweep.sweep.cluster.ray.home import ray_root
from raysweep.sweep.cluster.ray.variables import foreign_variables
from raysweep.sweep.cluster.watch import ClusterWatch
from raysweep.sweep.guests.entrypoint import load_entrypoint
from raysweep.sweep.plan.designs import chosen_by_cost
from raysweep.sweep.plan.measuring import measuring
from raysweep.sweep.plan.specs import TrialSpecs, assignment
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.progress import Progress, grid_label, telling
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.chooser import ChosenGrid
from raysweep.sweep.stages.grid import GridStage, cost
from raysweep.sweep.stages.named import NamedStage, NamedTrial
from raysweep.sweep.stages.pipeline import Pipeline
from raysweep.sweep.stages.stage import Listener, Listeners, Stage, closing
from raysweep.sweep.stages.tuning import TuningStage
from raysweep.sweep.steps.prepare import Sweep
from raysweep.sweep.tuning.rates import rate_lines

Mirror = Callable[[Space], Listener]
"""Makes the listener that mirrors a sweep elsewhere, such as MLflow; called only where there are trials to run."""


def train(sweep: Sweep, grid: Plan, mirror: Mirror | None) -> None:
    """Train the rest of a sweep.

    Args:
        sweep: it, prepared.
        grid: the plan of every trajectory of its grid.
        mirror: makes a listener that mirrors the trials elsewhere; None: no mirror.

    Raises:
        RaysweepError: a size is not a network, the entrypoint is unusable, or no node can hold a trial.
        CapReachedError: the sweep has spent what `caps` allows.
        KeyboardInterrupt: it was stopped, or its cluster is lost.
    """
    with bench(sweep, mirror, _measured(sweep, grid)) as ready:
        space, progress = sweep.space, sweep.progress
        tuning = TuningStage(TrialSpecs.of(space, sweep.facts), sweep.store, ready.listener, sweep.reused)
        grid = _record_rates(sweep, tuning)
        stage = _grid_stage(sweep, grid, tuning, ready.listener)
        pipeline = Pipeline(tuning, stage, lambda: _record_rates(sweep, tuning))
        if not pipeline.finished:
            _begin_progress(progress, sweep.chosen(grid), tuning)
            run_in_ray(pipeline, space, sweep.store, ready.scratch, progress.say, ready.watch)
        _record_rates(sweep, tuning)


def train_named(sweep: Sweep, trials: Sequence[NamedTrial], stage: str, mirror: Mirror | None) -> None:
    """Train given trials in a stage of their own; those that have ended are not run again.

    Args:
        sweep: it, prepared.
        trials: of any size, at any rate and on any course (see `TrialSpecs.grid`).
        stage: its name in the trial store and MLflow.
        mirror: makes a listener that mirrors the trials elsewhere; None: no mirror.

    Raises:
        RaysweepError: the entrypoint is unusable, or no node can hold a trial.
        CapReachedError: the sweep has spent what `caps` allows.
        KeyboardInterrupt: it was stopped, or its cluster is lost.
    """
    store = sweep.store
    store.add_assignments([assignment(trial.spec, trial.family, stage) for trial in trials])
    if sweep.reused is not None:
        for trial in trials:
            if not store.usable_record(trial.spec).state.is_final:
                sweep.reused.copy(trial.spec, store)
    left = [trial for trial in trials if not store.usable_record(trial.spec).state.ends_trajectory]
    if not left:
        return
    with bench(sweep, mirror) as ready:
        sweep.progress.costs.update({trial.spec.trial_id: trial.cost for trial in left})
        sweep.progress.begins(
            total=len(trials),
            done=len(trials) - len(left),
            cost_left=sum(trial.cost for trial in left),
            labels=[grid_label(trial.family, knobs(trial.spec.size), trial.spec.seed) for trial in left],
        )
        named = NamedStage(stage, left, ready.listener)
        run_in_ray(named, sweep.space, store, ready.scratch, sweep.progress.say, ready.watch)


@dataclass(frozen=True)
class Bench:
    """Everything that a stage of trials needs to run."""

    listener: Listener
    scratch: Path
    watch: ClusterWatch


@contextlib.contextmanager
def bench(
    sweep: Sweep,
    mirror: Mirror | None,
    measured: contextlib.AbstractContextManager[Callable[[], object]] | None = None,
) -> Iterator[Bench]:
    """Start or join Ray and the mirror, for the trials that run in the block.

    Args:
        sweep: it, prepared.
        mirror: makes a listener that mirrors the trials elsewhere; None: no mirror.
        measured: starts to measure costs while Ray starts, and yields a function that waits for them.
    """
    sweep.resolved.check_networks()
    _check_entrypoint(sweep.space)
    space, progress = sweep.space, sweep.progress
    with contextlib.ExitStack() as stack:
        scratch, log = _scratch(space.storage, stack)
        clock = sweep.rounds.clock if sweep.rounds else None
        followers = [progress, clock, mirror(space) if mirror else None]
        listener = Listeners([follower for follower in followers if follower is not None])
        stack.enter_context(telling(progress.say, "raysweep.tracking"))
        for name in foreign_variables():
            progress.say(f"{name} is ignored: a sweep has its own settings of Ray Tune")
        stack.enter_context(closing(listener))
        stack.enter_context(quiet(log))
        wait = None if measured is None else stack.enter_context(measured)
        with progress.working("starting Ray"):
            watch = stack.enter_context(cluster(space))
        stack.callback(progress.close)  # before Ray ends, which takes seconds
        if wait is not None:
            with progress.working("measuring costs"):
                wait()
        yield Bench(listener, scratch, watch)


def run_in_ray(
    stage: Stage,
    space: Space,
    store: TrialStore,
    scratch: Path,
    say: Callable[[str], object],
    watch: ClusterWatch,
) -> None:
    """Run all trials of a stage, or of a pipeline of stages, in Ray Tune (see `tune_stage.run_stage`)."""
    from raysweep.sweep.engine.tune_stage import run_stage  # imports Ray, which a finished sweep does not need

    run_stage(stage, space, store, scratch, say, watch)


def log_of(storage: str) -> str:
    """Return the log to read after the driver died without a message."""
    if "://" in storage:
        return f"under {ray_root()}/session_latest/logs"
    return str(Path(open_location(storage)[1]) / layout.LOGS / layout.RAY_LOG)


def _scratch(storage: str, stack: contextlib.ExitStack) -> tuple[Path, Path]:
    """Return a temporary folder for Ray Tune's files, and the log file for Ray's output."""
    # Not in the storage: Tune's behaviour on a full disk would hide why the sweep ends.
    folder = stack.enter_context(temporary_folder("sweep")).path
    return folder / "tune", folder / layout.RAY_LOG if "://" in storage else Path(log_of(storage))


def _check_entrypoint(space: Space) -> None:
    """Load the entrypoint here, for one error instead of one from each trial's worker."""
    if space.entrypoint is None:
        return
    function = load_entrypoint(space.entrypoint)
    by_cost = chosen_by_cost(space.grid, space.in_rounds)
    if by_cost is not None and not hasattr(function, "cost"):
        key, what = by_cost
        raise space.error(key, f"{what} needs what sizes cost: give {space.entrypoint} a `cost`")


@contextlib.contextmanager
def _measured(sweep: Sweep, grid: Plan) -> Iterator[Callable[[], object]]:
    """Start to measure unknown costs; yields a function that waits until they are in `costs.json`."""
    if sweep.space.entrypoint is not None or all(t.params is not None for t in sweep.chosen(grid).trials):
        yield lambda: sweep.plan(measure=True)
        return
    with measuring(sweep.space) as wait:

        def known() -> None:
            if wait():
                return
            by_cost = chosen_by_cost(sweep.space.grid, sweep.space.in_rounds)
            if by_cost is not None:
                raise RaysweepError(f"{by_cost[1]} needs what sizes cost, which could not be measured: see the log")
            sweep.progress.say(
                f"costs could not be measured (see {layout.LOGS}/{layout.RAY_LOG}): trials run in no order, without ETA"
            )

        yield known


def _record_rates(sweep: Sweep, tuning: TuningStage) -> Plan:
    """Record the learning rates found so far, print the new ones, and plan the grid with them."""
    known = set(tuning.rows)
    rows = tuning.report()
    sweep.store.write_searches(rows.values())
    for line in (line for key, row in rows.items() if key not in known for line in rate_lines(row)):
        sweep.progress.say(line)
    grid = sweep.plan()
    plan = sweep.chosen(grid)
    sweep.progress.costs.update({t.spec.trial_id: cost(t) for t in plan.trials if t.spec is not None})
    sweep.store.write_assignments([*plan.assignments(), *tuning.assignments()])
    return grid


def _grid_stage(sweep: Sweep, grid: Plan, tuning: TuningStage, listener: Listener) -> GridStage:
    if sweep.rounds is None:
        return GridStage(grid.trials, listener)

    def begun(plan: Plan, new: Plan) -> None:
        sweep.store.write_assignments([*plan.assignments(), *tuning.assignments()])
        sweep.progress.more({t.spec.trial_id: cost(t) for t in new.trials if t.spec is not None})

    return ChosenGrid(grid, listener, sweep.rounds, begun)


def _begin_progress(progress: Progress, plan: Plan, tuning: TuningStage) -> None:
    trials = {(t.family, size_json(t.size), t.seed): t for t in plan.trials}
    tuning_total, tuning_done = tuning.count()
    left = [trial for trial in trials.values() if not trial.state.is_final]
    labels = {grid_label(t.family, knobs(t.size), t.seed) for t in left}
    progress.begins(
        total=tuning_total + len(trials),
        done=tuning_done + len(trials) - len(left),
        cost_left=sum(cost(trial) for trial in left),
        labels=sorted(labels),
    )
