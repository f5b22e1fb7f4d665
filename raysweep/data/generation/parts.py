"""What a making that was stopped has left: labelled structures on disk, part by part, until the store is written.

Parts lie in a folder beside the store, named by the recipe, so that the same call goes on where the last one was and
another recipe starts anew. A part is two files, its structures and then its record; a part without a record, or with a
file of another size than the record says, is as good as absent. How structures are cut into parts does not matter.
"""

import contextlib
import fcntl
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np
from pyarrow import fs
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from raysweep.core.errors import DataError, RaysweepError
from raysweep.core.hashing import content_id, digest
from raysweep.core.io.files import open_location, read_whole, write_whole
from raysweep.core.io.temporary import temporary_folder
from raysweep.data.generation.labels import Labelled, Made
from raysweep.data.store.part_rows import PartRows
from raysweep.data.store.shards import shard_bytes
from raysweep.data.structures import concatenate

PART_STRUCTURES = 4_096
PART_SECONDS = 20.0
"""A part is written after so many structures, or so long after the last one: the most that a kill can cost."""
KEY_LENGTH = 16


class Record(BaseModel):
    """What stands beside the structures of a part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    bytes: int
    molecules: tuple[tuple[int, str, int, dict[str, int]], ...]
    """Candidate number, SMILES, structures kept, counts left out by reason; those that gave none, too."""


class Seen:
    """The texts met so far, as 64-bit digests in sorted arrays: 8 bytes each, so that millions cost megabytes.

    Among ten million texts, two share a digest with a probability of 3e-6; the later one would be left out.
    """

    def __init__(self) -> None:
        self._sorted = np.zeros(0, dtype=np.uint64)
        self._recent: set[int] = set()

    def add(self, text: str) -> bool:
        """Remember a text; return whether it is new."""
        key = int(digest(text.encode())[:16], 16)
        if key in self._recent or self._holds(key):
            return False
        self._recent.add(key)
        if len(self._recent) >= max(65_536, len(self._sorted) // 8):
            recent = np.fromiter(self._recent, dtype=np.uint64, count=len(self._recent))
            self._sorted = np.sort(np.concatenate([self._sorted, recent]))
            self._recent.clear()
        return True

    def _holds(self, key: int) -> bool:
        place = int(np.searchsorted(self._sorted, np.uint64(key)))
        return place < len(self._sorted) and int(self._sorted[place]) == key


class Parts:
    """The parts of one recipe beside a store; a context that keeps other makers of the same store out.

    Args:
        location: of the store.
        determined_by: all that the structures depend on; not how many there are to be.
    """

    def __init__(self, location: str | Path, determined_by: Mapping[str, JsonValue]) -> None:
        self._filesystem, place = open_location(location)
        key = content_id(determined_by, KEY_LENGTH, spaced=True)
        folder, slash, name = place.rpartition("/")
        self.path = f"{folder}{slash}.{name}.making-{key}"
        self.seen = Seen()
        self.structures = 0
        """Structures so far."""
        self.molecules = 0
        """Molecules so far, those that gave no structure too."""
        self.candidates = 0
        """The next candidate to be grown."""
        self.rejected: Counter[str] = Counter()
        self._records = 0
        self._pending: list[Labelled] = []
        self._written = time.monotonic()
        self._lock: IO[str] | None = None

    def __enter__(self) -> "Parts":
        """Take the lock and count what is there.

        Raises:
            DataError: another process makes this store now, or the folder cannot be written to.
        """
        if self._local:
            self._lock = _locked(self.path)
        else:
            self._filesystem.create_dir(self.path)
        while (record := self._read_record(self._records)) is not None:
            for candidate, smiles, kept, rejected in record.molecules:
                self.seen.add(smiles)
                self._count(Made(candidate=candidate, smiles=smiles, kept=kept, rejected=rejected))
            self._records += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Keep what has been made so far, also where an error or an interrupt ends the block."""
        try:
            if error is not None:
                with contextlib.suppress(OSError, RaysweepError):
                    self._write()
        finally:
            if self._lock is not None:
                if not self._records and Path(self.path).is_dir():
                    shutil.rmtree(self.path)
                self._lock.close()

    def add(self, labelled: Labelled) -> None:
        """Add structures; a part is written where enough have come together.

        Raises:
            StorageError: the disk is full.
        """
        self._pending.append(labelled)
        for made in labelled.molecules:
            self._count(made)
        waiting = sum(len(one.structures) for one in self._pending)
        if waiting >= PART_STRUCTURES or time.monotonic() - self._written >= PART_SECONDS:
            self._write()

    @contextlib.contextmanager
    def rows(self, count: int) -> Iterator[PartRows]:
        """Give the first `count` structures as rows to draw from; parts at a URI are fetched for as long as the block.

        Raises:
            DataError: a part is not what was written.
        """
        with contextlib.ExitStack() as stack:
            folder = Path(self.path if self._local else stack.enter_context(temporary_folder("parts")).path)
            files, counts = [], []
            for number, record in self._records_now():
                data = read_whole(self._filesystem, self._file(number, "arrow"))
                if data is None or digest(data) != record.sha256:
                    raise DataError(
                        f"{self._file(number, 'arrow')}: altered since it was written. Remove {self.path} and make it "
                        "again"
                    )
                files.append(folder / f"part-{number:06d}.arrow")
                if not self._local:
                    files[-1].write_bytes(data)
                counts.append(min(sum(kept for _, _, kept, _ in record.molecules), count))
                count -= counts[-1]
                if not count:
                    break
            yield PartRows(files, counts)

    def left_out(self, count: int) -> Counter[str]:
        """Return what was left out, by reason, until the first `count` structures were there."""
        found: Counter[str] = Counter()
        for _, record in self._records_now():
            for _, _, kept, rejected in record.molecules:
                found.update(rejected)
                count -= kept
                if count <= 0:
                    return found
        return found

    def _records_now(self) -> Iterator[tuple[int, Record]]:
        self._write()
        for number in range(self._records):
            record = self._read_record(number)
            if record is None:
                raise DataError(f"{self._file(number, 'json')}: gone or torn. Remove {self.path} and make it again")
            yield number, record

    def remove(self) -> None:
        """Remove all parts."""
        self._pending.clear()
        self._records = 0
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.delete_dir(self.path)

    @property
    def _local(self) -> bool:
        return isinstance(self._filesystem, fs.LocalFileSystem)

    def _file(self, number: int, kind: str) -> str:
        return f"{self.path}/part-{number:06d}.{kind}"

    def _count(self, made: Made) -> None:
        self.structures += made.kept
        self.molecules += 1
        self.candidates = made.candidate + 1
        self.rejected.update(made.rejected)

    def _read_record(self, number: int) -> Record | None:
        raw = read_whole(self._filesystem, self._file(number, "json"))
        if raw is None:
            return None
        try:
            record = Record.model_validate_json(raw)
        except ValidationError:
            return None
        info = self._filesystem.get_file_info(self._file(number, "arrow"))
        return record if info.type == fs.FileType.File and info.size == record.bytes else None

    def _write(self) -> None:
        """Write what is pending as the next part: structures first, so that a record stands for a whole part."""
        if not self._pending:
            return
        data = shard_bytes(concatenate([one.structures for one in self._pending]))
        record = Record(
            sha256=digest(data),
            bytes=len(data),
            molecules=tuple(
                (made.candidate, made.smiles, made.kept, made.rejected)
                for one in self._pending
                for made in one.molecules
            ),
        )
        write_whole(self._filesystem, self._file(self._records, "arrow"), data)
        write_whole(self._filesystem, self._file(self._records, "json"), record.model_dump_json().encode())
        self._records += 1
        self._pending.clear()
        self._written = time.monotonic()


def _locked(folder: str) -> IO[str]:
    try:
        os.makedirs(folder, exist_ok=True)
        lock = open(f"{folder}/lock", "w")  # noqa: SIM115 - held until the making ends
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}). Choose another location") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise DataError(
            f"{folder}: another process is making this store now. Wait for it, then run the same command again"
        ) from None
    return lock
