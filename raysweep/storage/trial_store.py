"""The trial store: the truth of a sweep, a directory per trial whose files are each whole or not there at all.

    <storage>/trials/<trial id>/spec.json      {"sha256": ..., "spec": {...}}
                                state.json     {"state": ..., "attempt": ..., "points_sha256": ..., ..., "sha256": ...}
                                points.arrow   the trial's points, written when the trial ends, whatever the end
                                checkpoints/   written by training, a folder for each attempt

A file that is torn or altered is found by its checksum and counts as not there: its trial is done again.
"""

import dataclasses
import json
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import pyarrow as pa
from pydantic import ValidationError

from raysweep.core.errors import StorageError, TrialError
from raysweep.core.hashing import content_id, digest
from raysweep.core.io.files import absolute, list_folder, open_folder, read_whole, write_whole
from raysweep.core.messages import kept
from raysweep.core.points import POINT_SCHEMA, TABLE_SCHEMA, Point, at_budgets, from_table
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage import checkpoints as attempts
from raysweep.storage import layout, point_file
from raysweep.storage.records import Assignment, Claim, TrialRecord

__all__ = ["Assignment", "Claim", "TrialRecord", "TrialStore"]

_TRIAL_ID = re.compile(r"^[0-9a-f]{16}$")


class Held(Protocol):
    """A driver's hold on a storage (`lock.DriverLock`)."""

    @property
    def lost(self) -> bool:
        """Whether it is known that another driver has it."""

    def check(self) -> None:
        """Raise an error where another driver has it."""

    def check_beats(self) -> None:
        """Do the same by what is known, at no cost."""


class TrialStore:
    """The trials under one storage location (a folder, or a URI that pyarrow.fs knows)."""

    def __init__(self, location: str, held: Held | None = None) -> None:
        """Open a storage; a driver gives its hold on it, which is looked at before anything is written.

        Workers have none: each of their trials is fenced by its claim.
        """
        self.location = absolute(location)  # workers have working directories of their own
        self.notes: list[str] = []
        """What was found torn or altered on the way, in words for the user."""
        self.held = held
        self._filesystem, self._root = open_folder(location)

    def ids(self) -> list[str]:
        """Return the ids of all trials that were ever begun, sorted."""
        found = (info.base_name for info in list_folder(self._filesystem, f"{self._root}/{layout.TRIALS}"))
        return sorted(name for name in found if _TRIAL_ID.match(name))

    def checkpoints(self, trial_id: str) -> str:
        """Return the location where the newest attempt of a trial keeps its checkpoints."""
        return self._location(attempts.newest(self._filesystem, f"{self._path(trial_id)}/{layout.TRIAL_CHECKPOINTS}"))

    def take_checkpoints(self, claim: Claim) -> str:
        """Return the location for the checkpoints of an attempt, which holds what earlier attempts saved."""
        folder = f"{self._path(claim.trial_id)}/{layout.TRIAL_CHECKPOINTS}"
        return self._location(attempts.take_over(self._filesystem, folder, claim.attempt, claim.writer))

    def spec(self, trial_id: str) -> TrialSpec:
        """Return a trial's specification.

        Raises:
            TrialError: it is absent, torn, altered or another trial's.
        """
        data = self._read(trial_id, layout.TRIAL_SPEC)
        remedy = f"delete {self._path(trial_id)} and run the sweep again"
        if data is None:
            raise TrialError(f"trial {trial_id}: no {layout.TRIAL_SPEC}; {remedy}")
        try:
            content = json.loads(data)
            spec = TrialSpec.model_validate(content["spec"])
            whole = content["sha256"] == content_id(content["spec"])
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise TrialError(f"trial {trial_id}: {layout.TRIAL_SPEC} is torn: {error}; {remedy}") from error
        if not whole or spec.trial_id != trial_id:
            raise TrialError(f"trial {trial_id}: {layout.TRIAL_SPEC} was altered or is another trial's; {remedy}")
        return spec

    def record(self, trial_id: str) -> TrialRecord:
        """Return what the trial's state file says; PLANNED where there is none, or where it is torn (see `notes`)."""
        data = self._read(trial_id, layout.TRIAL_STATE)
        if data is None:
            return TrialRecord()
        try:
            content = json.loads(data)
            checksum = content.pop("sha256")
            message = content.get("message") and kept(str(content["message"]))  # older versions kept any text
            record = TrialRecord(**{**content, "state": TrialState(content["state"]), "message": message})
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._torn(trial_id, f"{layout.TRIAL_STATE} is torn")
        if checksum != content_id(content):
            return self._torn(trial_id, f"{layout.TRIAL_STATE} was altered")
        return record

    def sound_record(self, trial_id: str) -> TrialRecord:
        """Return the record, PLANNED where the trial ended but its points are torn: then it has to run again."""
        record = self.record(trial_id)
        if record.points_sha256 is not None:
            data = self._read(trial_id, layout.TRIAL_POINTS)
            if data is None or digest(data) != record.points_sha256:
                return self._torn(trial_id, f"{layout.TRIAL_POINTS} is torn or absent")
            try:
                point_file.from_bytes(data, trial_id)
            except ValueError as error:
                return self._torn(trial_id, f"{layout.TRIAL_POINTS} {error}")
        return record

    def standing(self, spec: TrialSpec) -> TrialRecord:
        """Return the sound record of a trial, PLANNED where its training missed budgets and nobody checked that.

        Of an entrypoint's trials such may be left by a version of raysweep that did not check points.
        """
        trial_id = spec.trial_id
        record = self.sound_record(trial_id)
        if spec.entrypoint is None or record.code is not None or not record.state.is_final:
            return record
        points = from_table(self.points(trial_id))
        budgets = {"data": spec.data_budgets, "flops": spec.flops_budgets}
        beside = any(point.budget not in budgets.get(point.budget_kind, ()) for point in points)
        reached = len(at_budgets(points, spec.data_budgets)) == len(spec.data_budgets)
        if beside or (record.state == TrialState.DONE and not reached):
            return self._torn(trial_id, "its points are not at its budgets")
        return record

    def state(self, trial_id: str) -> TrialState:
        """Return where a trial stands, its points checked (see `sound_record`)."""
        return self.sound_record(trial_id).state

    def points(self, trial_id: str) -> pa.Table:
        """Return the points of a trial that ended, with `POINT_SCHEMA`; no rows where it has not ended.

        Raises:
            TrialError: the file is torn, altered or another trial's.
        """
        record = self.record(trial_id)
        if record.points_sha256 is None:
            return POINT_SCHEMA.empty_table()
        data = self._read(trial_id, layout.TRIAL_POINTS)
        if data is None or digest(data) != record.points_sha256:
            raise TrialError(
                f"trial {trial_id}: {layout.TRIAL_POINTS} is torn or absent; run the sweep again to redo the trial"
            )
        try:
            return point_file.from_bytes(data, trial_id)
        except ValueError as error:
            raise TrialError(
                f"trial {trial_id}: {layout.TRIAL_POINTS} {error}; run the sweep again to redo the trial"
            ) from error

    def points_or_none(self, trial_id: str) -> pa.Table:
        """Return the points of a trial, no rows where the file is torn or another trial's (see `notes`)."""
        try:
            return self.points(trial_id)
        except TrialError as error:
            self.notes.append(str(error))
            return POINT_SCHEMA.empty_table()

    def begin(self, spec: TrialSpec, code: str | None = None) -> Claim:
        """Take a trial over: write its specification where it is not whole, and mark it RUNNING in a new attempt.

        Args:
            spec: the trial.
            code: of the training, where it is not raysweep's (see `code.code_of`).
        """
        trial_id = spec.trial_id
        self.keep_spec(spec)
        claim = Claim(trial_id, self.record(trial_id).attempt + 1, uuid.uuid4().hex, time.time(), code)
        state = TrialState.RUNNING
        self._write_record(
            trial_id,
            TrialRecord(
                state=state, attempt=claim.attempt, writer=claim.writer, started=claim.started, code=claim.code
            ),
        )
        return claim

    def keep_spec(self, spec: TrialSpec) -> None:
        """Write a trial's specification unless it is there and whole: a worker may die before it begins the trial."""
        try:
            self.spec(spec.trial_id)
        except TrialError:
            self._write_spec(spec)

    def holds(self, claim: Claim) -> bool:
        """Return whether nobody has begun the trial anew since (a worker cut off from its cluster may live on)."""
        return self.record(claim.trial_id).writer == claim.writer

    def end(self, claim: Claim, state: TrialState, points: Sequence[Point], message: str | None = None) -> bool:
        """Write a trial's points and end; return False, and write nothing, where the claim no longer holds."""
        try:
            self._end(
                claim.trial_id, claim.attempt, claim.writer, claim.started, state, points, message, claim.code, claim
            )
        except _FencedError:
            return False
        return True

    def close(self, trial_id: str, state: TrialState, points: Sequence[Point], message: str | None = None) -> None:
        """End a trial in place of its worker, which is dead or was told to stop: its own claim no longer holds."""
        self._check_held()
        record = self.record(trial_id)
        self._end(trial_id, record.attempt, uuid.uuid4().hex, record.started, state, points, message, record.code)

    def forget(self, trial_id: str) -> None:
        """Reset a trial: discard its end, points and checkpoints."""
        self._check_held()
        record = self.record(trial_id)
        self._write_record(trial_id, TrialRecord(attempt=record.attempt, writer=uuid.uuid4().hex))
        attempts.remove_all(self._filesystem, f"{self._path(trial_id)}/{layout.TRIAL_CHECKPOINTS}")

    def adopt(self, other: "TrialStore", trial_id: str, code: str | None = None) -> None:
        """Take a trial over from another storage, with its points and its end; it counts as begun no time here."""
        self._write_spec(other.spec(trial_id))
        record, points = other.record(trial_id), from_table(other.points(trial_id))
        self._end(trial_id, 0, uuid.uuid4().hex, record.started, record.state, points, record.message, code)

    def table(self, assignments: Iterable[Assignment] | None = None) -> pa.Table:
        """Return all points of the sweep with `TABLE_SCHEMA`, in the order of the assignments and budgets.

        Trials in any ended state are in it, with the points before the end; torn ones are left out and noted.
        """
        chosen = self.assignments() if assignments is None else list(assignments)
        tables: dict[str, pa.Table] = {}
        parts = []
        for row in chosen:
            if row.trial_id not in tables:
                tables[row.trial_id] = self.points_or_none(row.trial_id)
            table = tables[row.trial_id]
            parts.append(
                table.append_column("family", pa.array([row.family] * table.num_rows, pa.string())).append_column(
                    "stage", pa.array([row.stage] * table.num_rows, pa.string())
                )
            )
        if not parts:
            return TABLE_SCHEMA.empty_table()
        return pa.concat_tables(parts).cast(TABLE_SCHEMA).combine_chunks()

    def assignments(self) -> list[Assignment]:
        """Return which trial serves which family and stage, as the last run of the sweep wrote it."""
        content = self.read_json(layout.ASSIGNMENTS)
        if not isinstance(content, list):
            return []
        return [Assignment(**row) for row in content]

    def write_assignments(self, assignments: Iterable[Assignment]) -> None:
        """Write `assignments.json` whole."""
        self.write_json(layout.ASSIGNMENTS, [dataclasses.asdict(row) for row in assignments])

    def read_json(self, name: str) -> object:
        """Return a file of the sweep as plain values, None where it is absent or torn."""
        data = read_whole(self._filesystem, f"{self._root}/{name}")
        try:
            return None if data is None else json.loads(data)
        except ValueError:
            self.notes.append(f"{name} is torn and is written anew")
            return None

    def write_json(self, name: str, content: Sequence[object] | Mapping[str, object]) -> None:
        """Write a file of the sweep whole, unless it holds just that already."""
        self.write_bytes(name, json.dumps(content, indent=1, sort_keys=True).encode())

    def keep_json(self, name: str, content: Mapping[str, object], what: str) -> None:
        """Write a file that only saves work; where a command that only reads cannot, it leaves a note instead.

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
            if self.held is not None:
                raise
            self.notes.append(f"{what} cannot be saved: {error}")

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file of the sweep whole, unless it holds just that already."""
        path = f"{self._root}/{name}"
        if read_whole(self._filesystem, path) != data:
            self._check_held()
            write_whole(self._filesystem, path, data)

    def read_bytes(self, name: str) -> bytes | None:
        """Return a file of the sweep, None where it is absent."""
        return read_whole(self._filesystem, f"{self._root}/{name}")

    def _check_held(self) -> None:
        if self.held is not None:
            self.held.check()

    def _end(
        self,
        trial_id: str,
        attempt: int,
        writer: str,
        started: float | None,
        state: TrialState,
        points: Sequence[Point],
        message: str | None,
        code: str | None,
        claim: Claim | None = None,
    ) -> None:
        def fence() -> None:
            # Before each try: a storage that was away for minutes may have seen another attempt begin, and end.
            if claim is not None and not self.holds(claim):
                raise _FencedError

        data = point_file.to_bytes(points)
        # Points first: a state that names points which are not there yet would be a torn trial.
        write_whole(self._filesystem, f"{self._path(trial_id)}/{layout.TRIAL_POINTS}", data, before=fence)
        self._write_record(
            trial_id,
            TrialRecord(
                state=state,
                attempt=attempt,
                writer=writer,
                message=None if message is None else kept(message),
                points_sha256=digest(data),
                started=started,
                ended=time.time(),
                code=code,
            ),
            fence,
        )

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

    def _location(self, path: str) -> str:
        return f"{self.location.rstrip('/')}{path.removeprefix(self._root.rstrip('/'))}"

    def _read(self, trial_id: str, name: str) -> bytes | None:
        return read_whole(self._filesystem, f"{self._path(trial_id)}/{name}")

    def _path(self, trial_id: str) -> str:
        assert _TRIAL_ID.match(trial_id), trial_id
        return f"{self._root}/{layout.TRIALS}/{trial_id}"

    def _torn(self, trial_id: str, what: str) -> TrialRecord:
        note = f"trial {trial_id}: {what}; it is run again"
        if note not in self.notes:
            self.notes.append(note)
        return TrialRecord()


class _FencedError(Exception):
    """The claim no longer holds."""
