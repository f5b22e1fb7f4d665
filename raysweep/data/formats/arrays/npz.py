"""npz files: MD17 and rMD17 (kcal/mol and Å), sGDML's, which state their units, and similar ones.

One molecule a file (Chmiela et al. 2017; Christensen and von Lilienfeld 2020), or molecules that are padded to one
size or concatenated. Arrays of Python objects are never loaded, since that could run code.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.formats.arrays.frames import layout_of, read_frames
from raysweep.data.formats.arrays.tables import ArrayColumn, Table
from raysweep.data.formats.fields.blocks import Bad, Chunk, Names, Span, Torn

_LAYOUTS = (
    {"numbers": "z", "positions": "R", "energy": "E", "forces": "F"},
    {"numbers": "nuclear_charges", "positions": "coords", "energy": "energies", "forces": "forces"},
)
"""MD17's and rMD17's, in kcal/mol and Å. rMD17 also has old_* arrays, which are read if they are named."""
FRAMES_AT_ONCE = 8192
_TORN = (OSError, ValueError, EOFError, RuntimeError, MemoryError, OverflowError, NotImplementedError,
         zipfile.BadZipFile, zlib.error)  # fmt: skip


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield runs of frames.

    Raises:
        DataError: the file is torn, or keys, units or shapes are missing or do not match.
    """
    with _opened(path) as table:
        layout = layout_of(table, names)
    if not layout.frames or layout.atoms == 0:
        yield Bad(where=str(path), reason="no frames" if not layout.frames else "no atoms", count=max(layout.frames, 1))
        return
    share = path.stat().st_size / layout.frames
    for start in range(0, layout.frames, FRAMES_AT_ONCE):
        stop = min(start + FRAMES_AT_ONCE, layout.frames)
        yield Span(start=start, stop=stop, first=start, bytes=int((stop - start) * share))


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield some frames; the group is the file's stem, unless molecules differ.

    Raises:
        DataError: the file is torn.
    """
    with _opened(path) as table:
        yield from read_frames(table, layout_of(table, names), span.start, span.stop)


@contextmanager
def _opened(path: Path) -> Iterator[Table]:
    try:
        with zipfile.ZipFile(path) as file:
            yield _table(path, file)
    except _TORN as error:
        raise Torn(f"{path}: torn, or not an npz file ({error})") from error


def _table(path: Path, file: zipfile.ZipFile) -> Table:
    keys = [name.removesuffix(".npy") for name in file.namelist() if name.endswith(".npy")]
    columns = {key: _column(path, file, key) for key in keys}
    known = next((layout for layout in _LAYOUTS if set(layout.values()) <= set(keys)), None)
    sgdml = known is _LAYOUTS[0] and bool({"e_unit", "r_unit", "theory"} & set(keys))
    one_molecule = known is not None and len(columns[known["numbers"]].shape) < 2
    return Table(
        path=path,
        where=str(path),
        record="frame",
        columns=columns,
        group=path.stem if one_molecule else None,
        default=("kcal/mol", "Å") if known else None,
        first=known,
        cell_in_columns=sgdml and "lattice" in keys,
    )


def _column(path: Path, file: zipfile.ZipFile, key: str) -> ArrayColumn:
    with file.open(f"{key}.npy") as stream:
        shape, _, kind = _head(stream)

    def rows(start: int, stop: int | None) -> npt.NDArray[np.generic]:
        if kind.hasobject:
            raise DataError(
                f"{path}: {key!r} is an array of Python objects (pickled), which is not loaded, since that could run "
                "code; store numbers or text"
            )
        return _rows(file, key, start, stop)

    return ArrayColumn(shape=shape, kind=kind, rows=rows)


def _rows(file: zipfile.ZipFile, name: str, start: int, stop: int | None) -> npt.NDArray[np.generic]:
    """Rows of one of the arrays; the other rows are skipped and never in memory."""
    with file.open(f"{name}.npy") as stream:
        shape, fortran, kind = _head(stream)
        if not shape or (fortran and len(shape) > 1):
            whole = np.frombuffer(stream.read(), dtype=kind).reshape(shape, order="F")
            return whole[start:stop] if shape else whole
        width = int(np.prod(shape[1:])) * kind.itemsize
        last = shape[0] if stop is None else min(stop, shape[0])
        stream.seek(stream.tell() + start * width)
        data = stream.read((last - start) * width)
        return np.frombuffer(data, dtype=kind).reshape(last - start, *shape[1:])


def _head(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = reader(stream)
    return shape, fortran, kind
