"""The runs of one sweep in MLflow (sweep, stages, trials), made equal to what is known of its trials."""

import threading
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
from raysweep.tracking.client import client_for
from raysweep.tracking.connection import connect, ensure_experiment, logger, out_of_reach
from raysweep.tracking.entries import (
    FAMILY,
    KIND,
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
    rank,
    write_serves,
)
from raysweep.tracking.run_writer import Changes, RunWriter
from raysweep.tracking.summary import summarise
from raysweep.tracking.views import (
    SERVES,
    STATE,
    Report,
    TrialView,
    clean_key,
    clean_value,
    run_name,
    status_of,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

T = TypeVar("T")

_CALLS_AT_ONCE = 6
"""Concurrent calls to a server: each waits for the network and the database's disk; more would only queue there."""

WRITE_LOCK = threading.Lock()
"""Held while writing: an abandoned mirror may still be writing a trial that `sync` writes, too."""

_STAGE_NAMES = {"learning_rate": "1 learning rate", "grid": "2 grid", "forecast": "3 forecasts", "trained": "4 models"}


@dataclass(frozen=True)
class MlflowPlace:
    """Where MLflow keeps a sweep."""

    uri: str
    experiment: str
    sweep: str
    storage: str = ""
    """Distinguishes sweeps of one name in one experiment, such as those of two users on one server; empty where the
    database is the sweep's own."""
    log: Path | None = None
    """File for MLflow's messages; None: they are dropped."""


class SweepRuns:
    """The runs of a sweep as MLflow holds them, found by their tags. Any method may raise any of MLflow's errors."""

    def __init__(self, place: MlflowPlace) -> None:
        self.place = place
        self._mlflow: MlflowClient = connect(place.uri, place.log)
        client = client_for(self._mlflow, place.uri)
        experiment = ensure_experiment(self._mlflow, place.uri, place.experiment)
        self._writer = RunWriter(client, experiment)
        self.trials: dict[str, Entry] = {}
        self._groups: dict[str, Entry] = {}
        """The sweep's run ("") and those of the stages, by stage."""
        self._grouping = threading.RLock()
        for entry in entries(client, experiment):
            self._take(entry)

    @property
    def changes(self) -> Changes:
        """The changes made so far."""
        return self._writer.changes

    def each(self, action: Callable[[T], object], items: Iterable[T]) -> None:
        """Call an action that writes for each of the items: concurrently on a server, else one after the other.

        Raises:
            Exception: the first error of an action; actions that have not begun by then are skipped.
        """
        if not self.place.uri.startswith("http"):
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
        """Make a trial's run equal to the trial.

        Args:
            view: the trial.
            tags: further tags to set; a later `put` without them does not change them.
        """
        rows = [texts.row_of(point) for point in view.points]
        entry = self.trials.get(view.trial_id)
        if entry is None and not view.serves:
            return  # no longer in the sweep, and never written to MLflow
        wanted = self._tags(view) | {clean_key(k): clean_value(v) for k, v in (tags or {}).items()}
        params = {clean_key(k): clean_value(v) for k, v in view.params.items() if v != "None"}
        if view.points:
            params["params"] = str(view.points[0].params)
        if entry is not None and view.serves and not _continues(entry, rows, params, over=view.over):
            # MLflow cannot change what is logged: a correct run replaces this one.
            self._writer.remove(entry)
            entry = None
        longer = view.serves != () and len(rows) > (len(entry.rows or ()) if entry else 0)
        if longer:
            wanted |= texts.encode(rows)
        if entry is None:
            entry = self._create(wanted, view.started)
            self.trials[view.trial_id] = entry
        self._writer.write_tags(entry, wanted)
        entry.rows = rows if longer else entry.rows
        if view.serves:
            self._writer.write_points(entry, view.points, params)
        self._writer.write_status(entry, status_of(view.state), view.ended)
        if not view.over and view.serves:
            with self._grouping:
                self._writer.write_status(self._group(view.serves[0][0]), "RUNNING", None)

    def interrupt(self, keep: frozenset[str] = frozenset()) -> None:
        """Close the runs of trials that have neither ended nor a driver, except those in `keep`."""
        for trial_id, entry in self.trials.items():
            if trial_id in keep:
                continue
            if not entry.ended:
                self._writer.write_tags(entry, {STATE: INTERRUPTED})
            if not entry.ended or entry.status == "RUNNING":
                self._writer.write_status(entry, status_of(entry.tags[STATE]), None)

    def leave_out(self, trial_id: str) -> None:
        """Mark a trial as no longer part of the sweep; its run stays visible."""
        self._writer.write_tags(self.trials[trial_id], {SERVES: "[]"})

    def begin(self) -> None:
        """Mark the sweep as running."""
        self._writer.write_status(self._group(""), "RUNNING", None)

    def finish(self, *, complete: bool = True) -> None:
        """Summarise and end the runs of the sweep and its stages; without `complete`, trials remain to be run."""
        self._group("")
        for stage, entry in self._groups.items():
            served = [e for e in self.trials.values() if any(stage in ("", s) for s, _ in e.serves)]
            self._writer.write_tags(entry, summarise(self.place.sweep, stage, served))
            ended = all(e.ended for e in served) and (complete or stage != "")
            failed = any(e.status == "FAILED" for e in served)
            self._writer.write_status(entry, "KILLED" if not ended else "FAILED" if failed else "FINISHED", None)

    def attach(self, report: Report) -> None:
        """Attach the report's page and figures to the sweep's run, unless they are there already."""
        entry = self._group("")
        if entry.tags.get(REPORT) == report.digest:
            return
        place = self._mlflow.get_run(entry.run_id).info.artifact_uri or ""
        if out_of_reach(self.place.uri, place):
            logger.warning(
                "the report is not attached to the sweep's run: MLflow at %s keeps artifacts in %s, a folder that only "
                "its own host can reach; start it with --artifacts-destination",
                masked(self.place.uri),
                place,
            )
            return
        with temporary_folder("report") as own:
            pages = own.path / "pages"  # not next to the file that marks the folder as ours
            pages.mkdir()
            for name, data in report.files.items():
                (pages / Path(name).name).write_bytes(data)
            self._mlflow.log_artifacts(entry.run_id, str(pages), artifact_path=layout.REPORT)
        self._writer.write_tags(entry, {REPORT: report.digest})

    def _take(self, entry: Entry) -> None:
        """Register a run that was found; of two runs of one trial the better one is kept."""
        if entry.tags.get(SWEEP) != self.place.sweep or entry.tags.get(STORAGE, "") != self.place.storage:
            return
        kind = entry.tags[KIND]
        kept = self.trials if kind == "trial" else self._groups
        key = entry.tags.get(TRIAL_ID if kind == "trial" else STAGE, "")
        other = kept.get(key)
        if other is not None:
            entry, other = (entry, other) if rank(entry) > rank(other) else (other, entry)
            self._writer.remove(other)
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
        """Find or create the run of a stage, or of the sweep ("")."""
        with self._grouping:
            if stage not in self._groups:
                tags = {KIND: "stage" if stage else "sweep", STAGE: stage}
                if stage:
                    tags[PARENT] = self._group("").run_id
                tags[NAME] = _STAGE_NAMES.get(stage, clean_value(stage)) if stage else clean_value(self.place.sweep)
                self._groups[stage] = self._create(tags, None)
            return self._groups[stage]

    def _create(self, tags: Mapping[str, str], started: float | None) -> Entry:
        return self._writer.create({SWEEP: self.place.sweep, STORAGE: self.place.storage, **tags}, started)


def _continues(entry: Entry, rows: list[str], params: Mapping[str, str], *, over: bool) -> bool:
    """Whether a run needs only additions to have the trial's points and parameters."""
    known = entry.rows
    if known is None or any(entry.params.get(key, value) != value for key, value in params.items()):
        return False
    if len(rows) < len(known):  # a resumed trial reports its points again from the first
        return not over and known[: len(rows)] == rows
    return rows[: len(known)] == known
