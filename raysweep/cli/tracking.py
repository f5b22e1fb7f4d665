"""`sync` and `ui`, and what a sweep's MLflow is to the other commands."""

import contextlib
import json
import os
import socket
import sys
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from raysweep.cli.show import show
from raysweep.cli.spaces import read_run_space
from raysweep.core.errors import RaysweepError, TrialError
from raysweep.core.hashing import digest
from raysweep.core.io.files import open_location
from raysweep.core.masking import masked
from raysweep.core.points import from_table
from raysweep.core.terminal.live import working
from raysweep.storage import layout
from raysweep.storage.lease import driver_lock
from raysweep.storage.reader import SweepReader
from raysweep.storage.trial_store import Assignment, TrialStore
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.stage import describe
from raysweep.tracking.connection import database_of, default_uri
from raysweep.tracking.mlflow import MlflowMirror, Report, SyncResult, TrialView, find_experiment, sync

_BY_LOSS = urllib.parse.urlencode(
    {"searchFilter": "tags.\"raysweep.kind\" = 'trial'", "orderByKey": "metrics.`loss`", "orderByAsc": "true"},
    quote_via=urllib.parse.quote,
)
"""What makes MLflow's table of runs one of trials, sorted; as its pages write it into their addresses."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where MLflow keeps a sweep."""

    uri: str
    experiment: str
    sweep: str
    storage: str
    """Tells sweeps of one name in one experiment apart; empty where the database is the sweep's own."""
    log: Path | None


def place_of(space: Space) -> Place:
    """Return where MLflow keeps a sweep.

    Raises:
        TrackingError: no tracking URI is given, and the storage is no local folder.
    """
    local = "://" not in space.storage
    root = open_location(space.storage)[1]
    return Place(
        uri=space.tracking.uri or default_uri(space.storage),
        experiment=space.tracking.experiment or space.name,
        sweep=space.name,
        storage="" if space.tracking.uri is None else root if local else masked(space.storage),
        log=Path(root) / layout.LOGS / layout.MLFLOW_LOG if local else None,
    )


def mirror_of(space: Space) -> MlflowMirror:
    """Return the listener that mirrors a sweep into MLflow."""
    place = place_of(space)
    return MlflowMirror(place.uri, place.experiment, place.sweep, storage=place.storage, log=place.log)


def sync_sweep(path: str, overrides: Sequence[str], tracking_uri: str | None) -> None:
    """Make MLflow equal to the trial store and say what that took."""
    space = read_run_space(path, overrides, tracking_uri)
    place = place_of(space)
    with contextlib.ExitStack() as stack:
        live = False
        try:
            stack.enter_context(driver_lock(space.storage))
        except RaysweepError as error:  # a sweep that runs is no obstacle: its open trials are left to it
            typer.echo(str(error), err=True)
            live = True
        with working("looking through MLflow"):
            result = make_equal(space, live=live)
    shown = masked(place.uri)
    if result.equal:
        show(f"{space.name}: MLflow has all {result.trials} trials that have ended; {shown}")
    else:
        show(
            f"{space.name}: MLflow now has all {result.trials} trials that have ended ({result.created} runs made, "
            f"{result.changed} changes, {result.removed} runs removed); {shown}"
        )


def make_equal(space: Space, *, live: bool = False) -> SyncResult:
    """Make MLflow equal to the trial store, and leave the mark that says so.

    Args:
        space: the search space.
        live: a driver runs the sweep now; its open trials are left to it.
    """
    place, store = place_of(space), TrialStore(space.storage)
    files = store.report_files()
    result = sync(
        views(store),
        tracking_uri=place.uri,
        experiment=place.experiment,
        sweep_name=place.sweep,
        storage=place.storage,
        log=place.log,
        live=live,
        report=Report(files) if files else None,
    )
    for note in dict.fromkeys(store.notes):
        typer.echo(masked(note), err=True)
    store.write_json(layout.MLFLOW_MARK, _mark(place, store))
    return result


def is_equal(space: Space) -> bool:
    """Return whether MLflow was made equal to what the trial store has now; MLflow itself is not asked."""
    place, store = place_of(space), TrialStore(space.storage)
    database = database_of(place.uri)
    there = database is None or database.exists()
    return there and store.read_json(layout.MLFLOW_MARK) == _mark(place, store)


def views(store: SweepReader) -> list[TrialView]:
    """Return every trial of a trial store as MLflow is to have it."""
    serving: dict[str, list[Assignment]] = {}
    for assignment in store.assignments():
        serving.setdefault(assignment.trial_id, []).append(assignment)
    found = []
    for trial_id in store.ids():
        record = store.valid_record(trial_id)
        served = tuple((row.stage, row.family) for row in serving.get(trial_id, []))
        params, tags = _described(store, serving[trial_id][0]) if served else ({}, {})
        found.append(
            TrialView(
                trial_id=trial_id,
                serves=served,
                state=record.state,
                points=from_table(store.points_or_none(trial_id)),
                params=params,
                tags=tags,
                message=record.message,
                started=record.started,
                ended=record.ended,
            )
        )
    return found


def _described(store: SweepReader, row: Assignment) -> tuple[dict[str, str], dict[str, str]]:
    """Return a trial's parameters and tags; where its specification is lost, as far as its assignment has them."""
    try:
        return describe(store.spec(row.trial_id), row.family, row.stage)
    except TrialError as error:  # one trial's damage must not keep the others out of MLflow
        store.notes.append(str(error))
    size = {f"size.{knob}": str(value) for knob, value in json.loads(row.size).items()}
    params = {**size, "learning_rate": str(row.learning_rate), "seed": str(row.seed)}
    tags = {"trial_id": row.trial_id, "family": row.family, "stage": row.stage}
    return params, {f"raysweep.{name}": value for name, value in tags.items()}


def serve_ui(path: str, overrides: Sequence[str], tracking_uri: str | None, port: int) -> None:
    """Serve MLflow's pages until the user ends it, or tell where they are where a server does so already."""
    place = place_of(read_run_space(path, overrides, tracking_uri))
    number = find_experiment(place.experiment, place.uri, place.log)
    served = place.uri.startswith("http")
    if not served:
        _refuse_taken(port)
    root = masked(place.uri).rstrip("/") if served else f"http://127.0.0.1:{port}"
    # MLflow opens in its view for language models; this address is that of the runs.
    page = f"{root}/#/experiments/{number}/runs?workflowType=MACHINE_LEARNING"
    show(f"{page}\ntrials, the lowest loss first: {page}&{_BY_LOSS}")
    if served:
        return
    sys.stdout.flush()
    command = [sys.executable, "-m", "mlflow", "server"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # Not as an argument, which all users of the machine can read.
    variables = {
        "MLFLOW_BACKEND_STORE_URI": place.uri,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    # The server takes this process over, so that whatever ends the command ends the server.
    os.execve(sys.executable, command, {**os.environ, **variables})


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise RaysweepError(f"--port {port}: {error.strerror}; give another one") from error


def _mark(place: Place, store: TrialStore) -> dict[str, object]:
    whole = store.read_bytes(layout.POINTS) or b""
    listed = json.dumps([str(row) for row in store.assignments()]).encode()
    report = store.read_bytes(f"{layout.REPORT}/{layout.REPORT_RECORD}") or b""
    return {"uri": masked(place.uri), "experiment": place.experiment, "points_sha256": digest(whole + listed + report)}
