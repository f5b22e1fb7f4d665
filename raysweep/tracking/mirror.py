"""The live mirror: a thread that writes to MLflow what the driver tells it, and never holds the driver up."""

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
from raysweep.tracking.book import WRITING, Book, Place
from raysweep.tracking.connection import logger, quiet, reason
from raysweep.tracking.views import TrialView

_GATHER_S = 1.0
"""How long news gathers before it is written, in one batch for each trial."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0
"""Between two tries while MLflow is away; each pause is twice the one before."""
_AWAY_S = 3.0
"""So long does `close` wait for an MLflow that did not answer before."""
_REFUSALS = 4
"""So often may a trial's news fail, while MLflow answers otherwise, before the trial is left to `sync`."""


@dataclass
class _Told:
    """What the driver has told of one trial."""

    view: TrialView
    points: list[Point] = field(default_factory=list)
    refused: int = 0


class MlflowMirror:
    """A listener of a sweep that mirrors its trials into MLflow as nested runs: sweep, stage, trial.

    All calls return at once. While MLflow is away what was told is kept in memory, and the log says so once; what is
    not written when `close` gives up is made up for by `sync`.
    """

    def __init__(
        self, tracking_uri: str, experiment: str, sweep_name: str, *, storage: str = "", log: Path | None = None
    ) -> None:
        """Start the thread; MLflow is imported and reached there.

        Args:
            tracking_uri: `sqlite:////folder/mlflow.db`, a database, or a server's `http://...`.
            experiment: name of the experiment, made where it is not there.
            sweep_name: name of the sweep, and of its run.
            storage: tells sweeps of one name in one experiment apart.
            log: file for MLflow's messages and ours; None: the logger `raysweep.tracking`.
        """
        self._place, self._log = Place(tracking_uri, experiment, sweep_name, storage), log
        self._news: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._told: dict[str, _Told] = {}
        self._dirty: dict[str, None] = {}
        self._book: Book | None = None
        self._deadline: float | None = None
        self._away = self._doubtful = False
        self._pause = 0.0
        quiet(log)
        self._thread = threading.Thread(target=self._work, name="raysweep-mlflow", daemon=True)
        self._thread.start()

    def trial_started(
        self, trial_id: str, family: str, stage: str, params: dict[str, str], tags: dict[str, str]
    ) -> None:
        """Hear that a trial has begun, or goes on; its points are told anew from the first on."""
        view = TrialView(
            trial_id=trial_id,
            serves=((stage, family),),
            state=TrialState.RUNNING,
            params=dict(params),
            tags=dict(tags),
            started=time.time(),
        )
        self._news.put(lambda: self._note(trial_id, _Told(view)))

    def point(self, trial_id: str, point: Point) -> None:
        """Hear of a point."""
        self._news.put(lambda: self._note_point(trial_id, point))

    def trial_ended(self, trial_id: str, state: TrialState, message: str | None) -> None:
        """Hear how a trial ended."""
        ended = time.time()
        self._news.put(lambda: self._note_end(trial_id, state, message, ended))

    def close(self, timeout: float = 20.0) -> None:
        """Write what is left and end the sweep's run.

        Gives up after `timeout` seconds, and after three where MLflow is away: a driver that was told to stop has ten.
        """
        began = time.monotonic()
        self._deadline = began + timeout
        self._news.put(None)
        while self._thread.is_alive() and time.monotonic() - began < timeout + 1.0:
            self._thread.join(0.1)
            if self._away and time.monotonic() - began > min(timeout, _AWAY_S):
                self._deadline = began  # whatever it is at, it will be the last
                break
        if self._thread.is_alive() or self._dirty:
            logger.warning("MLflow lacks news of %d trials; `raysweep sync` makes up for it", len(self._dirty))

    def _note(self, trial_id: str, told: _Told) -> None:
        self._told[trial_id] = told
        self._dirty[trial_id] = None

    def _note_point(self, trial_id: str, point: Point) -> None:
        told = self._told.get(trial_id)
        if told is not None:
            told.points.append(point)
            self._dirty[trial_id] = None

    def _note_end(self, trial_id: str, state: TrialState, message: str | None, ended: float) -> None:
        told = self._told.get(trial_id)
        if told is not None:
            told.view = replace(told.view, state=state, message=message, ended=ended)
            self._dirty[trial_id] = None

    def _work(self) -> None:
        """Gather news and write them, until `close`; an error of MLflow's never leaves this thread."""
        open_for_news, took = True, 0.0
        while open_for_news:
            # A quarter of the time for writing at most: the driver shares this process.
            open_for_news = self._gather(max(_GATHER_S, self._pause, 3 * took))
            began = time.monotonic()
            self._try(self._write)
            took = time.monotonic() - began
        while not self._try(self._end) and self._time_left() > 0:
            time.sleep(min(self._pause, max(0.0, self._time_left())))

    def _gather(self, seconds: float) -> bool:
        """Take news from the queue for so long; return False when `close` was called."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            try:
                news = self._news.get(timeout=left)
            except queue.Empty:
                break
            if news is None:
                return False
            news()
        return True

    def _time_left(self) -> float:
        return float("inf") if self._deadline is None else self._deadline - time.monotonic()

    def _try(self, action: Callable[[], None]) -> bool:
        """Do something with MLflow; where it fails, say so the first time and have it looked up anew next time."""
        try:
            with WRITING:
                action()
        except Exception as error:  # noqa: BLE001 - MLflow raises what its parts raise, and none of it may reach a trial
            if not self._away:
                logger.warning(
                    "MLflow at %s cannot be written to; trials go on, and what they tell is kept until it is back: %s",
                    masked(self._place.tracking_uri),
                    reason(error),
                )
            self._away = self._doubtful = True
            self._book = None
            self._pause = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, 2 * self._pause))
            return False
        if not self._dirty:
            if self._away:
                logger.warning("MLflow at %s is back and has all news", masked(self._place.tracking_uri))
            self._away, self._pause = False, 0.0
        return True

    def _write(self) -> None:
        if self._dirty and self._time_left() > 0:
            book = self._opened()
            book.each(lambda trial_id: self._put(book, trial_id), list(self._dirty))

    def _opened(self) -> Book:
        if self._book is None:
            book = Book(self._place, self._log)
            book.begin()
            # What an earlier driver left running, and this one has not begun, has nobody who would ever end it.
            book.interrupt(keep=frozenset(self._told))
            self._book = book
        return self._book

    def _put(self, book: Book, trial_id: str) -> None:
        if self._time_left() <= 0:
            return
        told = self._told[trial_id]
        entry = book.trials.get(trial_id)
        serves = tuple(dict.fromkeys([*(entry.serves if entry else ()), *told.view.serves]))
        try:
            book.put(replace(told.view, serves=serves, points=tuple(told.points)), tags=code_version())
        except Exception as error:
            # An absent server fails when the book is opened, so what fails here time and again is this trial's own.
            # It goes to the end, behind the others.
            self._dirty[trial_id] = self._dirty.pop(trial_id)
            told.refused += 1
            if told.refused >= _REFUSALS:
                logger.warning("MLflow refuses trial %s: %s", trial_id, reason(error))
                self._dirty.pop(trial_id)
            raise
        self._dirty.pop(trial_id)
        told.refused = 0

    def _end(self) -> None:
        self._write()
        if self._told and not self._dirty:
            if self._doubtful:
                self._book = None  # a server that did not answer may have acted later: what it made twice is found now
            book = self._opened()
            book.interrupt()
            book.finish()
            self._doubtful = False


@cache
def _commit() -> str | None:
    """Return the git commit of the checkout that this package is run from, None where it was installed."""
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
    """Return the tags that name the code: MLflow shows the commit in the column "Version"."""
    commit = _commit()
    if commit is None:
        return {"raysweep.code": __version__}
    return {
        "raysweep.code": f"{__version__}+{commit}",
        "mlflow.source.git.commit": commit.removesuffix("-dirty"),
    }
