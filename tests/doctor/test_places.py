"""Storage, data and MLflow as a driver would find them."""

import base64
import os
import socketserver
import sqlite3
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import quote

import pytest
from mlflow.version import VERSION

from raysweep.doctor import places
from raysweep.doctor.findings import HealthFinding
from raysweep.doctor.here import examine
from raysweep.sweep.space.space import Space, parse_space
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
        path = self.path.removeprefix("http://mlflow.internal:5000")  # as a proxy is asked
        status, text = self.server.answers.get(path, (404, ""))  # type: ignore[attr-defined]
        wanted = getattr(self.server, "login", None)
        if wanted is not None and self.headers.get("Authorization") != f"Basic {wanted}":
            status, text = 401, ""
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


def of_mlflow(tmp_path: Path, uri: str) -> HealthFinding | None:
    return next(places.of_mlflow(space(tmp_path, uri).tracking, str(tmp_path / "sweep"), "here"), None)


def test_a_storage_that_is_written_and_read_back_is_sound_and_left_as_it_was(tmp_path: Path) -> None:
    assert list(places.of_storage(str(tmp_path / "sweep"), "here")) == []
    assert not (tmp_path / "sweep").exists()
    (tmp_path / "sweep").write_text("a file")
    (found,) = places.of_storage(str(tmp_path / "sweep"), "here")
    assert (found.check, found.severity) == ("storage", "fault")
    assert "cannot be used" in found.text


def test_a_store_that_is_not_there_is_named(tmp_path: Path) -> None:
    (found,) = places.of_data(space(tmp_path).data, "here")
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
    uri = f"http://127.0.0.1:{server.server_address[1]}"
    for answers, text in (
        (SOUND, None),
        ({**SOUND, "/version": (200, "2.9.0")}, "is version 2.9.0, and this environment has"),
        ({"/health": (401, "")}, "denies access (401)"),
        ({}, "answers 404: it is not an MLflow server"),
    ):
        server.answers = answers  # type: ignore[attr-defined]
        found = of_mlflow(tmp_path, uri)
        assert (found is None) == (text is None)
        assert found is None or (text in found.text and found.remedy)  # type: ignore[operator]


SOUND = {"/health": (200, "OK"), "/version": (200, VERSION)}


@pytest.mark.parametrize("given", ["uri", "variables"])
def test_a_server_that_asks_for_a_user_is_sound_with_the_right_one_and_refuses_another(
    tmp_path: Path, server: socketserver.TCPServer, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    server.answers = SOUND  # type: ignore[attr-defined]
    server.login = base64.b64encode(b"ada:pass%word").decode()  # type: ignore[attr-defined]
    port = server.server_address[1]
    for password, sound in (("pass%word", True), ("other", False)):
        user = f"ada:{quote(password)}@" if given == "uri" else ""
        if given == "variables":
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        found = of_mlflow(tmp_path, f"http://{user}127.0.0.1:{port}")
        assert (found is None) == sound
        if found is not None:
            assert f"127.0.0.1:{port} denies access (401)" in found.text
            assert "other" not in found.text + found.remedy
    found = of_mlflow(tmp_path, "http://ada:secret@127.0.0.1:9")
    assert found is not None
    assert "cannot be reached (Connection refused)" in found.text
    assert "secret" not in found.text + found.remedy


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a private authority's certificate for 127.0.0.1, with its key in the same file."""
    path = tmp_path / "private.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    try:
        subprocess.run([*command, "-keyout", path, "-out", f"{path}.crt"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.mark.parametrize(
    "variable", ["REQUESTS_CA_BUNDLE", "MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_INSECURE_TLS", None]
)
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_server_with_a_private_certificate_is_sound_where_mlflow_would_take_it(
    tmp_path: Path, server: socketserver.TCPServer, certificate: Path, monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
) -> None:  # fmt: skip
    server.answers = SOUND  # type: ignore[attr-defined]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    if variable is not None:
        monkeypatch.setenv(variable, "true" if variable.endswith("TLS") else str(certificate))
    found = of_mlflow(tmp_path, f"https://127.0.0.1:{server.server_address[1]}")
    if variable is None:
        assert found is not None
        assert "cannot be reached" in found.text
        assert "certificate" in found.text.lower()
        assert "REQUESTS_CA_BUNDLE" in found.remedy
    else:
        assert found is None


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_in_the_way_of_mlflow_is_named_and_one_that_leads_there_is_not(
    tmp_path: Path, server: socketserver.TCPServer, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    proxy = f"http://127.0.0.1:{server.server_address[1]}"
    for other in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, proxy)
    server.answers = SOUND  # type: ignore[attr-defined]
    assert of_mlflow(tmp_path, "http://mlflow.internal:5000") is None  # the proxy leads there
    server.answers = {}  # type: ignore[attr-defined]
    found = of_mlflow(tmp_path, "http://mlflow.internal:5000")
    assert found is not None
    assert f"HTTP_PROXY={proxy}" in found.text or f"ALL_PROXY={proxy}" in found.text
    assert "NO_PROXY=mlflow.internal" in found.remedy


def test_a_proxy_does_not_keep_us_from_this_machine_and_is_told_for_other_programs(
    tmp_path: Path, server: socketserver.TCPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"http://127.0.0.1:{server.server_address[1]}"
    server.answers = SOUND  # type: ignore[attr-defined]
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("HTTP_PROXY", "http://user:secret@127.0.0.1:9")
    (found,) = places.of_mlflow(space(tmp_path, uri).tracking, str(tmp_path / "sweep"), "here")
    assert found.severity == "warning"
    assert "HTTP_PROXY=http://127.0.0.1:9 intercepts requests to MLflow" in found.text
    assert found.remedy == "export NO_PROXY=localhost,127.0.0.1,::1"
    assert os.environ["NO_PROXY"] == "example.org,localhost,127.0.0.1,::1"
    assert list(places.of_mlflow(space(tmp_path, uri).tracking, str(tmp_path / "sweep"), "here")) == []


def test_a_server_that_is_not_there_and_a_database_that_is_not_there_are_named(tmp_path: Path) -> None:
    found = of_mlflow(tmp_path, "http://127.0.0.1:9")
    assert found is not None
    assert "cannot be reached" in found.text
    found = of_mlflow(tmp_path, "postgresql://user:secret@127.0.0.1:9/mlflow")
    assert found is not None
    assert "cannot be reached" in found.text
    assert "secret" not in found.text + found.remedy


def test_a_sweep_that_can_run_here_has_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    report = examine(space(tmp_path).model_copy(update={"data": None}))
    assert report.healthy, report.findings
