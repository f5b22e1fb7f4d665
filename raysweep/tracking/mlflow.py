"""MLflow, the face of a sweep: written while it runs, made equal to the trial store, read back to the last digit.

mirror = MlflowMirror("sqlite:////data/sweep/mlflow.db", "quickstart", "quickstart")   # while the sweep runs
sync(views, tracking_uri=..., experiment=..., sweep_name=...)                          # afterwards, or at any time
table = read_points("quickstart", "sqlite:////data/sweep/mlflow.db")                   # the frontier's input
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raysweep.core.errors import TrackingError
from raysweep.tracking import rows as texts
from raysweep.tracking.client import client_for
from raysweep.tracking.connection import connect, default_uri, reason
from raysweep.tracking.entries import KIND, STORAGE, SWEEP, TRIAL_ID, Entry, entries, rank
from raysweep.tracking.mirror import MlflowMirror
from raysweep.tracking.rows import canonical
from raysweep.tracking.sweep_runs import WRITE_LOCK, MlflowPlace, SweepRuns
from raysweep.tracking.views import Report, TrialView

__all__ = [
    "MlflowMirror",
    "Report",
    "SyncResult",
    "TrialView",
    "canonical",
    "default_uri",
    "find_experiment",
    "read_points",
    "sync",
]


@dataclass(frozen=True, kw_only=True)
class SyncResult:
    """The outcome of `sync`."""

    trials: int
    """Trials that have ended, now equal in MLflow and the trial store."""
    created: int
    """Runs that were created, with those of the sweep and its stages."""
    changed: int
    """Changes to runs: tags, points, status."""
    removed: int
    """Runs that were deleted (restorable in MLflow): duplicates, and those with points that the store does not have."""
    seconds: float
    notes: tuple[str, ...] = ()
    """Notes for the user: that a driver runs the sweep now, and which files in its storage are torn."""

    @property
    def equal(self) -> bool:
        """Whether MLflow was equal to the trial store already."""
        return self.created == self.changed == self.removed == 0


def sync(
    trials: Iterable[TrialView],
    *,
    tracking_uri: str,
    experiment: str,
    sweep_name: str,
    storage: str = "",
    log: Path | None = None,
    live: bool = False,
    report: Report | None = None,
) -> SyncResult:
    """Make MLflow equal to the trial store; idempotent.

    Args:
        trials: all trials of the sweep, of both stages, in any state.
        tracking_uri: `sqlite:////folder/mlflow.db`, a database, or a server's `http://...`.
        experiment: name of the experiment, created if it does not exist.
        sweep_name: name of the sweep, and of its run.
        storage: distinguishes sweeps of one name in one experiment; the same as the mirror's.
        log: file for MLflow's messages.
        live: a driver runs the sweep now; its open trials are left alone.
        report: attached to the sweep's run as artifacts.

    Raises:
        TrackingError: MLflow cannot be reached, or refuses a write; nothing is lost, and the same call resumes.
    """
    began = time.monotonic()
    views = list(trials)
    over = [view for view in views if view.over]
    with tracking_errors(tracking_uri), WRITE_LOCK:
        runs = SweepRuns(MlflowPlace(tracking_uri, experiment, sweep_name, storage, log))
        runs.each(runs.put, over)
        for trial_id in sorted(runs.trials.keys() - {view.trial_id for view in views}):
            runs.leave_out(trial_id)
        if not live:
            runs.interrupt()
            runs.finish(complete=all(view.over for view in views if view.serves))
        if report is not None:
            runs.attach(report)
    done = runs.changes
    return SyncResult(
        trials=len(over),
        created=done.created,
        changed=done.changed,
        removed=done.removed,
        seconds=time.monotonic() - began,
    )


def read_points(
    experiment: str,
    tracking_uri: str,
    *,
    sweep_name: str | None = None,
    storage: str | None = None,
    log: Path | None = None,
) -> pa.Table:
    """Read all points of the sweeps in an experiment: the trial store's table, to the last digit.

    Args:
        experiment: name of the experiment.
        tracking_uri: where MLflow is.
        sweep_name: only this sweep's; None: all sweeps', each trial once.
        storage: only those of the sweep that was tracked under this storage; None: any.
        log: file for MLflow's messages.

    Returns:
        A table with `TABLE_SCHEMA`, in canonical order (`rows.ORDER`), of the trials that have ended.

    Raises:
        TrackingError: there is no such experiment, it is not raysweep's, MLflow cannot be reached, or points are torn.
    """
    best: dict[str, Entry] = {}
    with tracking_errors(tracking_uri):
        client = connect(tracking_uri, log, create=False)
        found = client.get_experiment_by_name(experiment)
        if found is None or found.lifecycle_stage != "active":
            names = ", ".join(sorted(e.name for e in client.search_experiments(max_results=20)))
            raise TrackingError(f"MLflow at {tracking_uri} has no experiment {experiment!r}; it has: {names}")
        ours = False
        for entry in entries(client_for(client, tracking_uri), found.experiment_id):
            ours = True
            wanted = (sweep_name, storage) == (
                sweep_name and entry.tags.get(SWEEP),
                storage and entry.tags.get(STORAGE),
            )
            if wanted and entry.tags[KIND] == "trial" and entry.ended:
                key = entry.tags.get(TRIAL_ID, entry.run_id)
                best[key] = max(best.get(key, entry), entry, key=rank)
    if not ours:
        raise TrackingError(f"experiment {experiment!r} at {tracking_uri} holds no runs that raysweep wrote")
    return texts.to_table((stage, family, _whole(entry)) for entry in best.values() for stage, family in entry.serves)


def find_experiment(experiment: str, tracking_uri: str, log: Path | None = None) -> str:
    """Look up the id of an experiment, which is part of the address of its pages.

    Raises:
        TrackingError: there is no such experiment, or MLflow cannot be reached.
    """
    with tracking_errors(tracking_uri):
        found = connect(tracking_uri, log, create=False).get_experiment_by_name(experiment)
    if found is None:
        raise TrackingError(f"MLflow at {tracking_uri} has no experiment {experiment!r}; `raysweep sync` creates it")
    return str(found.experiment_id)


def _whole(entry: Entry) -> list[str]:
    if entry.rows is None:
        raise TrackingError(f"run {entry.run_id}: the points in its tags are torn; `raysweep sync` rewrites them")
    return entry.rows


@contextmanager
def tracking_errors(tracking_uri: str) -> Iterator[None]:
    """Convert the errors of MLflow and its dependencies to TrackingError."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:
        raise TrackingError(f"MLflow at {tracking_uri}: {reason(error)}") from error
