"""Converted parts of files on disk: an import that was killed does not read them again."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pyarrow import fs
from pydantic import BaseModel, ConfigDict

from raysweep.core.errors import DataError
from raysweep.core.hashing import digest
from raysweep.core.io.files import open_location
from raysweep.data.importing.converting import Converted
from raysweep.data.importing.isolated import References
from raysweep.data.store.cache import cache_folder
from raysweep.data.store.part_rows import PartRows
from raysweep.data.store.parts import PartFolder, PartRecord, PieceFile
from raysweep.data.store.splitting import Index


class PieceContent(BaseModel):
    """The sources and optional fields of a piece, as in `converting.Piece`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...]
    source_of: tuple[int, ...]
    fields: tuple[str, ...]


class ConvertedRecord(PartRecord):
    """The record of a converted part.

    Attributes:
        contents: of each piece.
        rejected: records left out, by reason.
        references: eV by atomic number, of isolated atoms.
    """

    contents: tuple[PieceContent, ...]
    rejected: dict[str, int]
    references: dict[int, float]


def part_folder(location: str | Path) -> PartFolder[ConvertedRecord]:
    """The folder for the parts of an import: next to a local store, or in this machine's cache."""
    filesystem, path = open_location(location)
    if isinstance(filesystem, fs.LocalFileSystem):
        folder = Path(path).parent / f".{Path(path).name}.importing"
    else:
        folder = cache_folder() / "importing" / digest(str(location).encode())[:16]
    return PartFolder(fs.LocalFileSystem(), str(folder), ConvertedRecord)


def save(folder: PartFolder[ConvertedRecord], converted: Converted) -> None:
    """Write a converted part.

    Raises:
        StorageError: the disk is full.
    """
    record = ConvertedRecord(
        pieces=tuple(PieceFile.of(piece.data, piece.structures) for piece in converted.pieces),
        contents=tuple(
            PieceContent(sources=piece.sources, source_of=piece.source_of, fields=piece.fields)
            for piece in converted.pieces
        ),
        rejected=converted.rejected,
        references=converted.references,
    )
    folder.write(converted.task.name, record, [piece.data for piece in converted.pieces])


class ConvertedRows(PartRows):
    """The structures of converted parts, in the order of the parts.

    Attributes:
        n_atoms: [S] int64.
        source: [S] int32, index into `sources`.
        sources: names of the parts of the data set.
        rejected: records left out, by reason.
        references: energies of isolated atoms.

    Raises:
        DataError: some structures have a charge or a spin, and others have none.
    """

    def __init__(self, folder: PartFolder[ConvertedRecord], names: Sequence[str]) -> None:
        files, counts, source = [], [], [np.zeros(0, dtype=np.int32)]
        fields: Counter[str] = Counter()
        known: dict[str, int] = {}
        self.rejected: Counter[str] = Counter()
        self.references = References()
        for name in names:
            record = folder.find(name)
            if record is None:
                raise DataError(f"{folder.path}/{name}: gone or torn. Run the same command again")
            self.rejected.update(record.rejected)
            self.references.add(record.references)
            for i, (piece, content) in enumerate(zip(record.pieces, record.contents, strict=True)):
                files.append(Path(folder.piece_path(name, i)))
                counts.append(piece.structures)
                fields.update(dict.fromkeys(content.fields, piece.structures))
                here = np.array([known.setdefault(text, len(known)) for text in content.sources], dtype=np.int32)
                source.append(here[np.array(content.source_of or [0] * piece.structures, dtype=np.int64)])
        self.sources = list(known)
        self.source = np.concatenate(source)
        _refuse_partial(fields, sum(counts))
        super().__init__(files, counts, with_cells=fields["cell"] > 0)

    def index(self, seed: int) -> Index:
        """The properties that the split depends on, each structure's source included."""
        return replace(super().index(seed), source=self.source)


def _refuse_partial(fields: Counter[str], total: int) -> None:
    for name in ("charge", "spin"):
        if 0 < fields[name] < total:
            raise DataError(
                f"{name} is given for {fields[name]} structures and missing for {total - fields[name]}; it is not "
                f"guessed. Leave it out for all with --{name}-key '' (Names({name}='')), or add it to the files"
            )
