"""Values that all readers share: spans of files, blocks of structures in eV and Å, and unusable records."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.elements import HEAVIEST, formulas
from raysweep.data.structures import OPTIONAL, Structures, ranges


class Torn(DataError):
    """A file, or a part of one, that is truncated or altered; other files may be whole."""


FARTHEST_ANGSTROM = 1e4
"""Distance from the origin beyond which single precision, in which positions are kept, is coarser than 0.001 Å."""
MISSING = "label missing"
"""Reason of a record that has no label according to its data set; it is counted and is not an error."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """The keys of a file's labels, and their units.

    Attributes:
        energy: key of the total energy; None for the format's own.
        forces: key of the forces; None for the format's own.
        group: key of the molecule's name; records without it are grouped by formula.
        charge: key of the total charge; empty: not read.
        spin: key of the multiplicity; empty: not read.
        source: key of the part of the data set that a record belongs to, by which a split can be stratified; records
            without it belong to their file.
        numbers, positions, cell, pbc: keys of the atomic numbers, positions, cell vectors and periodicity, in formats
            of arrays and columns; None for those that are known; a `cell` that is empty: cells are not read.
        energy_unit: of the energy; None for the one stated in the file, otherwise the format's own.
        length_unit: of the positions and the cell; None as above.
        forces_unit: of the forces; None for the one stated in the file, otherwise energy_unit per length_unit.
    """

    energy: str | None = None
    forces: str | None = None
    group: str = "group"
    charge: str = "charge"
    spin: str = "spin"
    source: str = "data_id"
    numbers: str | None = None
    positions: str | None = None
    cell: str | None = None
    pbc: str | None = None
    energy_unit: str | None = None
    length_unit: str | None = None
    forces_unit: str | None = None


@dataclass(frozen=True, kw_only=True)
class Bad:
    """Records that cannot be used: their location, the reason, and their number."""

    where: str
    reason: str
    count: int = 1


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of structures that were read.

    Attributes:
        structures: in eV and Å; `residual` is NaN.
        source: [S] object (str), the part of the data set that each is of; None: its file.
        isolated: [S], which ones the file labels as isolated atoms, whatever their cell; None: none.
    """

    structures: Structures
    source: npt.NDArray[np.object_] | None = None
    isolated: npt.NDArray[np.bool_] | None = None

    def take(self, rows: npt.NDArray[np.int64]) -> "Block":
        """The structures at `rows`, in that order."""
        return Block(
            structures=self.structures.take(rows),
            source=None if self.source is None else self.source[rows],
            isolated=None if self.isolated is None else self.isolated[rows],
        )


def unreadable(error: Exception) -> str:
    """The reason for rejecting a record whose parsing raised an error, a missing key included."""
    return f"cannot be read ({f'no {error}' if isinstance(error, KeyError) else error})"


Chunk = Block | Bad
Text = bytes


@dataclass(frozen=True, kw_only=True)
class Span:
    """A part of a file that can be read by itself, and so by any process.

    Attributes:
        start, stop: bytes, records or groups, as the format counts.
        first: number of its first record in the file, for messages.
        bytes: how much of the file it is.
        read: the records, already read, of formats whose files can only be read from their beginning.
        text: its text, where the file is compressed.
    """

    start: int
    stop: int
    first: int
    bytes: int
    read: tuple[Chunk, ...] | None = None
    text: Text | None = None


@dataclass(frozen=True, kw_only=True)
class Flat:
    """S records with A atoms in total, as in the file, not checked or scaled yet.

    Attributes:
        path: of the file, for messages.
        record: the format's word for a record, for messages.
        at: [S], number of each record in the file.
        numbers: [A], atomic numbers, 0 for anything else.
        n_atoms: [S].
        positions, forces: [A, 3], the forces minus the gradient.
        energy: [S].
        cell, pbc, charge, spin: as in `Structures`, but any numbers.
        group: [S], the molecule's name, None for its formula.
        source, isolated: [S], see `Block`.
        energy_ev: eV per unit of energy of the file.
        length_angstrom: Å per unit of length of the positions and the cell.
        force_length_angstrom: Å per unit of length in the forces' unit; that of the positions by default.
        missing: whether NaN labels mean that there is none, as opposed to a fault.
    """

    path: Path
    record: str
    at: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    n_atoms: npt.NDArray[np.int64]
    positions: npt.NDArray[np.float64]
    forces: npt.NDArray[np.float64]
    energy: npt.NDArray[np.float64]
    cell: npt.NDArray[np.float64] | None = None
    pbc: npt.NDArray[np.bool_] | None = None
    charge: npt.NDArray[np.float64] | None = None
    spin: npt.NDArray[np.float64] | None = None
    group: Sequence[str | None] | None = None
    source: Sequence[str | None] | None = None
    isolated: npt.NDArray[np.bool_] | None = None
    energy_ev: float = 1.0
    length_angstrom: float = 1.0
    force_length_angstrom: float | None = None
    missing: bool = False


def checked(flat: Flat) -> Iterator[Chunk]:
    """Yield the usable records as one block, and the others, counted by reason."""
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows becomes infinite
        positions = (flat.positions * flat.length_angstrom).astype(np.float32)
        per = flat.energy_ev / (flat.force_length_angstrom or flat.length_angstrom)
        forces = (flat.forces * per).astype(np.float32)
        energy = flat.energy * flat.energy_ev
        cell = None if flat.cell is None else (flat.cell * flat.length_angstrom).astype(np.float32)
    good = np.ones(len(flat.n_atoms), dtype=bool)
    for reason, wrong in _faults(flat, positions, forces, energy, cell):
        found = np.flatnonzero(wrong & good)
        if len(found):
            good[found] = False
            where = f"{flat.path}, {flat.record} {flat.at[found[0]]}"
            yield Bad(where=where, reason=reason, count=len(found))
    rows = np.flatnonzero(good)
    if not len(rows):
        return
    atoms = ranges((np.cumsum(flat.n_atoms) - flat.n_atoms)[rows], flat.n_atoms[rows])
    numbers, n_atoms = flat.numbers[atoms].astype(np.uint8), flat.n_atoms[rows]
    optional = {"cell": cell, "pbc": flat.pbc, "charge": flat.charge, "spin": flat.spin}
    kinds = {"cell": np.float32, "pbc": np.bool_, "charge": np.int8, "spin": np.int8}
    picked: dict[str, Any] = {k: None if (v := optional[k]) is None else v[rows].astype(kinds[k]) for k in OPTIONAL}
    structures = Structures(
        numbers=numbers,
        positions=positions[atoms],
        forces=forces[atoms],
        n_atoms=n_atoms,
        energy=energy[rows],
        residual=np.full(len(rows), np.nan, dtype=np.float32),
        group=_groups(flat, rows, numbers, n_atoms),
        **picked,
    )
    source = None
    if flat.source is not None:
        source = np.array(_picked(flat.source, rows, flat.path.name), dtype=object)
    isolated = None if flat.isolated is None else flat.isolated[rows]
    yield Block(structures=structures, source=source, isolated=isolated)


def _groups(
    flat: Flat, rows: npt.NDArray[np.int64], numbers: npt.NDArray[np.uint8], n_atoms: npt.NDArray[np.int64]
) -> npt.NDArray[np.object_]:
    offsets = np.concatenate([[0], np.cumsum(n_atoms)])
    if flat.group is None:
        return formulas(numbers, offsets)
    groups = np.array(_picked(flat.group, rows, ""), dtype=object)
    unnamed = groups == ""
    return np.where(unnamed, formulas(numbers, offsets), groups) if unnamed.any() else groups


def _picked(names: Sequence[str | None], rows: npt.NDArray[np.int64], default: str) -> list[str]:
    return [names[row] or default for row in rows.tolist()]


def _faults(
    flat: Flat,
    positions: npt.NDArray[np.float32],
    forces: npt.NDArray[np.float32],
    energy: npt.NDArray[np.float64],
    cell: npt.NDArray[np.float32] | None,
) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield reasons for rejection and the records that they apply to; a record counts under the first."""
    owner = np.repeat(np.arange(len(flat.n_atoms)), flat.n_atoms)

    def having(atoms: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        return np.bincount(owner[atoms], minlength=len(flat.n_atoms)) > 0

    yield "no atoms", flat.n_atoms < 1
    strange = (flat.numbers < 1) | (flat.numbers > HEAVIEST)
    if strange.any():
        least, most = flat.numbers[strange].min(), flat.numbers[strange].max()
        yield f"atomic numbers {least} to {most}, outside 1 to {HEAVIEST}, or unknown elements", having(strange)
    unlabelled = ~np.isfinite(energy) | having(_unfinished(forces))
    yield MISSING if flat.missing else "energy or forces are not finite", unlabelled
    yield "positions not finite", having(_unfinished(positions))
    far = np.abs(positions).max(axis=1, initial=0) > FARTHEST_ANGSTROM
    if far.any():
        most = np.abs(positions[far]).max()
        yield (
            f"coordinates up to {most:.3g} Å, beyond {FARTHEST_ANGSTROM:g} Å, where single precision is coarser than "
            "0.001 Å: move the structure to the origin, or name its unit (--length-unit)",
            having(far),
        )
    if cell is not None and flat.pbc is not None:
        yield "periodic, but the cell has no volume", _flat_cells(cell, flat.pbc)
    for name, values in (("charge", flat.charge), ("spin", flat.spin)):
        if values is not None:
            with np.errstate(invalid="ignore"):
                yield f"{name} is not a small whole number", ~((values == np.round(values)) & (np.abs(values) < 128))


def _unfinished(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whether each vector [A] has a component that is not finite."""
    return np.asarray((~np.isfinite(vectors)).any(axis=1))


def _flat_cells(cell: npt.NDArray[np.float32], pbc: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Whether the periodic vectors of each structure span no length, area or volume."""
    strange = np.asarray((~np.isfinite(cell)).any(axis=(1, 2)))
    vectors = np.where(strange[:, None, None], 0, cell).astype(np.float64)
    gram = np.where(pbc[:, :, None] & pbc[:, None, :], vectors @ vectors.transpose(0, 2, 1), np.eye(3))
    flat: npt.NDArray[np.bool_] = strange | (np.linalg.det(gram) < 1e-12)
    return flat
