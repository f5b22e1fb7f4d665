"""RunClient: the calls that read and write runs, to a database through MLflow's client, to a server through REST.

MLflow's own client builds a protobuf message for each call to a server, prints it and parses it again; writing the JSON
of the documented API directly takes a third less of the driver's CPU time for a whole trial.
https://mlflow.org/docs/latest/rest-api.html
"""

import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from raysweep.tracking import internals

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient


class MetricValue(NamedTuple):
    """One value of a metric."""

    key: str
    value: float
    at_ms: int
    """Milliseconds since 1970."""
    step: int


class RunRecord(NamedTuple):
    """A run as MLflow returns it."""

    run_id: str
    status: str
    started_ms: int
    """Milliseconds since 1970."""
    tags: dict[str, str]
    params: dict[str, str]


class RunClient(Protocol):
    """Reads and writes runs; any method may raise any of MLflow's errors."""

    def create(self, experiment_id: str, name: str, started_ms: int, tags: Mapping[str, str]) -> RunRecord:
        """Create a run, with the status RUNNING."""

    def log(
        self,
        run_id: str,
        *,
        metrics: Iterable[MetricValue] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Add to a run at most 1,000 items, of which at most 100 are parameters and 100 tags."""

    def update(self, run_id: str, status: str, ended_ms: int | None) -> None:
        """Set a run's status and end time."""

    def delete(self, run_id: str) -> None:
        """Delete a run; MLflow can restore it."""

    def search(
        self, experiment_id: str, where: str, most: int, token: str | None
    ) -> tuple[list[RunRecord], str | None]:
        """Read one page of an experiment's runs, and the token of the next page."""


def client_for(client: "MlflowClient", tracking_uri: str) -> RunClient:
    """Choose the client for a tracking URI."""
    return _RestClient(tracking_uri) if tracking_uri.startswith("http") else _DatabaseClient(client)


class _DatabaseClient:
    def __init__(self, client: "MlflowClient") -> None:
        self._client = client

    def create(self, experiment_id: str, name: str, started_ms: int, tags: Mapping[str, str]) -> RunRecord:
        return _record(self._client.create_run(experiment_id, start_time=started_ms, tags=dict(tags), run_name=name))

    def log(
        self,
        run_id: str,
        *,
        metrics: Iterable[MetricValue] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        from mlflow.entities import Metric, Param, RunTag

        self._client.log_batch(
            run_id,
            metrics=[Metric(*metric) for metric in metrics],
            params=[Param(key, value) for key, value in (params or {}).items()],
            tags=[RunTag(key, value) for key, value in (tags or {}).items()],
        )

    def update(self, run_id: str, status: str, ended_ms: int | None) -> None:
        if ended_ms is None:
            self._client.update_run(run_id, status=status)
        else:
            self._client.set_terminated(run_id, status, ended_ms)

    def delete(self, run_id: str) -> None:
        self._client.delete_run(run_id)

    def search(
        self, experiment_id: str, where: str, most: int, token: str | None
    ) -> tuple[list[RunRecord], str | None]:
        page = self._client.search_runs([experiment_id], where, max_results=most, page_token=token)
        return [_record(run) for run in page], page.token or None


class _RestClient:
    def __init__(self, tracking_uri: str) -> None:
        self._uri = tracking_uri
        # A kept-alive connection is tied to one of the server's processes, and most of them to the one that took the
        # first: it would do nearly all the work. It also waits 40 ms for the end of each response, since uvicorn's
        # sockets then lack TCP_NODELAY. With TLS a new connection costs more than that, and there is a proxy anyway.
        self._headers = {"Connection": "close"} if tracking_uri.startswith("http://") else {}

    def create(self, experiment_id: str, name: str, started_ms: int, tags: Mapping[str, str]) -> RunRecord:
        answer = self._post(
            "create",
            experiment_id=experiment_id,
            user_id=tags.get("mlflow.user", "unknown"),
            run_name=name,
            start_time=started_ms,
            tags=_pairs(tags),
        )
        return _record_of_json(answer["run"])

    def log(
        self,
        run_id: str,
        *,
        metrics: Iterable[MetricValue] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        measured = [
            {"key": key, "value": _number(value), "timestamp": at_ms, "step": step}
            for key, value, at_ms, step in metrics
        ]
        self._post("log-batch", run_id=run_id, metrics=measured, params=_pairs(params or {}), tags=_pairs(tags or {}))

    def update(self, run_id: str, status: str, ended_ms: int | None) -> None:
        ended = {} if ended_ms is None else {"end_time": ended_ms}
        self._post("update", run_id=run_id, status=status, **ended)

    def delete(self, run_id: str) -> None:
        self._post("delete", run_id=run_id)

    def search(
        self, experiment_id: str, where: str, most: int, token: str | None
    ) -> tuple[list[RunRecord], str | None]:
        page = {"page_token": token} if token else {}
        answer = self._post("search", experiment_ids=[experiment_id], filter=where, max_results=most, **page)
        return [_record_of_json(run) for run in answer.get("runs", [])], answer.get("next_page_token") or None

    def _post(self, call: str, **body: object) -> dict[str, Any]:
        path = f"/api/2.0/mlflow/runs/{call}"
        answer = internals.request(self._uri, path, "POST", json=body, extra_headers=self._headers)
        if answer.status_code == 200:
            with contextlib.suppress(ValueError):  # a proxy's error page, say: the check below reports it
                return dict(json.loads(answer.content))
        return dict(json.loads(internals.verified(answer, path).content))


def _number(value: float) -> float | str:
    """Format a double as protobuf's JSON does: numbers that are not finite are strings."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _pairs(texts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in texts.items()]


def _texts(pairs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    return {pair["key"]: pair.get("value", "") for pair in pairs}


def _record(run: "Run") -> RunRecord:
    info, data = run.info, run.data
    return RunRecord(info.run_id, info.status, info.start_time, dict(data.tags), dict(data.params))


def _record_of_json(run: Mapping[str, Any]) -> RunRecord:
    info, data = run["info"], run["data"]
    tags, params = _texts(data.get("tags", [])), _texts(data.get("params", []))
    return RunRecord(info["run_id"], info["status"], int(info["start_time"]), tags, params)
