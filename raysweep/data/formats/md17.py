"""MD17 and rMD17: one npz per molecule, kcal/mol and Å (Chmiela et al. 2017; Christensen and von Lilienfeld 2020)."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from raysweep.data.formats.blocks import Bad, Block, Chunk, Names, Span, Torn, chunks
from raysweep.data.formats.units import KCAL_PER_MOL_EV
from raysweep.errors import DataError

_LAYOUTS = {"MD17": ("z", "R", "E", "F"), "rMD17": ("nuclear_charges", "coords", "energies", "forces")}
"""Names of atomic numbers, positions, energies and forces. rMD17 has old_* arrays besides, which are not read."""
FRAMES_AT_ONCE = 8192
_TORN = (OSError, ValueError, EOFError, RuntimeError, MemoryError, OverflowError, NotImplementedError,
         zipfile.BadZipFile, zlib.error)  # fmt: skip


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield runs of frames.

    Raises:
        DataError: the file is torn, or has the arrays of neither.
    """
    try:
        with zipfile.ZipFile(path) as file:
            layout = _layout(path, file)
            shapes = [_shape(file, name) for name in layout]
    except _TORN as error:
        raise Torn(f"{path}: torn, or no npz file ({error})") from error
    frames, atoms = (shapes[2] or (0,))[0], int(np.prod(shapes[0]))
    if shapes[1] != (frames, atoms, 3) or shapes[3] != (frames, atoms, 3) or int(np.prod(shapes[2])) != frames:
        reason = (
            f"shapes do not match: {atoms} atomic numbers, energies {list(shapes[2])}, positions {list(shapes[1])}, "
            f"forces {list(shapes[3])}"
        )
        yield Bad(where=str(path), reason=reason, count=max(frames, 1))
        return
    share = path.stat().st_size / max(frames, 1)
    for start in range(0, frames, FRAMES_AT_ONCE):
        stop = min(start + FRAMES_AT_ONCE, frames)
        yield Span(start=start, stop=stop, first=start, bytes=int((stop - start) * share))


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield some frames; the group is the file's stem.

    Raises:
        DataError: the file is torn.
    """
    try:
        with zipfile.ZipFile(path) as file:
            layout = _layout(path, file)
            numbers = _rows(file, layout[0], 0, None)
            positions, energy, forces = (_rows(file, name, span.start, span.stop) for name in layout[1:])
    except _TORN as error:
        raise Torn(f"{path}: torn, or no npz file ({error})") from error
    yield from chunks(
        Block(
            path=path,
            group=path.stem,
            record="frame",
            first=span.first,
            numbers=numbers,
            positions=positions,
            energy=energy,
            forces=forces,
            energy_ev=KCAL_PER_MOL_EV,
        )
    )


def _layout(path: Path, file: zipfile.ZipFile) -> tuple[str, ...]:
    there = [name.removesuffix(".npy") for name in file.namelist()]
    found = next((layout for layout in _LAYOUTS.values() if set(layout) <= set(there)), None)
    if found is None:
        wanted = " or ".join(f"{', '.join(layout)} ({name})" for name, layout in _LAYOUTS.items())
        raise DataError(f"{path}: has the arrays {', '.join(there)}, needs {wanted}")
    return found


def _shape(file: zipfile.ZipFile, name: str) -> tuple[int, ...]:
    with file.open(f"{name}.npy") as stream:
        return _head(stream)[0]


def _rows(file: zipfile.ZipFile, name: str, start: int, stop: int | None) -> npt.NDArray[np.generic]:
    """Return rows of one of the arrays; the others of them are skipped, and never held in memory."""
    with file.open(f"{name}.npy") as stream:
        shape, fortran, kind = _head(stream)
        if fortran and len(shape) > 1:
            whole = np.frombuffer(stream.read(), dtype=kind).reshape(shape, order="F")
            return whole[start:stop]
        rows = (shape or (1,))[0]
        width = int(np.prod(shape[1:])) * kind.itemsize
        last = rows if stop is None else min(stop, rows)
        stream.seek(stream.tell() + start * width)
        data = stream.read((last - start) * width)
        return np.frombuffer(data, dtype=kind).reshape(last - start, *shape[1:])


def _head(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = reader(stream)
    if kind.hasobject:
        raise ValueError("an array of Python objects, which are not read")
    return shape, fortran, kind
