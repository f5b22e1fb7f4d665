"""`sync` and `ui`."""

import os
import socket
import sys
import urllib.parse
from collections.abc import Sequence

import typer

from raysweep.cli.show import show
from raysweep.cli.spaces import read_run_space
from raysweep.core.errors import RaysweepError
from raysweep.core.masking import masked
from raysweep.core.terminal.live import working
from raysweep.sweep.mlflow.equal import sync
from raysweep.sweep.mlflow.place import place_of
from raysweep.tracking.mlflow import find_experiment

_BY_LOSS = urllib.parse.urlencode(
    {"searchFilter": "tags.\"raysweep.kind\" = 'trial'", "orderByKey": "metrics.`loss`", "orderByAsc": "true"},
    quote_via=urllib.parse.quote,
)
"""Query that filters MLflow's table to trials and sorts it by loss, as its pages write it into their addresses."""


def sync_sweep(path: str, overrides: Sequence[str], tracking_uri: str | None) -> None:
    """Bring MLflow up to date with the trial store, and print what was written."""
    space = read_run_space(path, overrides, tracking_uri)
    with working("looking through MLflow"):
        result = sync(space)
    for note in result.notes:
        typer.echo(note, err=True)
    shown = masked(place_of(space).uri)
    if result.equal:
        show(f"{space.name}: MLflow has all {result.trials} trials that have ended; {shown}")
    else:
        show(
            f"{space.name}: MLflow now has all {result.trials} trials that have ended ({result.created} runs made, "
            f"{result.changed} changes, {result.removed} runs removed); {shown}"
        )


def serve_ui(path: str, overrides: Sequence[str], tracking_uri: str | None, port: int) -> None:
    """Serve MLflow's pages until interrupted; if a server does so already, print their addresses."""
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
