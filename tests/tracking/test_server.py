"""A real `mlflow server` on loopback that comes late, freezes, and thaws."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweeps import assert_metrics, runs, table_of, tell, trial_runs, view

from raysweep.tracking.mlflow import MlflowMirror, read_points, sync


class Server:
    """One process group around a server whose database is there already."""

    def __init__(self, database: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.database, self.folder = database, folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", *command, "--backend-store-uri", self.database],
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self, seconds: float = 120) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise AssertionError((self.folder / "server.log").read_text()[-3000:])

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(uri: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(uri, tmp_path)
    yield server
    server.stop()


@pytest.mark.slow  # a server takes 7 s to start on two cores that have nothing else to do
def test_server_that_comes_late_and_freezes_has_all_in_the_end(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    views = [view(i) for i in range(6)]
    mirror = MlflowMirror(server.uri, "some", "toy", log=tmp_path / "mlflow.log")
    for trial in views[:2]:
        list(tell(mirror, trial))
    server.start()
    server.wait()
    server.signal(signal.SIGSTOP)
    for trial in views[2:]:
        list(tell(mirror, trial))
    time.sleep(5)  # requests are sent, given up, and answered by the server once it thaws
    server.signal(signal.SIGCONT)
    mirror.close(timeout=60)

    assert len(runs(server.uri, "some")) == 1 + 1 + len(views)
    assert {run.info.status for run in runs(server.uri, "some")} == {"FINISHED"}
    assert read_points("some", server.uri).equals(table_of(views), check_metadata=True)
    trials = trial_runs(server.uri, "some")
    for trial in views:
        assert_metrics(server.uri, trials[trial.trial_id], trial.points)
    log = (tmp_path / "mlflow.log").read_text()
    assert "cannot be written to" in log
    assert "is back and up to date" in log
    assert "lacks updates" not in log
    place = {"tracking_uri": server.uri, "experiment": "some", "sweep_name": "toy"}
    assert sync(views, **place).equal

    done = sync([view(i) for i in range(8)], **place)
    assert (done.created, done.removed) == (2, 0)
    assert read_points("some", server.uri).equals(table_of([view(i) for i in range(8)]))
