"""One sweep's runs in MLflow, made equal to what is known of its trials; each change is made once, found by tags."""

import getpass
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from raysweep.core.io.temporary import temporary_folder
from raysweep.core.masking import masked
from raysweep.core.trial import INTERRUPTED
from raysweep.storage import layout
from raysweep.tracking import rows as texts
from raysweep.tracking.calls import Measured, calls_to
from raysweep.tracking.connection import connect, ensure_experiment, logger
from raysweep.tracking.entries import (
    FAMILY,
    KIND,
    LOGGED,
    MESSAGE,
    NAME,
    PARENT,
    REPORT,
    STAGE,
    STORAGE,
    SWEEP,
    TRIAL_ID,
    Entry,
    entries,
    entry_of,
    rank,
    write_serves,
)
from raysweep.tracking.summary import summarise
from raysweep.tracking.views import (
    SERVES,
    STATE,
    Report,
    TrialView,
    clean_key,
    clean_value,
    metrics_of,
    run_name,
    status_of,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

T = TypeVar("T")

_METRICS_IN_BATCH, _NAMES_IN_BATCH = 800, 100
"""One call takes 1,000 items in all, 100 parameters and 100 tags among them."""

_CALLS_AT_ONCE = 6
"""Of a server: a call waits for the network and the database's disk. More would only take turns in its processes."""

WRITING = threading.Lock()
"""Held by who writes: a mirror that was given up on may still be at a trial that `sync` would write as well."""

_STAGE_NAMES = {"learning_rate": "1 learning rate", "grid": "2 grid"}


@dataclass(frozen=True)
class Place:
    """Where a sweep stands in MLflow."""

    tracking_uri: str
    experiment: str
    sweep: str
    storage: str = ""
    """Tells sweeps of one name in one experiment apart, such as two users' on one server."""


@dataclass
class Changes:
    """How many runs were touched; all zero where MLflow was equal already."""

    created: int = 0
    changed: int = 0
    removed: int = 0


class Book:
    """What MLflow holds of a sweep, and the means to change it. Every method may raise what MLflow raises."""

    def __init__(self, place: Place, log: Path | None = None) -> None:
        self.place = place
        self.changes = Changes()
        self._client: MlflowClient = connect(place.tracking_uri, log)
        self._calls = calls_to(self._client, place.tracking_uri)
        self._experiment = ensure_experiment(self._client, place.tracking_uri, place.experiment)
        self.trials: dict[str, Entry] = {}
        self._groups: dict[str, Entry] = {}
        """The sweep's run ("") and those of the stages, by stage."""
        self._counting, self._grouping = threading.Lock(), threading.RLock()
        for entry in entries(self._calls, self._experiment):
            self._take(entry)

    def each(self, action: Callable[[T], object], items: Iterable[T]) -> None:
        """Do something that writes for each of the items: several at once where a server answers, else one by one.

        Raises:
            Exception: what an action raised first; those that had not begun by then are not begun.
        """
        if not self.place.tracking_uri.startswith("http"):
            for item in items:
                action(item)
            return
        with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
            try:
                for _ in pool.map(action, items):
                    pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def put(self, view: TrialView, *, tags: Mapping[str, str] | None = None) -> None:
        """Make a trial's run equal to what is known of the trial.

        Args:
            view: the trial.
            tags: further tags to set, which a later `put` without them leaves as they are.
        """
        rows = [texts.row_of(point) for point in view.points]
        entry = self.trials.get(view.trial_id)
        if entry is None and not view.serves:
            return  # left the sweep before MLflow ever had it
        wanted = self._tags(view) | {clean_key(k): clean_value(v) for k, v in (tags or {}).items()}
        params = {clean_key(k): clean_value(v) for k, v in view.params.items() if v != "None"}
        if view.points:
            params["params"] = str(view.points[0].params)
        if entry is not None and view.serves and not _continues(entry, rows, params, over=view.over):
            # What is logged cannot be changed in MLflow: the run makes room for one that is right.
            self._remove(entry)
            entry = None
        longer = view.serves != () and len(rows) > (len(entry.rows or ()) if entry else 0)
        if longer:
            wanted |= texts.encode(rows)
        if entry is None:
            entry = self._create(wanted, view.started)
            self.trials[view.trial_id] = entry
        self._write_tags(entry, wanted)
        entry.rows = rows if longer else entry.rows
        if view.serves:
            self._write_points(entry, view, params)
        self._write_status(entry, status_of(view.state), view.ended)
        if not view.over and view.serves:
            with self._grouping:
                self._write_status(self._group(view.serves[0][0]), "RUNNING", None)

    def interrupt(self, keep: frozenset[str] = frozenset()) -> None:
        """Close the runs of trials that neither ended nor have a driver, except those in `keep`."""
        for trial_id, entry in self.trials.items():
            if trial_id in keep:
                continue
            if not entry.ended:
                self._write_tags(entry, {STATE: INTERRUPTED})
            if not entry.ended or entry.status == "RUNNING":
                self._write_status(entry, status_of(entry.tags[STATE]), None)

    def leave_out(self, trial_id: str) -> None:
        """Note that a trial is no part of the sweep any more; its run stays for the eye."""
        self._write_tags(self.trials[trial_id], {SERVES: "[]"})

    def begin(self) -> None:
        """Show the sweep as running."""
        self._write_status(self._group(""), "RUNNING", None)

    def finish(self, *, complete: bool = True) -> None:
        """Give the runs of the sweep and its stages a summary and their end; not `complete`: trials are left to run."""
        self._group("")
        for stage, entry in self._groups.items():
            served = [e for e in self.trials.values() if any(stage in ("", s) for s, _ in e.serves)]
            self._write_tags(entry, summarise(self.place.sweep, stage, served))
            ended = all(e.ended for e in served) and (complete or stage != "")
            failed = any(e.status == "FAILED" for e in served)
            self._write_status(entry, "KILLED" if not ended else "FAILED" if failed else "FINISHED", None)

    def attach(self, report: Report) -> None:
        """Put the report's page and figures among the artifacts of the sweep's run, unless these are there."""
        entry = self._group("")
        if entry.tags.get(REPORT) == report.digest:
            return
        place = self._client.get_run(entry.run_id).info.artifact_uri or ""
        if self.place.tracking_uri.startswith("http") and place.startswith(("file:", "/")):
            logger.warning(
                "the report is not attached to the sweep's run: MLflow at %s keeps artifacts in %s, a folder that only "
                "its own host has; start it with --artifacts-destination",
                masked(self.place.tracking_uri),
                place,
            )
            return
        with temporary_folder("report") as own:
            pages = own.path / "pages"  # beside what marks the folder as ours
            pages.mkdir()
            for name, data in report.files.items():
                (pages / Path(name).name).write_bytes(data)
            self._client.log_artifacts(entry.run_id, str(pages), artifact_path=layout.REPORT)
        self._write_tags(entry, {REPORT: report.digest})

    def _take(self, entry: Entry) -> None:
        """Note a run that was found; of two runs of one trial the better one stays."""
        if entry.tags.get(SWEEP) != self.place.sweep or entry.tags.get(STORAGE, "") != self.place.storage:
            return
        kind = entry.tags[KIND]
        kept = self.trials if kind == "trial" else self._groups
        key = entry.tags.get(TRIAL_ID if kind == "trial" else STAGE, "")
        other = kept.get(key)
        if other is not None:
            entry, other = (entry, other) if rank(entry) > rank(other) else (other, entry)
            self._remove(other)
        kept[key] = entry

    def _tags(self, view: TrialView) -> dict[str, str]:
        stage, family = view.serves[0] if view.serves else ("", "")
        tags = {clean_key(k): clean_value(v) for k, v in view.tags.items()}
        tags |= {KIND: "trial", TRIAL_ID: view.trial_id, STATE: str(view.state), SERVES: write_serves(view.serves)}
        if view.serves:
            tags |= {STAGE: clean_value(stage), FAMILY: clean_value(family)}
            tags |= {PARENT: self._group(stage).run_id, NAME: run_name(family, view.params, view.trial_id)}
        entry = self.trials.get(view.trial_id)
        if view.message or (entry is not None and MESSAGE in entry.tags):
            tags[MESSAGE] = clean_value(view.message or "")
        return tags

    def _group(self, stage: str) -> Entry:
        """Return the run of a stage, or of the sweep (""), made where it is not there."""
        with self._grouping:
            if stage not in self._groups:
                tags = {KIND: "stage" if stage else "sweep", STAGE: stage}
                if stage:
                    tags[PARENT] = self._group("").run_id
                tags[NAME] = _STAGE_NAMES.get(stage, clean_value(stage)) if stage else clean_value(self.place.sweep)
                self._groups[stage] = self._create(tags, None)
            return self._groups[stage]

    def _create(self, tags: dict[str, str], started: float | None) -> Entry:
        tags = {SWEEP: self.place.sweep, STORAGE: self.place.storage, "mlflow.source.name": "raysweep"} | tags
        tags = {key: value for key, value in (tags | {"mlflow.user": _user()}).items() if value}
        record = self._calls.create(self._experiment, tags[NAME], int(1000 * (started or time.time())), tags)
        self._count(created=1)
        return entry_of(record)

    def _remove(self, entry: Entry) -> None:
        if entry.status == "RUNNING":
            self._calls.update(entry.run_id, "KILLED", int(1000 * time.time()))
        self._client.delete_run(entry.run_id)
        self._count(removed=1)

    def _write_tags(self, entry: Entry, tags: Mapping[str, str]) -> None:
        new = {key: value for key, value in tags.items() if entry.tags.get(key) != value}
        for batch in _batches(new):
            self._calls.log(entry.run_id, tags=batch)
        entry.tags.update(tags)
        self._count(changed=bool(new))

    def _write_points(self, entry: Entry, view: TrialView, params: Mapping[str, str]) -> None:
        """Write the parameters and metrics that are not there; a batch that is written twice changes nothing."""
        new = {key: value for key, value in params.items() if key not in entry.params}
        metrics = [metric for index in range(entry.logged, len(view.points)) for metric in _metrics(entry, view, index)]
        if not new and not metrics:
            return
        *others, last = _batches(new) or [{}]
        for batch in others:
            self._calls.log(entry.run_id, params=batch)
        for start in range(_METRICS_IN_BATCH, len(metrics), _METRICS_IN_BATCH):
            self._calls.log(entry.run_id, metrics=metrics[start : start + _METRICS_IN_BATCH])
        done = {LOGGED: str(max(entry.logged, len(view.points)))}
        # With the tag that says that all is written.
        self._calls.log(entry.run_id, metrics=metrics[:_METRICS_IN_BATCH], params=last, tags=done)
        entry.params |= params
        entry.tags |= done
        self._count(changed=1)

    def _count(self, created: int = 0, changed: int = 0, removed: int = 0) -> None:
        with self._counting:
            self.changes.created += created
            self.changes.changed += changed
            self.changes.removed += removed

    def _write_status(self, entry: Entry, status: str, ended: float | None) -> None:
        if entry.status == status:
            return
        self._calls.update(entry.run_id, status, None if status == "RUNNING" else int(1000 * (ended or time.time())))
        entry.status = status
        self._count(changed=1)


def _continues(entry: Entry, rows: list[str], params: Mapping[str, str], *, over: bool) -> bool:
    """Return whether a run can be brought to the trial's points and parameters by adding alone."""
    known = entry.rows
    if known is None or any(entry.params.get(key, value) != value for key, value in params.items()):
        return False
    if len(rows) < len(known):  # a resumed trial tells its points again from the first on
        return not over and known[: len(rows)] == rows
    return rows[: len(known)] == known


def _user() -> str:
    try:
        return clean_value(getpass.getuser())
    except (KeyError, OSError):  # a container may have no such user
        return ""


def _batches(texts_by_key: Mapping[str, str]) -> list[dict[str, str]]:
    items = list(texts_by_key.items())
    return [dict(items[start : start + _NAMES_IN_BATCH]) for start in range(0, len(items), _NAMES_IN_BATCH)]


def _metrics(entry: Entry, view: TrialView, index: int) -> list[Measured]:
    point = view.points[index]
    # The same whenever they are written, so that MLflow, which keeps one of equal rows, cannot hold a point twice.
    at_ms = entry.started_ms + int(1000 * point.seconds if point.seconds is not None else index)
    metrics = metrics_of(point, last=index == len(view.points) - 1)
    return [Measured(key, value, at_ms, int(point.data)) for key, value in metrics.items()]
