"""A server of MLflow's is written to in the JSON of its documented API, and what it refuses is said in its words."""

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from raysweep.tracking.client import MetricValue, RunClient, client_for

Request = tuple[str, dict[str, str], dict[str, object]]


class Answering(HTTPServer):
    """A server that notes what is posted, and answers as it was told to."""

    requests: list[Request]
    answer: tuple[int, bytes]


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])), parse_constant=_refuse)
        self.server.requests.append((self.path, dict(self.headers), body))
        status, content = self.server.answer
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), _Handler) as answering:
        answering.requests, answering.answer = [], (200, b"{}")
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        yield answering
        answering.shutdown()


@pytest.fixture
def client(server: Answering, monkeypatch: pytest.MonkeyPatch) -> RunClient:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    uri = f"http://127.0.0.1:{server.server_port}"
    return client_for(MlflowClient(tracking_uri=uri), uri)


def test_runs_are_written_as_the_api_documents(server: Answering, client: RunClient) -> None:
    run = {
        "info": {"run_id": "r", "status": "RUNNING", "start_time": 5},
        "data": {"tags": [{"key": "a", "value": "b"}, {"key": "empty"}]},
    }
    server.answer = (200, json.dumps({"run": run}).encode())
    assert client.create("7", "name", 5, {"a": "b", "mlflow.user": "me"}) == (
        "r",
        "RUNNING",
        5,
        {"a": "b", "empty": ""},
        {},
    )
    values = [1 / 3, math.inf, -math.inf, math.nan]
    client.log("r", metrics=[MetricValue("m", value, 6, 2) for value in values], params={"p": "q"})
    client.update("r", "RUNNING", None)
    client.update("r", "FINISHED", 9)
    client.delete("r")
    assert [path.removeprefix("/api/2.0/mlflow/runs/") for path, _, _ in server.requests] == [
        "create",
        "log-batch",
        "update",
        "update",
        "delete",
    ]
    created, logged, running, ended, deleted = (body for _, _, body in server.requests)
    assert created == {
        "experiment_id": "7",
        "run_name": "name",
        "user_id": "me",
        "start_time": 5,
        "tags": [{"key": "a", "value": "b"}, {"key": "mlflow.user", "value": "me"}],
    }
    metric = {"key": "m", "timestamp": 6, "step": 2}
    assert logged == {
        "run_id": "r",
        "metrics": [metric | {"value": value} for value in (1 / 3, "Infinity", "-Infinity", "NaN")],
        "params": [{"key": "p", "value": "q"}],
        "tags": [],
    }
    assert running == {"run_id": "r", "status": "RUNNING"}
    assert ended == {"run_id": "r", "status": "FINISHED", "end_time": 9}
    assert deleted == {"run_id": "r"}
    for _, headers, _ in server.requests:
        assert headers["Authorization"] == "Basic bWU6c2VjcmV0"
        assert headers["Connection"] == "close"


def test_pages_of_runs_are_asked_for_by_their_tokens(server: Answering, client: RunClient) -> None:
    assert client.search("7", "tags.a = 'b'", 10, None) == ([], None)
    run = {
        "info": {"run_id": "r", "status": "FINISHED", "start_time": "5"},
        "data": {"params": [{"key": "p", "value": "q"}]},
    }
    server.answer = (200, json.dumps({"runs": [run], "next_page_token": "more"}).encode())
    assert client.search("7", "", 10, "token") == ([("r", "FINISHED", 5, {}, {"p": "q"})], "more")
    assert [body for _, _, body in server.requests] == [
        {"experiment_ids": ["7"], "filter": "tags.a = 'b'", "max_results": 10},
        {"experiment_ids": ["7"], "filter": "", "max_results": 10, "page_token": "token"},
    ]


@pytest.mark.parametrize(
    ("status", "content", "told"),
    [
        (400, b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "too long"}', "INVALID_PARAMETER_VALUE: too long"),
        (404, b"nothing here", "404 != 200.*nothing here"),
        (200, b"<html>Sign in</html>", "not in a valid JSON format.*Sign in"),
        (503, b"away", "failed with exception"),
    ],
)
def test_what_a_server_refuses_is_said(
    server: Answering, client: RunClient, status: int, content: bytes, told: str
) -> None:
    server.answer = (status, content)
    with pytest.raises(MlflowException, match=told):
        client.update("r", "FINISHED", 9)
    assert len(server.requests) == 1  # a call that may have been heard is not made again


def test_server_that_is_absent_is_said(client: RunClient, server: Answering) -> None:
    gone = f"http://127.0.0.1:{server.server_port}"
    server.server_close()
    with pytest.raises(MlflowException, match=r"API request to .* failed"):
        client_for(MlflowClient(tracking_uri=gone), gone).update("r", "FINISHED", 9)
