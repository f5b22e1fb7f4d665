"""The remaining budget of a race, and its wall-clock time over all interruptions."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence

from raysweep.core.errors import StorageError
from raysweep.core.points import Point
from raysweep.core.terminal.live import duration
from raysweep.core.trial import TrialState
from raysweep.storage.race_records import RaceRecord
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.values import Plan
from raysweep.sweep.space.race import Allowance


class RaceClock:
    """Holds the record of a race, and writes the time that it takes: a listener of the sweep's trials."""

    def __init__(self, store: TrialStore, record: RaceRecord) -> None:
        self.record = record
        self._store, self._before, self._began = store, record.seconds, time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall-clock time of the race so far, in the runs before this one too."""
        return self._before + time.monotonic() - self._began

    def write(self, record: RaceRecord) -> None:
        """Write the record with the time of now."""
        self.record = dataclasses.replace(record, seconds=self.seconds)
        self._store.write_race(self.record)

    def trial_started(
        self, trial_id: str, family: str, stage: str, params: dict[str, str], tags: dict[str, str]
    ) -> None:
        """Do nothing."""

    def point(self, trial_id: str, point: Point) -> None:
        """Do nothing."""

    def trial_ended(self, trial_id: str, state: TrialState, message: str | None) -> None:
        """Write the time."""
        with contextlib.suppress(StorageError):  # what the trial itself could not write is raised elsewhere
            self.write(self.record)

    def close(self) -> None:
        """Write the time."""
        with contextlib.suppress(StorageError):
            self.write(self.record)


class Wallet:
    """Which trajectories a budget in time has room for; one in FLOPs is kept by the rounds themselves.

    Device hours are those that the measured costs predict, so that the same rounds follow on any day. Wall-clock time
    is predicted from the device seconds of a round, and of its longest trajectory, by the pace of the rounds before it,
    or by the number of trials that run at once; no round begins that would take longer than what is left.
    """

    def __init__(self, budget: Allowance | None, whole: Plan, record: RaceRecord, seconds: float) -> None:
        """Take stock.

        Args:
            budget: of the race; None: no limit.
            whole: the plan of every trajectory at each of its lengths.
            record: the race so far.
            seconds: wall-clock time that it has taken.
        """
        self._budget = budget if budget is not None and budget.kind != "flops" else None
        self._text = "" if budget is None else budget.text
        self._seconds = {t.spec.trial_id: t.device_seconds or 0.0 for t in whole.trials if t.spec is not None}
        self._flops = {t.spec.trial_id: t.flops or 0.0 for t in whole.trials if t.spec is not None}
        paid = [trial_id for look in record.looks for trial_id in look if trial_id not in record.free]
        spent = math.fsum(self._seconds.get(trial_id, 0.0) for trial_id in paid)
        self._left, self._pace, self._alone = math.inf, 1.0, 1.0
        if self._budget is not None and self._budget.kind == "device_seconds":
            self._left = self._budget.amount - spent
        elif self._budget is not None:
            self._left = self._budget.amount - seconds
            self._pace = 1.0 / (whole.slots or 1)
            if spent > 0 and record.begun:
                self._pace = max((seconds - record.begun[0]) / spent, 1e-9)
            self._alone = min(1.0, self._pace * (whole.slots or 1))

    @property
    def flops(self) -> float:
        """Estimate the remaining FLOPs, at the mean speed of all candidates."""
        total = math.fsum(self._seconds.values())
        if math.isinf(self._left) or total <= 0:
            return math.inf
        return self._left / self._pace * math.fsum(self._flops.values()) / total

    def holds(self, trial_ids: Sequence[str]) -> bool:
        """Whether there is room for a round of these trials."""
        if self._budget is None:
            return True
        each = [self._seconds[trial_id] for trial_id in trial_ids]
        if self._budget.kind == "device_seconds":
            return math.fsum(each) <= self._left
        return max(self._pace * math.fsum(each), self._alone * max(each, default=0.0)) <= self._left

    def too_small(self, trial_ids: Sequence[str]) -> str:
        """Report that the budget does not allow a first round."""
        if self._budget is None:
            cheapest = min(self._flops[trial_id] for trial_id in trial_ids)
            return f"{self._text}: not even the first round fits; the cheapest trajectory takes {cheapest:.3g} FLOP"
        cheapest = min(self._seconds[trial_id] for trial_id in trial_ids)
        left = f", of which {duration(max(self._left, 0.0))} is left" if self._budget.kind == "seconds" else ""
        return f"{self._text}{left}: not even the first round fits; the cheapest trajectory takes {duration(cheapest)}"
