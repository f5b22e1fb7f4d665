"""MD17 and rMD17: one npz per molecule, kcal/mol and Å (Chmiela et al. 2017; Christensen and von Lilienfeld 2020)."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raysweep.data.formats.blocks import Block, Chunk, chunks
from raysweep.data.formats.units import KCAL_PER_MOL_EV
from raysweep.errors import DataError

_LAYOUTS = {"MD17": ("z", "R", "E", "F"), "rMD17": ("nuclear_charges", "coords", "energies", "forces")}
"""Names of atomic numbers, positions, energies and forces. rMD17 has old_* arrays besides, which are not read."""


def read(path: Path) -> Iterator[Chunk]:
    """Yield the frames of an MD17 or rMD17 file; the group is the file's stem.

    Raises:
        DataError: the file is torn, or has the arrays of neither.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = next((layout for layout in _LAYOUTS.values() if set(layout) <= set(file.files)), None)
            if names is None:
                wanted = " or ".join(f"{', '.join(layout)} ({name})" for name, layout in _LAYOUTS.items())
                raise DataError(f"{path}: has the arrays {', '.join(file.files)}, needs {wanted}")
            numbers, positions, energy, forces = (file[name] for name in names)
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: torn, or no npz file ({error})") from error
    yield from chunks(
        Block(
            where=str(path),
            group=path.stem,
            numbers=numbers,
            positions=positions,
            energy=energy,
            forces=forces,
            energy_ev=KCAL_PER_MOL_EV,
        )
    )
