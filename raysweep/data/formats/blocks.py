"""What all readers share: conformations of one molecule as structures in eV and Å, and records that cannot be used."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysweep.data.structures import Structures

HEAVIEST = 118
MISSING = "label missing"
"""Reason of a record that its data set says has no label; it is counted, and no error."""


@dataclass(frozen=True, kw_only=True)
class Bad:
    """Records that cannot be used: where they stand, why, and how many."""

    where: str
    reason: str
    count: int = 1


Chunk = Structures | Bad


@dataclass(frozen=True, kw_only=True)
class Block:
    """m conformations of one molecule of n atoms, as a file has them.

    Attributes:
        where: file and record, for messages.
        group: name of the molecule.
        numbers: [n], atomic numbers.
        positions: [m, n, 3].
        energy: [m].
        forces: [m, n, 3], minus the gradient.
        energy_ev: eV per unit of energy of the file.
        length_angstrom: Å per unit of length of the positions.
        force_length_angstrom: Å per unit of length in the forces' unit; that of the positions by default.
        missing: whether NaN labels mean that there is none, as opposed to a fault.
    """

    where: str
    group: str
    numbers: npt.ArrayLike
    positions: npt.ArrayLike
    energy: npt.ArrayLike
    forces: npt.ArrayLike
    energy_ev: float = 1.0
    length_angstrom: float = 1.0
    force_length_angstrom: float | None = None
    missing: bool = False


def chunks(block: Block) -> Iterator[Chunk]:
    """Yield the usable conformations as structures, and the others, counted by reason."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what does not fit becomes infinite
            numbers = np.asarray(block.numbers).reshape(-1).astype(np.int64)
            energy = np.asarray(block.energy, dtype=np.float64).reshape(-1) * block.energy_ev
            positions = _scaled(block.positions, block.length_angstrom)
            forces = _scaled(block.forces, block.energy_ev / (block.force_length_angstrom or block.length_angstrom))
    except (ValueError, TypeError) as error:
        yield Bad(where=block.where, reason=f"not numbers ({error})")
        return
    fault = _fault_of_molecule(numbers, positions.shape, energy.shape, forces.shape)
    if fault:
        yield Bad(where=block.where, reason=fault, count=max(len(energy), 1))
        return
    with_label = np.isfinite(energy) & np.isfinite(forces).all(axis=(1, 2))
    placed = np.isfinite(positions).all(axis=(1, 2))
    if not with_label.all():
        reason = MISSING if block.missing else "energy or forces not finite"
        yield Bad(where=_first(block.where, ~with_label), reason=reason, count=int((~with_label).sum()))
    if not (placed | ~with_label).all():
        off = with_label & ~placed
        yield Bad(where=_first(block.where, off), reason="positions not finite", count=int(off.sum()))
    good = with_label & placed
    if good.any():
        yield _structures(numbers.astype(np.uint8), positions[good], energy[good], forces[good], block.group)


def _scaled(values: npt.ArrayLike, factor: float) -> npt.NDArray[np.float32]:
    return (np.asarray(values, dtype=np.float64) * factor).astype(np.float32)


def _fault_of_molecule(
    numbers: npt.NDArray[np.int64], positions: Sequence[int], energy: Sequence[int], forces: Sequence[int]
) -> str | None:
    if not len(numbers):
        return "no atoms"
    if numbers.min() < 1 or numbers.max() > HEAVIEST:
        return f"atomic numbers {numbers.min()} to {numbers.max()}, outside 1 to {HEAVIEST}"
    wanted = (energy[0], len(numbers), 3)
    if tuple(positions) != wanted or tuple(forces) != wanted:
        return (
            f"shapes do not match: {len(numbers)} atomic numbers, {energy[0]} energies, "
            f"positions {list(positions)}, forces {list(forces)}"
        )
    return None


def _first(where: str, wrong: npt.NDArray[np.bool_]) -> str:
    return f"{where}, conformation {int(np.flatnonzero(wrong)[0])}"


def _structures(
    numbers: npt.NDArray[np.uint8],
    positions: npt.NDArray[np.float32],
    energy: npt.NDArray[np.float64],
    forces: npt.NDArray[np.float32],
    group: str,
) -> Structures:
    count = len(energy)
    return Structures(
        numbers=np.tile(numbers, count),
        positions=positions.reshape(-1, 3),
        forces=forces.reshape(-1, 3),
        n_atoms=np.full(count, len(numbers), dtype=np.int64),
        energy=energy,
        residual=np.full(count, np.nan, dtype=np.float32),
        group=np.array([group] * count, dtype=object),
    )
