"""What an import has read so far, on disk: parts that are done are not read again after a kill."""

import fcntl
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from pyarrow import fs

from raysweep.core.errors import DataError
from raysweep.core.hashing import digest
from raysweep.core.io.files import no_room_is_ours, open_location
from raysweep.data.importing.converting import Converted
from raysweep.data.importing.isolated import References
from raysweep.data.store.cache import cache_folder
from raysweep.data.store.part_rows import PartRows
from raysweep.data.store.splitting import Index


def scratch_folder(location: str | Path) -> Path:
    """Return where the import into a store keeps what it has read: beside the store, or in this machine's cache."""
    filesystem, path = open_location(location)
    if isinstance(filesystem, fs.LocalFileSystem):
        return Path(path).parent / f".{Path(path).name}.importing"
    return cache_folder() / "importing" / digest(str(location).encode())[:16]


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
        content = {"pieces": described, "rejected": converted.rejected, "references": converted.references}
        temporary = self.folder / f"{name}.writing"
        with no_room_is_ours(str(self.folder)):
            temporary.write_text(json.dumps(content))
            os.replace(temporary, self.folder / f"{name}.json")

    def remove(self) -> None:
        """Delete all."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Parts(PartRows):
    """Converted parts in their order, as rows to draw structures from.

    Attributes:
        n_atoms: [S] int64.
        source: [S] int32, index into `sources`.
        sources: names of the parts of the data set.
        rejected: records left out, by reason.
        references: energies of isolated atoms.

    Raises:
        DataError: some structures have a charge or a spin, and others have none.
    """

    def __init__(self, scratch: Scratch, names: list[str]) -> None:
        files, counts, source = [], [], [np.zeros(0, dtype=np.int32)]
        fields: Counter[str] = Counter()
        places: dict[str, int] = {}
        self.rejected: Counter[str] = Counter()
        self.references = References()
        for name in names:
            content = json.loads((scratch.folder / f"{name}.json").read_text())
            self.rejected.update(content["rejected"])
            self.references.add({int(z): energy for z, energy in content["references"].items()})
            for i, piece in enumerate(content["pieces"]):
                files.append(scratch.folder / f"{name}-{i}.arrow")
                counts.append(piece["structures"])
                fields.update({field: piece["structures"] for field in piece["fields"]})
                here = np.array([places.setdefault(text, len(places)) for text in piece["sources"]], dtype=np.int32)
                of = np.array(piece["source_of"] or [0] * piece["structures"], dtype=np.int64)
                source.append(here[of])
        self.sources = list(places)
        self.source = np.concatenate(source)
        _refuse_some(fields, sum(counts))
        super().__init__(files, counts, with_cells=fields["cell"] > 0)

    def index(self, seed: int) -> Index:
        """Return what the split looks at, with the source of each structure."""
        return replace(super().index(seed), source=self.source)


def _refuse_some(fields: Counter[str], total: int) -> None:
    for name in ("charge", "spin"):
        if 0 < fields[name] < total:
            raise DataError(
                f"{name} is given for {fields[name]} structures and missing for {total - fields[name]}; it is not "
                f"guessed. Leave it out for all with --{name}-key '' (Names({name}='')), or add it to the files"
            )
