"""Runs a sweep: makes its data, tunes its learning rates, runs its grid. Running it again goes on where it stopped."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from raysweep.core.errors import RaysweepError
from raysweep.core.hashing import size_json
from raysweep.core.io.files import open_location
from raysweep.core.io.temporary import temporary_folder
from raysweep.core.text import knobs
from raysweep.core.trial import TrialState
from raysweep.storage import layout
from raysweep.storage.lease import DriverLock, driver_lock
from raysweep.storage.rate_records import RateRecord
from raysweep.storage.trial_store import Assignment, TrialStore
from raysweep.sweep.cluster.last_words import last_words
from raysweep.sweep.cluster.ray_environment import foreign_variables
from raysweep.sweep.cluster.ray_home import ray_root
from raysweep.sweep.cluster.resources import check_before_data, cluster, quiet
from raysweep.sweep.cluster.signals import Interrupted, interruptible
from raysweep.sweep.cluster.watch import ClusterLostError, ClusterWatch
from raysweep.sweep.engine.caps import CapReachedError
from raysweep.sweep.guests.entrypoint import load_entrypoint
from raysweep.sweep.plan.costs import REFUSED, measure_apart
from raysweep.sweep.plan.planner import make_plan
from raysweep.sweep.plan.values import Plan, PlannedTrial
from raysweep.sweep.progress import Progress, grid_label, telling
from raysweep.sweep.reuse.earlier import EarlierTrials
from raysweep.sweep.reuse.identity import refuse_other_sweep, write_identity
from raysweep.sweep.settle_code import settle
from raysweep.sweep.space.facts import DataFacts, data_facts, with_structures
from raysweep.sweep.space.ladder import with_sizes
from raysweep.sweep.space.mup_check import check_mup
from raysweep.sweep.space.space import Space, check_sizes
from raysweep.sweep.stages.grid import GridStage, cost
from raysweep.sweep.stages.pipeline import Pipeline
from raysweep.sweep.stages.stage import Listener, Listeners
from raysweep.sweep.stages.tuning import TuningStage
from raysweep.sweep.tuning.rates import known_rates

CLOSING_SECONDS = 3.0
"""How long a mirror may take to write what is left once the sweep was told to end; a later run makes up for it."""

_running = threading.Lock()

Mirror = Callable[[Space], Listener]
"""Makes the listener that mirrors a sweep elsewhere, such as MLflow; called only where there are trials to run."""


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """How a sweep stands after `run`."""

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

    @property
    def complete(self) -> bool:
        """Whether every trajectory of the grid ended, well or by divergence."""
        return not self.without_rate and all(trial.state.is_final for trial in self.plan.trials)

    def table(self) -> pa.Table:
        """Return all points of the sweep, with the columns `family` and `stage`."""
        return TrialStore(self.storage).table()

    def count(self, state: TrialState) -> int:
        """Return how many trials are in a state."""
        return sum(value == state for value in self.states.values())


def run(space: Space, *, mirror: Mirror | None = None, console: Console | None = None) -> SweepResult:
    """Run a sweep to its end, or what is left of it; nothing that is done is done again.

    Args:
        space: the search space.
        mirror: makes a listener that mirrors the trials elsewhere (MLflow); None: no mirror.
        console: where progress is printed; standard output by default.

    Raises:
        RaysweepError: what the search space asks for cannot be had, another driver runs this sweep, or another thread
            of this process runs one.
        Interrupted: on SIGINT, SIGTERM or SIGHUP; the same call goes on from there.
        ClusterLostError: the Ray cluster died; likewise.
        CapReachedError: the sweep has spent what `caps` allows; with a higher cap the same call goes on.
        LockLostError: another driver has taken the sweep over, since this one was not heard of for too long.
    """
    began = time.monotonic()
    progress = Progress(console)
    with (
        _alone(),
        telling(progress.say, "raysweep.storage"),
        telling(progress.say, "raysweep.cluster"),
        last_words(_log_of(space)),
        driver_lock(space.storage, progress.say) as lock,
        interruptible(),
    ):
        if lock.note:
            progress.say(lock.note)
        refuse_other_sweep(space, TrialStore(space.storage))  # before minutes of making data, not after
        sweep = _Sweep(space, _ensure_data(space, progress), progress, lock)
        ran = sweep.go(mirror)
        return sweep.result(ran, time.monotonic() - began)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep other threads from running a sweep meanwhile: a process has one Ray, and one standard error for its log.

    Raises:
        RaysweepError: one runs.
    """
    if not _running.acquire(blocking=False):
        raise RaysweepError(
            "this process runs a sweep already, in another thread; run one after the other, or each in a process of "
            "its own (`raysweep run`)"
        )
    try:
        yield
    finally:
        _running.release()


class _Sweep:
    """One call of `run`."""

    def __init__(self, space: Space, facts: DataFacts, progress: Progress, lock: DriverLock) -> None:
        self.store = TrialStore(space.storage, lock)
        refuse_other_sweep(space, self.store, facts.fingerprint)
        settled = settle(space, self.store)
        if settled is not None:
            progress.say(settled)
        space = with_structures(with_sizes(space, self.store), facts)
        self.space, self.facts, self.progress = space, facts, progress
        write_identity(self.store, space, facts)
        self.earlier = EarlierTrials(space) if space.earlier else None
        self.rounds = None
        if space.adaptive.enabled:
            from raysweep.sweep.stages.rounds import Rounds  # imports scipy

            self.rounds = Rounds(space, self.store, progress.say)
        self.plan, self.whole = self._plan(measure=False)

    def go(self, mirror: Mirror | None) -> int:
        """Run what is not done, and return how many trials that were."""
        before = {i: self.store.record(i).attempt for i in self.store.ids()}
        if self._left():
            try:
                self._run_stages(mirror)
            except CapReachedError:
                self.plan, self.whole = self._plan(measure=False)
                self._write_table()
                raise
            self.plan, self.whole = self._plan(measure=False)
        self._write_table()
        return sum(self.store.record(i).attempt != before.get(i, 0) for i in self.store.ids())

    def result(self, ran: int, seconds: float) -> SweepResult:
        """Return how the sweep stands."""
        states = {row.trial_id: self.store.record(row.trial_id).state for row in self.store.assignments()}
        if self.earlier is not None and (left := self.earlier.note()) is not None:
            self.store.notes.append(left)
        for note in dict.fromkeys(self.store.notes):
            self.progress.say(note)
        return SweepResult(
            name=self.space.name,
            storage=self.space.storage,
            plan=self.plan,
            states=states,
            ran=ran,
            without_rate=tuple(dict.fromkeys(t.family for t in self.plan.trials if t.spec is None)),
            notes=tuple(dict.fromkeys(self.store.notes)),
            seconds=seconds,
        )

    def _plan(self, *, measure: bool) -> tuple[Plan, Plan]:
        """Return what is to run, and the whole grid that it is chosen from."""
        rates = known_rates(self.space, self.facts, self.store)
        whole = make_plan(self.space, self.facts, rates, measure=measure, earlier=self.earlier)
        if self.earlier is not None:
            for trial in whole.trials:
                if trial.spec is not None and trial.ended and not self.store.state(trial.spec.trial_id).is_final:
                    self.earlier.take(trial.spec, self.store)
        return (self.rounds.chosen(whole) if self.rounds else whole), whole

    def _left(self) -> bool:
        if not self.plan.identified or any(not trial.state.is_final for trial in self.plan.trials):
            return True
        return self.rounds is not None and not self.rounds.over(self.whole)

    def _grid(self, listener: Listener, tuning: TuningStage) -> GridStage:
        if self.rounds is None:
            return GridStage(self.plan.trials, listener)
        from raysweep.sweep.stages.rounds import AdaptiveGrid

        return AdaptiveGrid(self.plan.trials, listener, lambda family: self._advance(family, tuning))

    def _advance(self, family: str, tuning: TuningStage) -> Sequence[PlannedTrial]:
        """Choose the next round of a family, and write down what it is."""
        assert self.rounds is not None
        more = self.rounds.advance(self.whole, family)
        self.plan = self.rounds.chosen(self.whole)
        self.store.write_assignments([*self.plan.assignments(), *tuning.assignments()])
        self.progress.more({t.spec.trial_id: cost(t) for t in more if t.spec is not None})
        return more

    def _run_stages(self, mirror: Mirror | None) -> None:
        check_sizes(self.space)
        check_mup(self.space, self.facts)
        if self.space.entrypoint is not None:
            # One error here, not one for each trial from the workers.
            train = load_entrypoint(self.space.entrypoint)
            if self._by_cost and not hasattr(train, "cost"):
                key, what = self._by_cost
                reason = f"{what} needs what sizes cost: give {self.space.entrypoint} a `cost`"
                raise self.space.error(key, reason)
        with contextlib.ExitStack() as stack:
            scratch, log = _scratch(self.space, stack)
            listener = Listeners([self.progress, mirror(self.space)] if mirror else [self.progress])
            stack.enter_context(telling(self.progress.say, "raysweep.tracking"))
            for name in foreign_variables():
                self.progress.say(f"{name} is ignored: a sweep has its own settings of Ray Tune")
            stack.enter_context(_closing(listener))
            stack.enter_context(quiet(log))
            measured = stack.enter_context(self._measuring())
            with self.progress.working("starting Ray"):
                watch = stack.enter_context(cluster(self.space))
            stack.callback(self.progress.close)  # before Ray ends, which takes seconds
            with self.progress.working("measuring costs"):
                self.plan, self.whole = measured()
            tuning = TuningStage(self.space, self.facts, self.store, listener, self.earlier)
            self._rates_found(tuning)
            grid = self._grid(listener, tuning)
            pipeline = Pipeline(tuning, grid, lambda: self._rates_found(tuning))
            if not pipeline.finished:
                self._begin_progress(tuning)
                _run_pipeline(pipeline, self.space, self.store, scratch, self.progress.say, watch)
            self._rates_found(tuning)

    @contextlib.contextmanager
    def _measuring(self) -> Iterator[Callable[[], tuple[Plan, Plan]]]:
        """Measure costs while the block begins; gives a function that waits for them and returns the plan."""
        if self.space.entrypoint is not None or all(trial.params is not None for trial in self.plan.trials):
            yield lambda: self._plan(measure=True)
            return
        process = measure_apart(self.space)

        def wait() -> tuple[Plan, Plan]:
            assert process.stdout is not None
            said = process.stdout.read().strip()
            if process.wait() == REFUSED:
                raise RaysweepError(said)
            if process.returncode != 0 and self._by_cost:
                what = self._by_cost[1]
                raise RaysweepError(f"{what} needs what sizes cost, which could not be measured: see the log")
            if process.returncode != 0:
                self.progress.say(
                    f"costs could not be measured (see {layout.LOGS}/{layout.RAY_LOG}): trials run in no order, "
                    "without ETA"
                )
            return self._plan(measure=False)

        try:
            yield wait
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def _begin_progress(self, tuning: TuningStage) -> None:
        trials = {(t.family, size_json(t.size), t.seed): t for t in self.plan.trials}
        tuning_total, tuning_done = tuning.count()
        left = [trial for trial in trials.values() if not trial.state.is_final]
        labels = {grid_label(t.family, knobs(t.size), t.seed) for t in left}
        self.progress.begins(
            total=tuning_total + len(trials),
            done=tuning_done + len(trials) - len(left),
            cost_left=sum(cost(trial) for trial in left),
            labels=sorted(labels),
        )

    def _rates_found(self, tuning: TuningStage) -> Plan:
        """Write down the rates that are known by now, say those that are new, and return the plan with them."""
        known = set(tuning.rows)
        rows = tuning.report()
        self.store.write_searches(rows.values())
        for row in (row for key, row in rows.items() if key not in known):
            self._say_rate(row)
        self.plan, self.whole = self._plan(measure=False)
        self.progress.costs.update({t.spec.trial_id: cost(t) for t in self.plan.trials if t.spec is not None})
        self.store.write_assignments([*self.plan.assignments(), *tuning.assignments()])
        return self.plan

    @property
    def _by_cost(self) -> tuple[tuple[str, str], str] | None:
        """Return what chooses trajectories by their cost, its key and its name; None where nothing does."""
        if self.space.adaptive.enabled:
            return ("adaptive", "enabled"), "--adaptive"
        if self.space.grid.device_hours:
            return ("grid", "device_hours"), "grid.device_hours"
        return (("grid", "design"), "isoflop") if self.space.grid.design == "isoflop" else None

    def _say_rate(self, record: RateRecord) -> None:
        family, rate = record.family, record.rate
        if rate is None:
            self.progress.say(
                f"{family}: no learning rate was found, no trial reached its end; see {layout.LEARNING_RATES}"
            )
            return
        beyond = f"; it is the {record.edge} end of the range, a better one may lie beyond" if record.edge else ""
        self.progress.say(f"{family}: learning rate {rate:g} ({record.method}{beyond})")
        if record.on_plateau:
            self.progress.say(
                f"{family}: no tuning trial has left the starting plateau, so this rate is a guess; raise "
                f"learning_rate.structures (or ask for fewer rungs), or give the rate in learning_rate.rates"
            )

    def _write_table(self) -> None:
        stage = TuningStage(self.space, self.facts, self.store, Listeners([]))
        rows: list[Assignment] = [*self.plan.assignments(), *stage.assignments()]
        if self.plan.identified:
            self.store.write_assignments(rows)
        sink = pa.BufferOutputStream()
        pq.write_table(self.store.table(), sink)
        self.store.write_bytes(layout.POINTS, sink.getvalue().to_pybytes())


@contextlib.contextmanager
def _closing(listener: Listener) -> Iterator[None]:
    """Close a listener after the block; one that is slow is not waited for when the sweep was told to end."""
    try:
        yield
    except (Interrupted, ClusterLostError):
        closing = threading.Thread(target=listener.close, daemon=True)
        closing.start()
        closing.join(CLOSING_SECONDS)
        raise
    except BaseException:
        listener.close()
        raise
    listener.close()


def _run_pipeline(
    pipeline: Pipeline,
    space: Space,
    store: TrialStore,
    scratch: Path,
    say: Callable[[str], object],
    watch: ClusterWatch,
) -> None:
    from raysweep.sweep.engine.tune_stage import run_stage  # imports Ray, which a finished sweep does not need

    run_stage(pipeline, space, store, scratch, say, watch)


def _ensure_data(space: Space, progress: Progress) -> DataFacts:
    facts = data_facts(space)
    if facts is None:
        assert space.data is not None
        assert space.data.make is not None
        from raysweep.data.generation import xtb  # imports RDKit and tblite
        from raysweep.sweep.cluster.ray_workers import data_workers

        check_sizes(space)  # an error before minutes of work, not after
        check_before_data(space)
        progress.say(f"making the structure store {space.data.store}: {space.data.make.structures} structures")
        with progress.counting("structures") as count:
            xtb.make_store(
                space.data.store,
                structures=space.data.make.structures,
                preset=space.data.make.preset,
                seed=space.data.make.seed,
                pool=data_workers(None, None),
                progress=count,
            )
        facts = data_facts(space)
    if facts is None:
        raise RaysweepError(f"the structure store {space.data.store if space.data else None} was not made")
    return facts


def _scratch(space: Space, stack: contextlib.ExitStack) -> tuple[Path, Path | None]:
    """Return a local folder for what Ray Tune writes and is thrown away, and the log file for Ray's noise."""
    # Not in the storage: what Tune does on a disk that is full hides why the sweep ends.
    folder = stack.enter_context(temporary_folder("sweep")).path
    if "://" in space.storage:
        return folder / "tune", folder / layout.RAY_LOG
    return folder / "tune", Path(_log_of(space))


def _log_of(space: Space) -> str:
    """Return where to look for the reason of an end without a word."""
    if "://" in space.storage:
        return f"under {ray_root()}/session_latest/logs"
    return str(Path(open_location(space.storage)[1]) / layout.LOGS / layout.RAY_LOG)
