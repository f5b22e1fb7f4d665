"""extxyz and everything else that ASE reads, frame by frame; isolated and periodic."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raysweep.data.formats.blocks import Bad, Block, Chunk, chunks
from raysweep.data.formats.units import energy_ev, length_angstrom
from raysweep.data.structures import Structures
from raysweep.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, kw_only=True)
class Names:
    """Where a file keeps its labels, and in which units.

    Attributes:
        energy: key in the frame's info; None for what ASE recognises as the energy.
        forces: name of the per-atom array; None for what ASE recognises as the forces.
        group: key in the frame's info of the molecule's name; frames without it are grouped by formula.
        charge: key in the frame's info of the total charge.
        spin: key in the frame's info of the multiplicity.
        energy_unit: of the energy; forces are in energy_unit per length_unit.
        length_unit: of the positions and the cell.
    """

    energy: str | None = None
    forces: str | None = None
    group: str = "group"
    charge: str = "charge"
    spin: str = "spin"
    energy_unit: str = "eV"
    length_unit: str = "Å"


def read(path: Path, names: Names) -> Iterator[Chunk]:
    """Yield each frame as one structure with its cell and pbc.

    Raises:
        DataError: ASE cannot read the file (any further), a unit is unknown, or ASE is not installed.
    """
    energy_ev(names.energy_unit), length_angstrom(names.length_unit)
    try:
        from ase.io import iread
    except ImportError as error:
        raise DataError(f"{path}: this format needs ASE: pip install 'raysweep[formats]'") from error
    frames = iread(path, index=":")
    number = 0
    while True:
        try:
            atoms = next(frames, None)
        except Exception as error:  # ASE's many readers raise whatever their parsing meets
            raise DataError(f"{path}, frame {number}: ASE cannot read it ({type(error).__name__}: {error})") from error
        if atoms is None:
            break
        yield from _frame(atoms, names, f"{path}, frame {number}")
        number += 1
    if not number:
        raise DataError(f"{path}: holds no frames")


def _frame(atoms: "Atoms", names: Names, where: str) -> Iterator[Chunk]:
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    # ASE moves what it takes for labels out of info and arrays, also where the user names their key
    energy = {**results, **atoms.info}.get(names.energy) if names.energy else results.get("energy")
    forces = {**results, **atoms.arrays}.get(names.forces) if names.forces else results.get("forces")
    for label, key, value in (("energy", names.energy, energy), ("forces", names.forces, forces)):
        if value is None:
            here = sorted([*atoms.info, *atoms.arrays, *results])
            asked = "ASE recognises none" if key is None else f"there is no {key!r}"
            yield Bad(where=where, reason=f"no {label}: {asked}; the frame has {', '.join(here)}")
            return
    block = Block(
        where=where,
        group=str(atoms.info.get(names.group, atoms.symbols.get_chemical_formula())),
        numbers=atoms.numbers,
        positions=atoms.positions[None],
        energy=np.asarray(energy),
        forces=np.asarray(forces)[None],
        energy_ev=energy_ev(names.energy_unit),
        length_angstrom=length_angstrom(names.length_unit),
    )
    for chunk in chunks(block):
        yield _with_state(chunk, atoms, names, where) if isinstance(chunk, Structures) else chunk


def _with_state(structure: Structures, atoms: "Atoms", names: Names, where: str) -> Chunk:
    cell = (atoms.cell.array * length_angstrom(names.length_unit)).astype(np.float32)
    if not np.isfinite(cell).all() or (atoms.pbc.any() and abs(np.linalg.det(atoms.cell.array)) < 1e-6):
        return Bad(where=where, reason="periodic, but the cell has no volume")
    charge, spin = atoms.info.get(names.charge), atoms.info.get(names.spin)
    for key, value in ((names.charge, charge), (names.spin, spin)):
        if value is not None and not (np.isreal(value) and np.size(value) == 1 and value in range(-128, 128)):
            return Bad(where=where, reason=f"{key!r} is {value!r}, not a small whole number")
    return replace(
        structure,
        cell=cell[None],
        pbc=np.array([atoms.pbc], dtype=bool),
        charge=None if charge is None else np.array([charge], dtype=np.int8),
        spin=None if spin is None else np.array([spin], dtype=np.int8),
    )
