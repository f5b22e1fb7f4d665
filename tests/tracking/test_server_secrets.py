"""A password in the address of an MLflow server that asks for one: runs arrive, and the password stays nowhere."""

import base64
import http.client
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from sweeps import trial_runs
from test_server import Server

SECRET = "hunter2"
RAYSWEEP = str(Path(sys.executable).parent / "raysweep")
TOYS = Path(__file__).parents[1] / "sweep"


class Gate(BaseHTTPRequestHandler):
    """Passes on the requests that bring the password, as the proxy in front of a group's server does."""

    port: int
    protocol_version = "HTTP/1.1"
    wanted = "Basic " + base64.b64encode(f"joe:{SECRET}".encode()).decode()

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != self.wanted:
            self._answer(401, "text/plain", b"who are you?")
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        kept = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "authorization")}
        connection.request(self.command, self.path, body=body, headers=kept)
        response = connection.getresponse()
        self._answer(response.status, response.getheader("Content-Type", "text/plain"), response.read())
        connection.close()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(uri: str, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "server").mkdir()
    server = Server(uri, tmp_path / "server")
    server.start()
    gate = ThreadingHTTPServer(("127.0.0.1", 0), type("GateOfServer", (Gate,), {"port": server.port}))
    threading.Thread(target=gate.serve_forever, daemon=True).start()
    try:
        server.wait()
        yield f"http://joe:{SECRET}@127.0.0.1:{gate.server_address[1]}"
    finally:
        gate.shutdown()
        gate.server_close()
        server.stop()


@pytest.mark.slow  # a server takes 7 s to start on two cores that have nothing else to do
def test_the_runs_arrive_and_the_password_stays_nowhere(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {
        "name": "toy",
        "storage": "sweep",
        "entrypoint": "toy_trials:train",
        "families": {"a": {"architecture": "toy-a", "sizes": {"width": [8, 16]}}},
        "grid": {"structures": [100, 200]},
        "learning_rate": {"rates": {"a": 0.02}},
        "tracking": {"uri": address},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(content))
    path = os.pathsep.join([str(TOYS), os.environ.get("PYTHONPATH", "")])
    printed = ""
    for words in (("run",), ("run",), ("sync",), ("ui",), ("frontier",), ("status", "--json"), ("report",)):
        done = subprocess.run(
            [RAYSWEEP, words[0], "toy.yaml", *words[1:]], cwd=tmp_path, text=True, capture_output=True, timeout=240,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        printed += done.stdout + done.stderr
    assert SECRET not in printed
    assert len(trial_runs(address, "toy")) == 2
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "toy.yaml"]
    assert {"mlflow.db", "report.html", "sweep.json", "server.log"} <= {path.name for path in kept}
    assert [str(path) for path in kept if SECRET.encode() in path.read_bytes()] == []
