"""`raysweep.run`: a sweep that is tracked in MLflow where its search space says so."""

import dataclasses

from rich.console import Console

from raysweep.sweep import run as sweep_run
from raysweep.sweep.cluster.driver.signals import interruptible
from raysweep.sweep.mlflow.equal import catch_up
from raysweep.sweep.mlflow.place import mirror_of, place_of
from raysweep.sweep.progress import Progress
from raysweep.sweep.run import Mirror, SweepResult
from raysweep.sweep.space.space import Space


def run(space: Space, *, mirror: Mirror | None = None, console: Console | None = None) -> SweepResult:
    """Run a sweep to its end, or the rest of it; finished work is not repeated.

    With `tracking.enabled` (the default) its trials are mirrored into MLflow while it runs, and MLflow is made equal to
    the trial store at the end. An unreachable MLflow costs no trial: `sync` catches up (see `SweepResult.notes`).

    Args:
        space: the search space.
        mirror: makes a listener that follows the trials in place of MLflow's; nothing is then written to MLflow.
        console: where progress is printed; standard output by default.

    Raises:
        RaysweepError: the resources or data that the search space asks for are not available, another driver runs this
            sweep, or another thread of this process runs one.
        TrackingError: the search space names no place for MLflow, and its storage cannot hold a database.
        Interrupted: on SIGINT, SIGTERM or SIGHUP; the same call resumes.
        ClusterLostError: the Ray cluster died; likewise.
        CapReachedError: the sweep has spent what `caps` allows; with a higher cap the same call resumes.
        LeaseLostError: another driver has taken over the sweep, since this one sent no heartbeat for too long.
    """
    if mirror is not None or not space.tracking.enabled:
        return sweep_run.run(space, mirror=mirror, console=console)
    place_of(space)  # an error before hours of work, not after
    with interruptible():
        result = sweep_run.run(space, mirror=mirror_of, console=console)
        notes = catch_up(space)
    for note in notes:
        Progress(console).say(note)
    return dataclasses.replace(result, notes=tuple(dict.fromkeys([*result.notes, *notes])))
