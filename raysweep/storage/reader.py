"""SweepReader, the only reader of a sweep's storage: trials, points, learning-rate searches and recorded settings.

Frontier, report, tracking and status all read through it, so that what counts as valid is decided once. It writes
nothing; `trial_store.TrialStore` adds that.
"""

import json
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.parquet as pq

from raysweep.core.errors import StorageError
from raysweep.core.io.files import list_folder, read_whole
from raysweep.core.masking import masked_values
from raysweep.core.points import TABLE_SCHEMA
from raysweep.storage import layout, race_records
from raysweep.storage.race_records import RaceRecord
from raysweep.storage.rate_records import RateRecord, decode
from raysweep.storage.records import Assignment
from raysweep.storage.trial_reader import TrialReader


class SweepReader(TrialReader):
    """Reads the storage of a sweep, also while it runs."""

    def assignments(self) -> list[Assignment]:
        """Read which trial serves which family and stage; empty where the file is absent or torn (see `notes`)."""
        content = self.read_json(layout.ASSIGNMENTS)
        try:
            return [Assignment(**row) for row in content] if isinstance(content, list) else []
        except TypeError:
            self.notes.append(f"{layout.ASSIGNMENTS} is torn and will be rewritten")
            return []

    def table(self, assignments: Iterable[Assignment] | None = None) -> pa.Table:
        """Read the points of all trials with `TABLE_SCHEMA`, in the order of the assignments and budgets.

        Trials that ended in any state are included, with the points before the end; torn ones are skipped and noted.
        """
        chosen = self.assignments() if assignments is None else list(assignments)
        tables: dict[str, pa.Table] = {}
        parts = []
        for row in chosen:
            if row.trial_id not in tables:
                tables[row.trial_id] = self.points_or_none(row.trial_id)
            table = tables[row.trial_id]
            for name, label in (("family", row.family), ("stage", row.stage)):
                table = table.append_column(name, pa.array([label] * table.num_rows, pa.string()))
            parts.append(table)
        if not parts:
            return TABLE_SCHEMA.empty_table()
        return pa.concat_tables(parts).cast(TABLE_SCHEMA).combine_chunks()

    def saved_table(self) -> pa.Table | None:
        """Read the table of all points as the last run wrote it; None where there is none.

        Raises:
            StorageError: the file is torn.
        """
        data = self.read_bytes(layout.POINTS)
        try:
            return None if data is None else pq.read_table(pa.BufferReader(data))
        except (pa.ArrowInvalid, OSError) as error:
            raise StorageError(
                f"{self.location}/{layout.POINTS} is torn: {error}; run the sweep again to write it"
            ) from error

    def identity(self) -> Mapping[str, object] | None:
        """Read `sweep.json`: `name`, `space`, `fingerprint` and `versions` of the last run; None before the first."""
        content = masked_values(self.read_json(layout.SWEEP))  # older versions wrote passwords there
        return content if isinstance(content, dict) else None

    def recorded_space(self) -> Mapping[str, object] | None:
        """Read the resolved search space of the last run as plain values; None before the first."""
        space = (self.identity() or {}).get("space")
        return space if isinstance(space, dict) else None

    def searches(self) -> dict[str, RateRecord]:
        """Read the finished learning-rate searches, by key; empty where the file is absent, torn or altered."""
        content = self.read_json(layout.LEARNING_RATES)
        if content is None:
            return {}
        try:
            records = decode(content)
        except ValueError:
            self.notes.append(
                f"{layout.LEARNING_RATES} was altered; the learning rates are chosen again from the trials"
            )
            return {}
        return {record.key: record for record in records}

    def races(self) -> list[RaceRecord]:
        """Read the races across families, the last one last; empty where the file is absent, torn or altered."""
        content = self.read_json(layout.RACES)
        try:
            return [] if content is None else race_records.decode(content)
        except ValueError:
            self.notes.append(f"{layout.RACES} was altered; rounds are chosen again from the trials")
            return []

    def report_files(self) -> dict[str, bytes]:
        """Read the files of the report in the storage, by name; none before it is written."""
        record = self.read_json(f"{layout.REPORT}/{layout.REPORT_RECORD}")
        names = [str(name) for name in record.get("files", {})] if isinstance(record, dict) else []
        files = {name: self.read_bytes(f"{layout.REPORT}/{name}") for name in names}
        return {name: data for name, data in files.items() if data is not None}

    def names(self, folder: str) -> list[str]:
        """List the names of the files in a folder of the storage, sorted; none where it is absent."""
        return sorted(info.base_name for info in list_folder(self._filesystem, f"{self._root}/{folder}"))

    def read_json(self, name: str) -> object:
        """Read a file of the sweep as plain values; None where it is absent or torn (see `notes`)."""
        data = self.read_bytes(name)
        try:
            return None if data is None else json.loads(data)
        except ValueError:
            self.notes.append(f"{name} is torn and will be rewritten")
            return None

    def read_bytes(self, name: str) -> bytes | None:
        """Read a file of the sweep; None where it is absent."""
        return read_whole(self._filesystem, f"{self._root}/{name}")
