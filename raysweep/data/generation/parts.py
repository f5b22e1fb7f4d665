"""Labelled structures on disk, part by part, until their store is written.

Parts are in a folder next to the store, named by the recipe, so that the same call continues where the last one ended
and another recipe starts afresh. How structures are divided into parts does not matter.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from pydantic import JsonValue

from raysweep.core.errors import DataError, RaysweepError
from raysweep.core.hashing import content_id
from raysweep.core.io.files import open_location
from raysweep.data.generation.labels import Labelled, Made
from raysweep.data.generation.seen import SeenTexts
from raysweep.data.store.part_rows import PartRows
from raysweep.data.store.parts import PartFolder, PartRecord, PieceFile
from raysweep.data.store.shards import shard_bytes
from raysweep.data.structures import concatenate

PART_STRUCTURES = 4_096
PART_SECONDS = 20.0
"""A part is written after this many structures, or this long after the last one: the most work that a kill can lose."""
KEY_LENGTH = 16


class MadeRecord(PartRecord):
    """The molecules of a part, those without structures included.

    Attributes:
        molecules: candidate number, SMILES, structures kept, counts of rejected candidates and structures by reason.
    """

    molecules: tuple[tuple[int, str, int, dict[str, int]], ...]


class MadeParts:
    """The parts of one recipe, next to its store; a context that keeps other processes from making the same store.

    Args:
        location: of the store.
        determined_by: everything that the structures depend on, but not their number.

    Attributes:
        path: the folder of the parts.
        seen: SMILES of the molecules so far.
        structures: structures so far.
        molecules: molecules so far, those without structures included.
        candidates: number of the next candidate to grow.
        rejected: counts of rejected candidates and structures so far, by reason.
    """

    def __init__(self, location: str | Path, determined_by: Mapping[str, JsonValue]) -> None:
        filesystem, store = open_location(location)
        key = content_id(determined_by, KEY_LENGTH, spaced=True)
        folder, slash, name = store.rpartition("/")
        self._folder = PartFolder(filesystem, f"{folder}{slash}.{name}.making-{key}", MadeRecord)
        self.path = self._folder.path
        self.seen = SeenTexts()
        self.structures = self.molecules = self.candidates = 0
        self.rejected: Counter[str] = Counter()
        self._parts = 0
        self._pending: list[Labelled] = []
        self._written = time.monotonic()

    def __enter__(self) -> "MadeParts":
        """Lock the folder and count the molecules of the parts in it.

        Raises:
            DataError: another process is making this store, or the folder cannot be written to.
        """
        self._folder.__enter__()
        while (record := self._folder.find(_name(self._parts))) is not None:
            for candidate, smiles, kept, rejected in record.molecules:
                self.seen.add(smiles)
                self._count(Made(candidate=candidate, smiles=smiles, kept=kept, rejected=rejected))
            self._parts += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write what is pending, even if an error or an interrupt ends the block, and release the lock."""
        try:
            if error is not None:
                with contextlib.suppress(OSError, RaysweepError):
                    self._write()
        finally:
            self._folder.__exit__(kind, error, at)

    def add(self, labelled: Labelled) -> None:
        """Add structures; they are written once there are enough for a part.

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
        """Open the first `count` structures for reading; parts at a URI are fetched for the block.

        Raises:
            DataError: a part has been altered.
        """
        parts, counts = [], []
        for name, record in self._records():
            parts.append((name, record))
            counts.append(min(record.pieces[0].structures, count))
            count -= counts[-1]
            if not count:
                break
        with self._folder.verified(parts) as files:
            yield PartRows(files, counts)

    def left_out(self, count: int) -> Counter[str]:
        """Count rejected candidates and structures, by reason, up to the first `count` structures."""
        found: Counter[str] = Counter()
        for _, record in self._records():
            for _, _, kept, rejected in record.molecules:
                found.update(rejected)
                count -= kept
                if count <= 0:
                    return found
        return found

    def remove(self) -> None:
        """Remove all parts."""
        self._pending.clear()
        self._parts = 0
        self._folder.remove()

    def _records(self) -> Iterator[tuple[str, MadeRecord]]:
        self._write()
        for name in map(_name, range(self._parts)):
            record = self._folder.find(name)
            if record is None:
                raise DataError(f"{self.path}/{name}: gone or torn. Remove {self.path} and make it again")
            yield name, record

    def _count(self, made: Made) -> None:
        self.structures += made.kept
        self.molecules += 1
        self.candidates = made.candidate + 1
        self.rejected.update(made.rejected)

    def _write(self) -> None:
        """Write what is pending as the next part."""
        if not self._pending:
            return
        structures = concatenate([one.structures for one in self._pending])
        data = shard_bytes(structures)
        molecules = (made for one in self._pending for made in one.molecules)
        record = MadeRecord(
            pieces=(PieceFile.of(data, len(structures)),),
            molecules=tuple((made.candidate, made.smiles, made.kept, made.rejected) for made in molecules),
        )
        self._folder.write(_name(self._parts), record, [data])
        self._parts += 1
        self._pending.clear()
        self._written = time.monotonic()


def _name(number: int) -> str:
    return f"part-{number:06d}"
