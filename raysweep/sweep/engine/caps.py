"""The caps on a sweep's spending, and the account of it."""

import math
import time

from pyarrow import fs

from raysweep.core.errors import Stopped
from raysweep.core.io.files import open_location
from raysweep.core.points import Point
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.space.running import Caps

DISK_EVERY_SECONDS = 30.0
"""Interval between two scans of a storage, which may hold many files."""
EXIT_CODE = 130
"""That of an interrupted sweep (128 + SIGINT): it is not complete, and the same command resumes it."""


class CapReachedError(Stopped):
    """The sweep has spent what its search space allows; nothing is lost."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, EXIT_CODE)


class Spending:
    """What a sweep has spent: FLOPs, device hours and trials over all its runs, hours of this run, disk space in use.

    A trial of an earlier run costs what its points say, or the wall-clock of its attempts where they have no seconds.
    What a killed driver spent on trials that had not ended is unknown, and counts once they resume.
    """

    def __init__(self, caps: Caps, store: TrialStore) -> None:
        self._caps = caps
        self._storage = store.location
        self._began = time.monotonic()
        self._flops: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._before: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._trials = {i for i in store.ids() if store.record(i).attempt}  # not trials copied from elsewhere
        self._disk = (-math.inf, 0.0)
        if self._caps.flops is not None or self._caps.device_hours is not None:
            for trial_id in sorted(self._trials):
                self._read(store, trial_id)

    def began(self, trial_id: str) -> None:
        """Count a trial that a worker has begun."""
        self._trials.add(trial_id)
        self._before[trial_id] = self._seconds.get(trial_id, 0.0)
        self._started[trial_id] = time.monotonic()

    def point(self, trial_id: str, point: Point) -> None:
        """Count the cost of a trial up to a point; a resumed trial reports its earlier points again."""
        seconds = point.seconds
        if seconds is None:
            seconds = self._before[trial_id] + time.monotonic() - self._started[trial_id]
        self._flops[trial_id] = max(self._flops.get(trial_id, 0.0), point.flops)
        self._seconds[trial_id] = max(self._seconds.get(trial_id, 0.0), seconds)

    def full(self, trial_id: str) -> str | None:
        """Return why a trial may not begin, or None; a trial that was begun before may always resume."""
        if self._caps.trials is None or trial_id in self._trials or len(self._trials) < self._caps.trials:
            return None
        return self._reason("trials", len(self._trials), "trials begun")

    def reached(self) -> str | None:
        """Return which cap is reached and how to go on, or None."""
        caps = self._caps
        hours = (time.monotonic() - self._began) / 3600
        device_hours = sum(self._seconds.values()) / 3600
        if caps.flops is not None and sum(self._flops.values()) >= caps.flops:
            return self._reason("flops", sum(self._flops.values()), "training FLOPs, learning-rate stage included")
        if caps.device_hours is not None and device_hours >= caps.device_hours:
            return self._reason("device_hours", device_hours, "device hours")
        if caps.hours is not None and hours >= caps.hours:
            return self._reason("hours", hours, "hours of this run")
        if caps.disk_gigabytes is not None and self._gigabytes() >= caps.disk_gigabytes:
            return self._reason("disk_gigabytes", self._gigabytes(), f"GB in {self._storage}")
        return None

    def _reason(self, key: str, spent: float, what: str) -> str:
        cap = float(getattr(self._caps, key))
        again = "run the same command again" if key == "hours" else f"raise caps.{key} in the search space"
        return (
            f"caps.{key} = {cap:g} is reached: {spent:.4g} {what}. Everything is kept; to go on, {again}, or give "
            f"caps.{key}={2 * cap:g} on the command line"
        )

    def _read(self, store: TrialStore, trial_id: str) -> None:
        record = store.valid_record(trial_id)
        if record.points_sha256 is None:
            return
        points = store.points(trial_id)
        self._flops[trial_id] = max(points["flops"].to_pylist(), default=0.0)
        known = [seconds for seconds in points["seconds"].to_pylist() if seconds is not None]
        wall = (record.ended or 0.0) - (record.started or record.ended or 0.0)
        self._seconds[trial_id] = max(known, default=wall)

    def _gigabytes(self) -> float:
        now = time.monotonic()
        if now - self._disk[0] > DISK_EVERY_SECONDS:
            filesystem, root = open_location(self._storage)
            found = filesystem.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
            self._disk = (now, sum(info.size or 0 for info in found) / 1e9)
        return self._disk[1]
