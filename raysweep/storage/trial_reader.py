"""Reading of single trials: specification, record and points, each validated by its checksum.

A file that is torn or altered counts as absent, and its trial is run again. The layout is that of `layout`:

    spec.json       {"sha256": ..., "spec": {...}}
    state.json      {"state": ..., "attempt": ..., "points_sha256": ..., ..., "sha256": ...}
    points.arrow    the trial's points, written when the trial ends, however it ends
    checkpoints/    a folder for each attempt, written by training
"""

import json
import re

import pyarrow as pa
from pydantic import ValidationError

from raysweep.core.errors import TrialError
from raysweep.core.hashing import content_id, digest
from raysweep.core.io.files import absolute, list_folder, open_folder, read_whole
from raysweep.core.messages import kept
from raysweep.core.points import POINT_SCHEMA, at_budgets, from_table
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage import checkpoints as attempts
from raysweep.storage import layout, point_file
from raysweep.storage.records import TrialRecord

_TRIAL_ID = re.compile(r"^[0-9a-f]{16}$")


class TrialReader:
    """The trials under one storage location (a folder, or a URI that pyarrow.fs knows)."""

    def __init__(self, location: str) -> None:
        """Open a storage, which need not exist yet."""
        self.location = absolute(location)  # workers have working directories of their own
        self.notes: list[str] = []
        """Messages about files that were found torn or altered."""
        self._filesystem, self._root = open_folder(location)

    def ids(self) -> list[str]:
        """List the ids of all trials ever started, sorted."""
        found = (info.base_name for info in list_folder(self._filesystem, f"{self._root}/{layout.TRIALS}"))
        return sorted(name for name in found if _TRIAL_ID.match(name))

    def checkpoints(self, trial_id: str) -> str:
        """Locate the checkpoints of a trial's newest attempt."""
        return self._location(attempts.newest(self._filesystem, f"{self._path(trial_id)}/{layout.TRIAL_CHECKPOINTS}"))

    def spec(self, trial_id: str) -> TrialSpec:
        """Read a trial's specification.

        Raises:
            TrialError: the file is absent, torn, altered or another trial's.
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
        """Read a trial's record; PLANNED where it is absent or torn (see `notes`)."""
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

    def valid_record(self, trial_id: str) -> TrialRecord:
        """Read a trial's record and validate its points; PLANNED where these are torn, so that it is run again."""
        record = self.record(trial_id)
        try:
            self._points_of(trial_id, record)
        except _InvalidPointsError as error:
            return self._torn(trial_id, str(error))
        return record

    def usable_record(self, spec: TrialSpec) -> TrialRecord:
        """Read a valid record; PLANNED where the trial's training missed its budgets and nothing has checked that.

        Versions of raysweep that did not check the points of entrypoints may have written such trials.
        """
        trial_id = spec.trial_id
        record = self.valid_record(trial_id)
        if spec.entrypoint is None or record.code is not None or not record.state.is_final:
            return record
        points = from_table(self.points(trial_id))
        budgets = {"data": spec.data_budgets, "flops": spec.flops_budgets}
        off_budget = any(point.budget not in budgets.get(point.budget_kind, ()) for point in points)
        reached = len(at_budgets(points, spec.data_budgets)) == len(spec.data_budgets)
        if off_budget or (record.state == TrialState.DONE and not reached):
            return self._torn(trial_id, "its points are not at its budgets")
        return record

    def state(self, trial_id: str) -> TrialState:
        """Read a trial's state, its points validated (see `valid_record`)."""
        return self.valid_record(trial_id).state

    def points(self, trial_id: str) -> pa.Table:
        """Read the points of a trial that has ended, with `POINT_SCHEMA`; no rows before that.

        Raises:
            TrialError: the file is torn, altered or another trial's.
        """
        try:
            return self._points_of(trial_id, self.record(trial_id))
        except _InvalidPointsError as error:
            raise TrialError(f"trial {trial_id}: {error}; run the sweep again to redo the trial") from error

    def points_or_none(self, trial_id: str) -> pa.Table:
        """Read the points of a trial; no rows where the file is torn or another trial's (see `notes`)."""
        try:
            return self.points(trial_id)
        except TrialError as error:
            self.notes.append(str(error))
            return POINT_SCHEMA.empty_table()

    def _points_of(self, trial_id: str, record: TrialRecord) -> pa.Table:
        if record.points_sha256 is None:
            return POINT_SCHEMA.empty_table()
        data = self._read(trial_id, layout.TRIAL_POINTS)
        if data is None or digest(data) != record.points_sha256:
            raise _InvalidPointsError(f"{layout.TRIAL_POINTS} is torn or absent")
        try:
            return point_file.from_bytes(data, trial_id)
        except ValueError as error:
            raise _InvalidPointsError(f"{layout.TRIAL_POINTS} {error}") from error

    def _location(self, path: str) -> str:
        return f"{self.location.rstrip('/')}{path.removeprefix(self._root.rstrip('/'))}"

    def _read(self, trial_id: str, name: str) -> bytes | None:
        return read_whole(self._filesystem, f"{self._path(trial_id)}/{name}")

    def _path(self, trial_id: str) -> str:
        assert _TRIAL_ID.match(trial_id), trial_id
        return f"{self._root}/{layout.TRIALS}/{trial_id}"

    def _torn(self, trial_id: str, reason: str) -> TrialRecord:
        note = f"trial {trial_id}: {reason}; it is run again"
        if note not in self.notes:
            self.notes.append(note)
        return TrialRecord()


class _InvalidPointsError(Exception):
    """A trial's file of points is absent, torn or another trial's."""
