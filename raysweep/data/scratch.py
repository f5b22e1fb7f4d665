"""What an import has read so far, on disk: parts that are done are not read again after a kill."""

import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import fs

from raysweep.data.cache import cache_folder
from raysweep.data.converting import Converted, with_cell
from raysweep.data.shards import OpenShard, open_shard
from raysweep.data.structures import Structures, concatenate
from raysweep.errors import DataError
from raysweep.files import digest, no_room_is_ours, open_location


def scratch_folder(location: str | Path) -> Path:
    """Return where the import into a store keeps what it has read: beside the store, or in this machine's cache."""
    filesystem, path = open_location(location)
    if isinstance(filesystem, fs.LocalFileSystem):
        return Path(path).parent / f".{Path(path).name}.importing"
    return cache_folder() / "importing" / hashlib.sha256(str(location).encode()).hexdigest()[:16]


class Scratch:
    """A folder of converted parts, each whole or absent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other imports out of the folder.

        Raises:
            DataError: another one is at work there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DataError(f"{self.folder}: another import into the same store is at work") from error
            yield

    def has(self, name: str) -> bool:
        """Return whether a part is done and whole."""
        try:
            content = json.loads((self.folder / f"{name}.json").read_text())
            return all(
                digest((self.folder / f"{name}-{i}.arrow").read_bytes()) == piece["sha256"]
                for i, piece in enumerate(content["pieces"])
            )
        except (OSError, ValueError, KeyError):
            return False

    def save(self, converted: Converted) -> None:
        """Keep a part. Not synchronised with the disk: what a power cut took is read again, as `has` finds.

        Raises:
            StorageError: the disk is full.
        """
        name = converted.task.name
        described = []
        for i, piece in enumerate(converted.pieces):
            with no_room_is_ours(str(self.folder)):
                (self.folder / f"{name}-{i}.arrow").write_bytes(piece.data)
            described.append(
                {
                    "sha256": digest(piece.data),
                    "structures": piece.structures,
                    "sources": piece.sources,
                    "source_of": piece.source_of,
                    "fields": piece.fields,
                }
            )
        content = {"pieces": described, "rejected": converted.rejected}
        temporary = self.folder / f"{name}.writing"
        with no_room_is_ours(str(self.folder)):
            temporary.write_text(json.dumps(content))
            os.replace(temporary, self.folder / f"{name}.json")

    def remove(self) -> None:
        """Delete all."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Parts:
    """Converted parts in their order, as rows to draw structures from; files are mapped for as long as one is read.

    Attributes:
        n_atoms: [S] int64.
        source: [S] int32, index into `sources`.
        rejected: records left out, by reason.
    """

    def __init__(self, scratch: Scratch, names: list[str]) -> None:
        self._files: list[Path] = []
        self.sources: list[str] = []
        self.rejected: Counter[str] = Counter()
        counts, n_atoms, source = [], [], []
        fields: Counter[str] = Counter()
        places: dict[str, int] = {}
        for name in names:
            content = json.loads((scratch.folder / f"{name}.json").read_text())
            self.rejected.update(content["rejected"])
            for i, piece in enumerate(content["pieces"]):
                self._files.append(scratch.folder / f"{name}-{i}.arrow")
                counts.append(piece["structures"])
                fields.update({field: piece["structures"] for field in piece["fields"]})
                n_atoms.append(np.diff(self._opened(len(self._files) - 1).offsets).astype(np.int64))
                here = np.array([places.setdefault(text, len(places)) for text in piece["sources"]], dtype=np.int32)
                of = np.array(piece["source_of"] or [0] * piece["structures"], dtype=np.int64)
                source.append(here[of])
        self.sources = list(places)
        self._first = np.cumsum([0, *counts])
        self.n_atoms = np.concatenate(n_atoms) if n_atoms else np.zeros(0, dtype=np.int64)
        self.source = np.concatenate(source) if source else np.zeros(0, dtype=np.int32)
        self._periodic = fields["cell"] > 0
        self._refuse_some(fields, int(self._first[-1]))

    def _refuse_some(self, fields: Counter[str], total: int) -> None:
        for name in ("charge", "spin"):
            if 0 < fields[name] < total:
                raise DataError(
                    f"{name} is given for {fields[name]} structures and missing for {total - fields[name]}; it is not "
                    f"guessed. Leave it out for all with --{name}-key '' (Names({name}='')), or add it to the files"
                )

    def __len__(self) -> int:
        """Return the number of structures."""
        return len(self.n_atoms)

    def pieces(self) -> Iterator[tuple[int, Structures]]:
        """Yield each file's first row and its structures."""
        for i in range(len(self._files)):
            count = int(self._first[i + 1] - self._first[i])
            yield int(self._first[i]), self._taken(i, np.arange(count))

    def take(self, rows: npt.NDArray[np.int64], /) -> Structures:
        """Return the structures at `rows`, in that order."""
        which = np.searchsorted(self._first, rows, side="right") - 1
        by_file = np.argsort(which, kind="stable")
        used, starts = np.unique(which[by_file], return_index=True)
        parts = [
            self._taken(int(i), rows[mine] - self._first[i])
            for i, mine in zip(used, np.split(by_file, starts[1:]), strict=True)
        ]
        back = np.empty_like(by_file)
        back[by_file] = np.arange(len(rows))
        return concatenate(parts).take(back)

    def _taken(self, file: int, rows: npt.NDArray[np.int64]) -> Structures:
        structures = self._opened(file).take(rows)
        return with_cell(structures) if self._periodic else structures

    def _opened(self, file: int) -> OpenShard:
        return open_shard(pa.memory_map(str(self._files[file])).read_buffer())
