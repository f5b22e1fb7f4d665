"""TrialStore: the truth of a sweep, a directory for each trial, whose files are each written whole or not at all."""

import dataclasses
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from raysweep.core.errors import StorageError, TrialError
from raysweep.core.hashing import content_id, digest
from raysweep.core.io.files import read_whole, write_whole
from raysweep.core.messages import kept
from raysweep.core.points import Point, from_table
from raysweep.core.stages import OF_SWEEPS
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage import checkpoints as attempts
from raysweep.storage import layout, point_file, race_records, rate_records
from raysweep.storage.race_records import RaceRecord
from raysweep.storage.rate_records import RateRecord
from raysweep.storage.reader import SweepReader
from raysweep.storage.records import Assignment, Claim, TrialRecord

__all__ = ["Assignment", "Claim", "TrialRecord", "TrialStore"]


class Lease(Protocol):
    """A driver's hold on a storage (`lease.DriverLease`)."""

    @property
    def lost(self) -> bool:
        """Whether another driver is known to have taken the storage over."""

    def check(self) -> None:
        """Raise an error if another driver has taken the storage over."""

    def check_heartbeat(self) -> None:
        """Raise an error if the last heartbeat found another driver; costs nothing."""


class TrialStore(SweepReader):
    """The trials of a sweep, to read and to write."""

    def __init__(self, location: str, lease: Lease | None = None) -> None:
        """Open a storage.

        Args:
            location: a folder, or a URI that pyarrow.fs knows.
            lease: the driver's hold on it, checked before every write. Workers have none: each of their trials is
                fenced by its claim.
        """
        super().__init__(location)
        self.lease = lease

    def take_checkpoints(self, claim: Claim) -> str:
        """Make the checkpoint folder of an attempt, with the checkpoints of earlier attempts; return its location."""
        folder = f"{self._path(claim.trial_id)}/{layout.TRIAL_CHECKPOINTS}"
        return self._location(attempts.take_over(self._filesystem, folder, claim.attempt, claim.writer))

    def first_checkpoints(self, trial_id: str) -> str:
        """Locate a folder whose checkpoints the first attempt at a trial takes over; empty unless one is put there."""
        return self._location(f"{self._path(trial_id)}/{layout.TRIAL_CHECKPOINTS}/{attempts.FIRST}")

    def begin(self, spec: TrialSpec, code: str | None = None) -> Claim:
        """Begin a new attempt at a trial: write its specification unless it is there, and mark the trial RUNNING.

        Args:
            spec: the trial.
            code: of the training, where it is not raysweep's (see `code.code_of`).
        """
        trial_id = spec.trial_id
        self.keep_spec(spec)
        claim = Claim(trial_id, self.record(trial_id).attempt + 1, uuid.uuid4().hex, time.time(), code)
        self._write_record(trial_id, _record_of(claim, TrialState.RUNNING))
        return claim

    def keep_spec(self, spec: TrialSpec) -> None:
        """Write a trial's specification unless it is there and whole: a worker may die before it begins the trial."""
        try:
            self.spec(spec.trial_id)
        except TrialError:
            self._write_spec(spec)

    def holds(self, claim: Claim) -> bool:
        """Whether no other attempt has started since; a worker that is cut off from its cluster may still run."""
        return self.record(claim.trial_id).writer == claim.writer

    def end(self, claim: Claim, state: TrialState, points: Sequence[Point], message: str | None = None) -> bool:
        """Write a trial's points and final state; return False, and write nothing, if the claim no longer holds."""
        try:
            self._end(claim.trial_id, _record_of(claim, state, message), points, claim)
        except _FencedError:
            return False
        return True

    def close(self, trial_id: str, state: TrialState, points: Sequence[Point], message: str | None = None) -> None:
        """End a trial on behalf of its worker, which is dead or was stopped; revokes the worker's claim."""
        self._check_lease()
        before = self.record(trial_id)
        record = dataclasses.replace(before, state=state, writer=uuid.uuid4().hex, message=message)
        self._end(trial_id, record, points)

    def forget(self, trial_id: str) -> None:
        """Reset a trial: discard its end, points and checkpoints."""
        self._check_lease()
        record = self.record(trial_id)
        self._write_record(trial_id, TrialRecord(attempt=record.attempt, writer=uuid.uuid4().hex))
        attempts.remove_all(self._filesystem, f"{self._path(trial_id)}/{layout.TRIAL_CHECKPOINTS}")

    def adopt(self, other: SweepReader, trial_id: str, code: str | None = None) -> None:
        """Copy an ended trial from another storage, with its points and its end; no attempt of it counts here."""
        self._write_spec(other.spec(trial_id))
        before, points = other.record(trial_id), from_table(other.points(trial_id))
        record = TrialRecord(
            state=before.state, writer=uuid.uuid4().hex, message=before.message, started=before.started, code=code
        )
        self._end(trial_id, record, points)

    def write_assignments(self, assignments: Iterable[Assignment]) -> None:
        """Write which trial serves which family and stage of a sweep; what serves further stages is kept."""
        further = [row for row in self.assignments() if row.stage not in OF_SWEEPS]
        self._write_assignments([*assignments, *further])

    def add_assignments(self, assignments: Iterable[Assignment]) -> None:
        """Write that trials serve families and stages, beside what is written."""
        self._write_assignments(dict.fromkeys([*self.assignments(), *assignments]))

    def write_searches(self, records: Iterable[RateRecord]) -> None:
        """Write the finished learning-rate searches."""
        self.write_json(layout.LEARNING_RATES, rate_records.encode(records))

    def write_race(self, record: RaceRecord) -> None:
        """Write a race as the last one, in place of its earlier record."""
        others = [race for race in self.races() if race.key != record.key]
        self.write_json(layout.RACES, race_records.encode([*others, record]))

    def write_json(self, name: str, content: Sequence[object] | Mapping[str, object]) -> None:
        """Write a file of the sweep whole, unless it has this content already."""
        self.write_bytes(name, json.dumps(content, indent=1, sort_keys=True).encode())

    def keep_json(self, name: str, content: Mapping[str, object], what: str) -> None:
        """Write a file that only saves work; a command that only reads adds a note if the file cannot be written.

        Args:
            name: of the file.
            content: of the file.
            what: the content in words, for the note.

        Raises:
            StorageError: this process runs the sweep, and the file cannot be written.
        """
        try:
            self.write_json(name, content)
        except StorageError as error:
            if self.lease is not None:
                raise
            self.notes.append(f"{what} cannot be saved: {error}")

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file of the sweep whole, unless it has this content already."""
        path = f"{self._root}/{name}"
        if read_whole(self._filesystem, path) != data:
            self._check_lease()
            write_whole(self._filesystem, path, data)

    def _write_assignments(self, assignments: Iterable[Assignment]) -> None:
        self.write_json(layout.ASSIGNMENTS, [dataclasses.asdict(row) for row in assignments])

    def _check_lease(self) -> None:
        if self.lease is not None:
            self.lease.check()

    def _end(self, trial_id: str, record: TrialRecord, points: Sequence[Point], claim: Claim | None = None) -> None:
        def fence() -> None:
            # Before each try: while a storage was unreachable for minutes another attempt may have begun, and ended.
            if claim is not None and not self.holds(claim):
                raise _FencedError

        data = point_file.to_bytes(points)
        # Points first: a state that names points which do not exist yet would be a torn trial.
        write_whole(self._filesystem, f"{self._path(trial_id)}/{layout.TRIAL_POINTS}", data, before=fence)
        message = None if record.message is None else kept(record.message)
        ended = dataclasses.replace(record, message=message, points_sha256=digest(data), ended=time.time())
        self._write_record(trial_id, ended, fence)

    def _write_spec(self, spec: TrialSpec) -> None:
        content = spec.model_dump(mode="json")
        self._write(spec.trial_id, layout.TRIAL_SPEC, {"sha256": content_id(content), "spec": content})

    def _write_record(self, trial_id: str, record: TrialRecord, before: Callable[[], object] = lambda: None) -> None:
        content = dataclasses.asdict(record)
        self._write(trial_id, layout.TRIAL_STATE, {**content, "sha256": content_id(content)}, before)

    def _write(
        self, trial_id: str, name: str, content: Mapping[str, object], before: Callable[[], object] = lambda: None
    ) -> None:
        data = json.dumps(content, indent=1).encode()
        write_whole(self._filesystem, f"{self._path(trial_id)}/{name}", data, before=before)


class _FencedError(Exception):
    """The claim no longer holds."""


def _record_of(claim: Claim, state: TrialState, message: str | None = None) -> TrialRecord:
    return TrialRecord(
        state=state,
        attempt=claim.attempt,
        writer=claim.writer,
        message=message,
        started=claim.started,
        code=claim.code,
    )
