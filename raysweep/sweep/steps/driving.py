"""The frame of every command that trains: one driver holds the lease of the storage, and writes all points."""

import contextlib
import threading
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from raysweep.core.errors import RaysweepError
from raysweep.storage import layout
from raysweep.storage.lease import driver_lease
from raysweep.sweep.cluster.driver.exit_message import exit_message
from raysweep.sweep.cluster.driver.signals import interruptible
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.progress import Progress, telling
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.stage import Listeners
from raysweep.sweep.stages.tuning import TuningStage
from raysweep.sweep.steps.prepare import Sweep, prepare
from raysweep.sweep.steps.train import log_of

_running = threading.Lock()


@contextlib.contextmanager
def driven(space: Space, console: Console | None) -> Iterator[Sweep]:
    """Lease the storage of a search space and prepare its sweep.

    Args:
        space: the search space.
        console: where progress is printed; standard output by default.

    Raises:
        RaysweepError: what the search space asks for is unavailable, another driver runs this sweep, or another thread
            of this process runs one.
        Interrupted: on SIGINT, SIGTERM or SIGHUP.
    """
    progress = Progress(console)
    with (
        _alone(),
        telling(progress.say, "raysweep.storage"),
        telling(progress.say, "raysweep.cluster"),
        exit_message(log_of(space.storage)),
        driver_lease(space.storage, progress.say) as lease,
        interruptible(),
    ):
        if lease.note:
            progress.say(lease.note)
        yield prepare(space, progress, lease)


def finish(sweep: Sweep, grid: Plan) -> None:
    """Write the assignments of trials, and all points as one table."""
    plan, store = sweep.chosen(grid), sweep.store
    tuning = TuningStage(TrialSpecs.of(sweep.space, sweep.facts), store, Listeners([]))
    if plan.identified:
        store.write_assignments([*plan.assignments(), *tuning.assignments()])
    sink = pa.BufferOutputStream()
    pq.write_table(store.table(), sink)
    store.write_bytes(layout.POINTS, sink.getvalue().to_pybytes())


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Prevent other threads from running a sweep: a process has one Ray, and one standard error for its log.

    Raises:
        RaysweepError: one runs.
    """
    if not _running.acquire(blocking=False):
        raise RaysweepError(
            "this process already runs a sweep, in another thread; run them one after the other, or each in "
            "its own process (`raysweep run`)"
        )
    try:
        yield
    finally:
        _running.release()
