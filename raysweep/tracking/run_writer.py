"""Writing of single runs in MLflow: each change is made once, and not again where it has been made already."""

import getpass
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raysweep.core.points import Point
from raysweep.tracking.client import MetricValue, RunClient
from raysweep.tracking.entries import LOGGED, NAME, Entry, entry_of
from raysweep.tracking.views import clean_value, metrics_of

_METRICS_IN_BATCH, _NAMES_IN_BATCH = 800, 100
"""One call takes 1,000 items in all, 100 parameters and 100 tags among them."""


@dataclass
class Changes:
    """Numbers of runs that were created, changed and removed; all zero where MLflow was equal already."""

    created: int = 0
    changed: int = 0
    removed: int = 0


class RunWriter:
    """Writes runs of one experiment, and counts the changes; several threads may call it."""

    def __init__(self, client: RunClient, experiment_id: str) -> None:
        self.changes = Changes()
        self._client, self._experiment = client, experiment_id
        self._counting = threading.Lock()

    def create(self, tags: Mapping[str, str], started: float | None) -> Entry:
        """Create a run.

        Args:
            tags: its tags, its name among them; empty ones are dropped.
            started: when the trial began, in seconds since 1970; None: now.
        """
        own = {"mlflow.source.name": "raysweep", "mlflow.user": _user()}
        kept = {key: value for key, value in {**own, **tags}.items() if value}
        record = self._client.create(self._experiment, kept[NAME], int(1000 * (started or time.time())), kept)
        self._count(created=1)
        return entry_of(record)

    def write_tags(self, entry: Entry, tags: Mapping[str, str]) -> None:
        """Write the tags that differ."""
        new = {key: value for key, value in tags.items() if entry.tags.get(key) != value}
        for batch in _batches(new):
            self._client.log(entry.run_id, tags=batch)
        entry.tags.update(tags)
        self._count(changed=bool(new))

    def write_points(self, entry: Entry, points: Sequence[Point], params: Mapping[str, str]) -> None:
        """Write the parameters and metrics that are missing; writing a batch twice changes nothing."""
        new = {key: value for key, value in params.items() if key not in entry.params}
        metrics = [metric for index in range(entry.logged, len(points)) for metric in _metrics(entry, points, index)]
        if not new and not metrics:
            return
        *others, last = _batches(new) or [{}]
        for batch in others:
            self._client.log(entry.run_id, params=batch)
        for start in range(_METRICS_IN_BATCH, len(metrics), _METRICS_IN_BATCH):
            self._client.log(entry.run_id, metrics=metrics[start : start + _METRICS_IN_BATCH])
        done = {LOGGED: str(max(entry.logged, len(points)))}
        # Together with the tag that says that everything is written.
        self._client.log(entry.run_id, metrics=metrics[:_METRICS_IN_BATCH], params=last, tags=done)
        entry.params |= params
        entry.tags |= done
        self._count(changed=1)

    def write_status(self, entry: Entry, status: str, ended: float | None) -> None:
        """Write a run's status where it differs.

        Args:
            entry: the run.
            status: MLflow's name of it.
            ended: when the trial ended, in seconds since 1970; None: now.
        """
        if entry.status == status:
            return
        self._client.update(entry.run_id, status, None if status == "RUNNING" else int(1000 * (ended or time.time())))
        entry.status = status
        self._count(changed=1)

    def remove(self, entry: Entry) -> None:
        """Delete a run; MLflow can restore it."""
        if entry.status == "RUNNING":
            self._client.update(entry.run_id, "KILLED", int(1000 * time.time()))
        self._client.delete(entry.run_id)
        self._count(removed=1)

    def _count(self, created: int = 0, changed: int = 0, removed: int = 0) -> None:
        with self._counting:
            self.changes.created += created
            self.changes.changed += changed
            self.changes.removed += removed


def _user() -> str:
    try:
        return clean_value(getpass.getuser())
    except (KeyError, OSError):  # a container may have no such user
        return ""


def _batches(texts_by_key: Mapping[str, str]) -> list[dict[str, str]]:
    items = list(texts_by_key.items())
    return [dict(items[start : start + _NAMES_IN_BATCH]) for start in range(0, len(items), _NAMES_IN_BATCH)]


def _metrics(entry: Entry, points: Sequence[Point], index: int) -> list[MetricValue]:
    point = points[index]
    # Independent of when they are written, so that MLflow, which keeps one of equal rows, cannot have a point twice.
    at_ms = entry.started_ms + int(1000 * point.seconds if point.seconds is not None else index)
    metrics = metrics_of(point, last=index == len(points) - 1)
    return [MetricValue(key, value, at_ms, int(point.data)) for key, value in metrics.items()]
