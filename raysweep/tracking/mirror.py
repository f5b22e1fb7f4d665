"""The live mirror: a thread that writes the driver's reports to MLflow and never blocks the driver."""

import queue
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from raysweep.core.masking import masked
from raysweep.core.points import Point
from raysweep.core.trial import TrialState
from raysweep.core.version import PACKAGE_FOLDER, __version__
from raysweep.tracking.connection import logger, quiet, reason
from raysweep.tracking.sweep_runs import WRITE_LOCK, MlflowPlace, SweepRuns
from raysweep.tracking.views import TrialView

_GATHER_S = 1.0
"""How long reports are collected before they are written, in one batch for each trial."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0
"""Pause between two attempts while MLflow cannot be reached: doubled each time, up to the longest."""
_AWAY_S = 3.0
"""How long `close` waits for an MLflow that did not answer before."""
_REFUSALS = 4
"""Failed writes of one trial, while MLflow accepts others, after which the trial is left to `sync`."""


@dataclass
class _Reported:
    """The driver's reports of one trial."""

    view: TrialView
    points: list[Point] = field(default_factory=list)
    refused: int = 0


class MlflowMirror:
    """A listener of a sweep that mirrors its trials into MLflow as nested runs: sweep, stage, trial.

    All calls return at once. While MLflow is unreachable, reports are kept in memory, and the log says so once; `sync`
    writes what `close` could not.
    """

    def __init__(
        self, tracking_uri: str, experiment: str, sweep_name: str, *, storage: str = "", log: Path | None = None
    ) -> None:
        """Start the thread; MLflow is imported and reached there.

        Args:
            tracking_uri: `sqlite:////folder/mlflow.db`, a database, or a server's `http://...`.
            experiment: name of the experiment, created if it does not exist.
            sweep_name: name of the sweep, and of its run.
            storage: distinguishes sweeps of one name in one experiment.
            log: file for MLflow's messages and ours; None: the logger `raysweep.tracking`.
        """
        self._place = MlflowPlace(tracking_uri, experiment, sweep_name, storage, log)
        self._reports: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._reported: dict[str, _Reported] = {}
        self._pending: dict[str, None] = {}
        self._runs: SweepRuns | None = None
        self._deadline: float | None = None
        self._away = self._doubtful = False
        self._pause = 0.0
        quiet(log)
        self._thread = threading.Thread(target=self._work, name="raysweep-mlflow", daemon=True)
        self._thread.start()

    def trial_started(
        self, trial_id: str, family: str, stage: str, params: dict[str, str], tags: dict[str, str]
    ) -> None:
        """Called when a trial begins or resumes; its points are then reported from the first on."""
        view = TrialView(
            trial_id=trial_id,
            serves=((stage, family),),
            state=TrialState.RUNNING,
            params=dict(params),
            tags=dict(tags),
            started=time.time(),
        )
        self._reports.put(lambda: self._start(trial_id, _Reported(view)))

    def point(self, trial_id: str, point: Point) -> None:
        """Called for each point."""
        self._reports.put(lambda: self._add_point(trial_id, point))

    def trial_ended(self, trial_id: str, state: TrialState, message: str | None) -> None:
        """Called when a trial ends."""
        ended = time.time()
        self._reports.put(lambda: self._set_end(trial_id, state, message, ended))

    def close(self, timeout: float = 20.0) -> None:
        """Write the remaining reports and end the sweep's run.

        Gives up after `timeout` seconds, or after three if MLflow is unreachable: a driver that is stopped has ten.
        """
        began = time.monotonic()
        self._deadline = began + timeout
        self._reports.put(None)
        while self._thread.is_alive() and time.monotonic() - began < timeout + 1.0:
            self._thread.join(0.1)
            if self._away and time.monotonic() - began > min(timeout, _AWAY_S):
                self._deadline = began  # the write in progress is the last
                break
        if self._thread.is_alive() or self._pending:
            logger.warning("MLflow lacks updates of %d trials; `raysweep sync` writes them", len(self._pending))

    def _start(self, trial_id: str, reported: _Reported) -> None:
        self._reported[trial_id] = reported
        self._pending[trial_id] = None

    def _add_point(self, trial_id: str, point: Point) -> None:
        reported = self._reported.get(trial_id)
        if reported is not None:
            reported.points.append(point)
            self._pending[trial_id] = None

    def _set_end(self, trial_id: str, state: TrialState, message: str | None, ended: float) -> None:
        reported = self._reported.get(trial_id)
        if reported is not None:
            reported.view = replace(reported.view, state=state, message=message, ended=ended)
            self._pending[trial_id] = None

    def _work(self) -> None:
        """Collect and write reports until `close`; MLflow's errors never leave this thread."""
        open_for_reports, took = True, 0.0
        while open_for_reports:
            # At most a quarter of the time is spent writing: the driver shares this process.
            open_for_reports = self._gather(max(_GATHER_S, self._pause, 3 * took))
            began = time.monotonic()
            self._try(self._write)
            took = time.monotonic() - began
        while not self._try(self._end) and self._time_left() > 0:
            time.sleep(min(self._pause, max(0.0, self._time_left())))

    def _gather(self, seconds: float) -> bool:
        """Collect reports from the queue for some seconds; return False once `close` was called."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                report = self._reports.get(timeout=left)
            except queue.Empty:
                break
            if report is None:
                return False
            report()
        return True

    def _time_left(self) -> float:
        return float("inf") if self._deadline is None else self._deadline - time.monotonic()

    def _try(self, action: Callable[[], None]) -> bool:
        """Run an action on MLflow; if it fails, log the first failure and reread MLflow's runs next time."""
        try:
            with WRITE_LOCK:
                action()
        except Exception as error:  # noqa: BLE001 - MLflow may raise anything, and nothing may reach a trial
            if not self._away:
                logger.warning(
                    "MLflow at %s cannot be written to; trials go on, and their points are kept until it is back: %s",
                    masked(self._place.uri),
                    reason(error),
                )
            self._away = self._doubtful = True
            self._runs = None
            self._pause = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, 2 * self._pause))
            return False
        if not self._pending:
            if self._away:
                logger.warning("MLflow at %s is back and up to date", masked(self._place.uri))
            self._away, self._pause = False, 0.0
        return True

    def _write(self) -> None:
        if self._pending and self._time_left() > 0:
            runs = self._opened()
            runs.each(lambda trial_id: self._put(runs, trial_id), list(self._pending))

    def _opened(self) -> SweepRuns:
        if self._runs is None:
            runs = SweepRuns(self._place)
            runs.begin()
            # Nobody else would ever end the runs that an earlier driver left running and this one has not begun.
            runs.interrupt(keep=frozenset(self._reported))
            self._runs = runs
        return self._runs

    def _put(self, runs: SweepRuns, trial_id: str) -> None:
        if self._time_left() <= 0:
            return
        reported = self._reported[trial_id]
        entry = runs.trials.get(trial_id)
        serves = tuple(dict.fromkeys([*(entry.serves if entry else ()), *reported.view.serves]))
        try:
            runs.put(replace(reported.view, serves=serves, points=tuple(reported.points)), tags=code_version())
        except Exception as error:
            # An unreachable server fails when the runs are opened, so repeated failures here are this trial's own.
            # It goes to the end of the queue.
            self._pending[trial_id] = self._pending.pop(trial_id)
            reported.refused += 1
            if reported.refused >= _REFUSALS:
                logger.warning("MLflow refuses trial %s: %s", trial_id, reason(error))
                self._pending.pop(trial_id)
            raise
        self._pending.pop(trial_id)
        reported.refused = 0

    def _end(self) -> None:
        self._write()
        if self._reported and not self._pending:
            if self._doubtful:
                self._runs = None  # a server that did not answer may have acted later: duplicate runs are found now
            runs = self._opened()
            runs.interrupt()
            runs.finish()
            self._doubtful = False


@cache
def _commit() -> str | None:
    """Find the git commit of the checkout that this package is run from; None if it was installed."""
    here = PACKAGE_FOLDER
    try:
        for command in (
            ["ls-files", "--error-unmatch", "__init__.py"],
            ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        ):
            # `ls-files`: an environment inside of somebody's repository is not a checkout of raysweep.
            done = subprocess.run(["git", "-C", str(here), *command], capture_output=True, text=True, timeout=10)
            if done.returncode != 0:
                return None
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def code_version() -> dict[str, str]:
    """Build the tags that identify the code: MLflow shows the commit in the column "Version"."""
    commit = _commit()
    if commit is None:
        return {"raysweep.code": __version__}
    return {
        "raysweep.code": f"{__version__}+{commit}",
        "mlflow.source.git.commit": commit.removesuffix("-dirty"),
    }
