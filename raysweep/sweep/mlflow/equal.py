"""Making MLflow equal to the trial store, and knowing when it already is."""

import contextlib
import dataclasses
import json

from raysweep.core.errors import RaysweepError, TrackingError
from raysweep.core.hashing import digest
from raysweep.core.masking import masked
from raysweep.storage import layout
from raysweep.storage.lease import driver_lease
from raysweep.storage.reader import SweepReader
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.mlflow.place import place_of
from raysweep.sweep.mlflow.views import trial_views
from raysweep.sweep.space.identity import refuse_other_sweep
from raysweep.sweep.space.space import Space
from raysweep.tracking import mlflow
from raysweep.tracking.connection import database_of
from raysweep.tracking.mlflow import Report, SyncResult
from raysweep.tracking.sweep_runs import MlflowPlace


def sync(space: Space) -> SyncResult:
    """Make MLflow equal to the trial store; idempotent.

    The open trials of a sweep that is running are left alone.

    Raises:
        SpaceError: the storage holds another sweep.
        TrackingError: MLflow cannot be reached, or refuses a write; nothing is lost, and the same call resumes.
    """
    refuse_other_sweep(space, SweepReader(space.storage))
    running: str | None = None
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(driver_lease(space.storage))
        except RaysweepError as error:
            running = str(error)
        result = make_equal(space, live=running is not None)
    return result if running is None else dataclasses.replace(result, notes=(running, *result.notes))


def make_equal(space: Space, *, live: bool = False) -> SyncResult:
    """Make MLflow equal to the trial store, and leave a mark in the storage that says so.

    Args:
        space: the search space.
        live: a driver runs the sweep now; its open trials are left to it.
    """
    place, store = place_of(space), TrialStore(space.storage)
    files = store.report_files()
    result = mlflow.sync(
        trial_views(store),
        tracking_uri=place.uri,
        experiment=place.experiment,
        sweep_name=place.sweep,
        storage=place.storage,
        log=place.log,
        live=live,
        report=Report(files) if files else None,
    )
    store.write_json(layout.MLFLOW_MARK, _mark(place, store))
    return dataclasses.replace(result, notes=tuple(dict.fromkeys(masked(note) for note in store.notes)))


def is_equal(space: Space) -> bool:
    """Whether MLflow was made equal to what the storage has now; MLflow itself is not asked."""
    place, reader = place_of(space), SweepReader(space.storage)
    database = database_of(place.uri)
    there = database is None or database.exists()
    return there and reader.read_json(layout.MLFLOW_MARK) == _mark(place, reader)


def catch_up(space: Space) -> tuple[str, ...]:
    """Write what MLflow lacks after a sweep: its mirror may have been killed, or MLflow unreachable.

    Returns:
        Notes for the user: which files are torn, and why MLflow could not be written to.
    """
    if is_equal(space):
        return ()
    try:
        return make_equal(space).notes
    except TrackingError as error:
        return (f"{error}; the trial store has everything, `raysweep sync` writes it to MLflow",)


def _mark(place: MlflowPlace, reader: SweepReader) -> dict[str, object]:
    whole = reader.read_bytes(layout.POINTS) or b""
    listed = json.dumps([str(row) for row in reader.assignments()]).encode()
    report = reader.read_bytes(f"{layout.REPORT}/{layout.REPORT_RECORD}") or b""
    return {"uri": masked(place.uri), "experiment": place.experiment, "points_sha256": digest(whole + listed + report)}
