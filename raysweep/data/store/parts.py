"""Finished parts of a store that is being made or imported, kept on disk until the store itself is written.

A part is its pieces (`NAME-0.arrow`, ...) and then a record (`NAME.json`), so that a record implies a whole part. A
part without a record, or with pieces of another size than its record says, counts as absent and is made again: a
process that is killed loses only the part that it was working on.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from filelock import FileLock, Timeout
from pyarrow import fs
from pydantic import BaseModel, ConfigDict, ValidationError

from raysweep.core.errors import DataError
from raysweep.core.hashing import digest
from raysweep.core.io.files import list_folder, read_whole, write_whole
from raysweep.core.io.temporary import temporary_folder


class PieceFile(BaseModel):
    """A file of structures, a shard.

    Attributes:
        sha256: its digest.
        size: its bytes.
        structures: how many structures it holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    size: int
    structures: int

    @classmethod
    def of(cls, data: bytes, structures: int) -> "PieceFile":
        """Describe the bytes of a shard."""
        return cls(sha256=digest(data), size=len(data), structures=structures)


class PartRecord(BaseModel):
    """The record of a part; subclasses add what their source knows about it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pieces: tuple[PieceFile, ...]


Record = TypeVar("Record", bound=PartRecord)


class PartFolder(Generic[Record]):
    """A folder of parts; a context that keeps other processes out of it, on a local file system.

    A folder that holds no part when the context ends is removed.
    """

    def __init__(self, filesystem: fs.FileSystem, path: str, record: type[Record]) -> None:
        self.path = path
        self._filesystem, self._record = filesystem, record
        self._lock: FileLock | None = None

    def __enter__(self) -> Self:
        """Make the folder and lock it.

        Raises:
            DataError: another process holds the lock, or the folder cannot be written to.
        """
        if self._local:
            self._lock = _locked(self.path)
        else:
            self._filesystem.create_dir(self.path)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Release the lock."""
        if self._lock is not None:
            if not any(info.extension == "json" for info in list_folder(self._filesystem, self.path)):
                shutil.rmtree(self.path, ignore_errors=True)
            self._lock.release()

    def find(self, name: str, *, verify: bool = False) -> Record | None:
        """Read the record of a part; None where the part is absent or torn.

        Args:
            name: of the part.
            verify: compare the pieces with their digests, not just with their sizes.
        """
        raw = read_whole(self._filesystem, f"{self.path}/{name}.json")
        try:
            record = None if raw is None else self._record.model_validate_json(raw)
        except ValidationError:  # torn, or of another version
            return None
        if record is None:
            return None
        infos = self._filesystem.get_file_info([self.piece_path(name, i) for i in range(len(record.pieces))])
        if [info.size for info in infos] != [piece.size for piece in record.pieces]:
            return None
        if verify and any(self._read(name, i, piece) is None for i, piece in enumerate(record.pieces)):
            return None
        return record

    def write(self, name: str, record: Record, shards: Sequence[bytes]) -> None:
        """Write the pieces of a part, then its record.

        Raises:
            StorageError: the disk is full.
        """
        for i, data in enumerate(shards):
            write_whole(self._filesystem, self.piece_path(name, i), data)
        write_whole(self._filesystem, f"{self.path}/{name}.json", record.model_dump_json().encode())

    def piece_path(self, name: str, number: int) -> str:
        """The path of a piece within the file system."""
        return f"{self.path}/{name}-{number}.arrow"

    @contextlib.contextmanager
    def verified(self, parts: Iterable[tuple[str, Record]]) -> Iterator[list[Path]]:
        """Check the digests of all pieces and yield local paths to them; remote ones are fetched for the block.

        Raises:
            DataError: a piece has been altered.
        """
        with contextlib.ExitStack() as stack:
            local = Path(self.path if self._local else stack.enter_context(temporary_folder("parts")).path)
            files = []
            for name, record in parts:
                for i, piece in enumerate(record.pieces):
                    path, data = self.piece_path(name, i), self._read(name, i, piece)
                    if data is None:
                        raise DataError(f"{path}: altered since it was written. Remove {self.path} and make it again")
                    files.append(local / Path(path).name)
                    if not self._local:
                        files[-1].write_bytes(data)
            yield files

    def remove(self) -> None:
        """Remove all parts, if there are any."""
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.delete_dir(self.path)

    @property
    def _local(self) -> bool:
        return isinstance(self._filesystem, fs.LocalFileSystem)

    def _read(self, name: str, number: int, piece: PieceFile) -> bytes | None:
        """Read a piece; None if it is absent or altered."""
        data = read_whole(self._filesystem, self.piece_path(name, number))
        return data if data is not None and digest(data) == piece.sha256 else None


def _locked(folder: str) -> FileLock:
    lock = FileLock(f"{folder}/lock")
    try:
        os.makedirs(folder, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(
            f"{folder}: another process is making this store now. Wait for it, then run the same command again"
        ) from None
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}). Choose another location") from error
    return lock
