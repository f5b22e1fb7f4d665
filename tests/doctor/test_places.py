"""Storage, data and MLflow as a driver would find them."""

import socketserver
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from raysweep.doctor import places
from raysweep.doctor.findings import Finding
from raysweep.doctor.here import examine
from raysweep.sweep.space import Space, parse_space
from raysweep.tracking.connection import connect

SPACE = """
name: toy
storage: {storage}
data: {{store: {store}}}
families: {{a: {{architecture: mpnn, sizes: {{width: [8]}}}}}}
grid: {{structures: [100]}}
learning_rate: {{rates: {{a: 0.02}}}}
tracking: {{uri: "{uri}"}}
"""


def space(tmp_path: Path, uri: str = "") -> Space:
    uri = uri or f"sqlite:///{tmp_path}/mlflow.db"
    return parse_space(SPACE.format(storage=tmp_path / "sweep", store=tmp_path / "store", uri=uri))


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, text = self.server.answers.get(self.path, (404, ""))  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[socketserver.TCPServer]:
    with socketserver.TCPServer(("127.0.0.1", 0), _Answers) as made:
        made.answers = {}  # type: ignore[attr-defined]
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def of_mlflow(tmp_path: Path, uri: str) -> Finding | None:
    return next(places.of_mlflow(space(tmp_path, uri), "here"), None)


def test_a_storage_that_is_written_and_read_back_is_sound_and_left_as_it_was(tmp_path: Path) -> None:
    assert list(places.of_storage(space(tmp_path), "here")) == []
    assert not (tmp_path / "sweep").exists()
    (tmp_path / "sweep").write_text("a file")
    (found,) = places.of_storage(space(tmp_path), "here")
    assert (found.check, found.severity) == ("storage", "fault")
    assert "cannot be used" in found.text


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    (found,) = places.of_data(space(tmp_path), "here")
    assert str(tmp_path / "store") in found.text
    assert "raysweep data check" in found.remedy


def test_mlflow_in_sqlite_that_is_absent_or_current_is_sound_and_an_old_schema_is_not(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert of_mlflow(tmp_path, uri) is None
    assert not (tmp_path / "mlflow.db").exists()
    connect(uri)
    assert of_mlflow(tmp_path, uri) is None
    database = sqlite3.connect(tmp_path / "mlflow.db")
    database.execute("update alembic_version set version_num = '451aebb31d03'")
    database.commit()
    database.close()
    found = of_mlflow(tmp_path, uri)
    assert found is not None
    assert "has schema 451aebb31d03, and this MLflow needs" in found.text
    assert "mlflow db upgrade sqlite" in found.remedy


def test_a_server_of_another_version_one_that_refuses_and_no_mlflow_are_told_apart(
    tmp_path: Path, server: socketserver.TCPServer
) -> None:
    from mlflow.version import VERSION

    uri = f"http://127.0.0.1:{server.server_address[1]}"
    sound = {"/health": (200, "OK"), "/version": (200, VERSION)}
    for answers, text in (
        (sound, None),
        ({**sound, "/version": (200, "2.9.0")}, "is version 2.9.0, and this environment has"),
        ({"/health": (401, "")}, "refuses us (401)"),
        ({}, "answers 404: it is no MLflow server"),
    ):
        server.answers = answers  # type: ignore[attr-defined]
        found = of_mlflow(tmp_path, uri)
        assert (found is None) == (text is None)
        assert found is None or (text in found.text and found.remedy)  # type: ignore[operator]


def test_a_server_that_is_not_there_and_a_database_that_is_not_there_are_named(tmp_path: Path) -> None:
    found = of_mlflow(tmp_path, "http://127.0.0.1:9")
    assert found is not None
    assert "is not reached" in found.text
    found = of_mlflow(tmp_path, "postgresql://user:secret@127.0.0.1:9/mlflow")
    assert found is not None
    assert "is not reached" in found.text
    assert "secret" not in found.text + found.remedy


def test_a_sweep_that_can_run_here_has_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    report = examine(space(tmp_path).model_copy(update={"data": None}))
    assert report.healthy, report.findings
