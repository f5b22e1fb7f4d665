"""Many structures as flat arrays: what sources produce, stores hold, and graphs and batches are built from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.keys import CELL, CHARGE, ENERGY, FORCES, GROUP, N_ATOMS, NUMBERS, PBC, POSITIONS, RESIDUAL, SPIN

PER_ATOM = (NUMBERS, POSITIONS, FORCES)
OPTIONAL = (CELL, PBC, CHARGE, SPIN)

_Pick = Callable[[str, npt.NDArray[np.generic]], npt.NDArray[np.generic]]

_KINDS: dict[str, tuple[str, tuple[int, ...]]] = {
    NUMBERS: ("uint8", ()),
    POSITIONS: ("float32", (3,)),
    FORCES: ("float32", (3,)),
    N_ATOMS: ("int64", ()),
    ENERGY: ("float64", ()),
    RESIDUAL: ("float32", ()),
    GROUP: ("object", ()),
    CELL: ("float32", (3, 3)),
    PBC: ("bool", (3,)),
    CHARGE: ("int8", ()),
    SPIN: ("int8", ()),
}


@dataclass(frozen=True, kw_only=True)
class Structures:
    """S structures with A atoms in total; the fields are those of `raysweep.data.keys`, atoms in structure order.

    Attributes:
        numbers: [A] uint8, atomic numbers.
        positions: [A, 3] float32, Å.
        forces: [A, 3] float32, eV/Å.
        n_atoms: [S] int64, at least 1 each.
        energy: [S] float64, eV, as labelled.
        residual: [S] float32, eV, energy less reference energies; NaN where no reference energies are known yet.
        group: [S] object (str), never on both sides of a split.
        cell: [S, 3, 3] float32, Å, rows are vectors; None where no structure has one.
        pbc: [S, 3] bool; None where nothing is periodic.
        charge: [S] int8, elementary charges; None where not known.
        spin: [S] int8, multiplicity; None where not known.

    Raises:
        DataError: an array's type or shape is not as above.
    """

    numbers: npt.NDArray[np.uint8]
    positions: npt.NDArray[np.float32]
    forces: npt.NDArray[np.float32]
    n_atoms: npt.NDArray[np.int64]
    energy: npt.NDArray[np.float64]
    residual: npt.NDArray[np.float32]
    group: npt.NDArray[np.object_]
    cell: npt.NDArray[np.float32] | None = None
    pbc: npt.NDArray[np.bool_] | None = None
    charge: npt.NDArray[np.int8] | None = None
    spin: npt.NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        """Check every array's type and shape."""
        atoms = int(self.n_atoms.sum())
        for name, (kind, tail) in _KINDS.items():
            value: npt.NDArray[np.generic] | None = getattr(self, name)
            if value is None and name in OPTIONAL:
                continue
            shape = (atoms if name in PER_ATOM else len(self.n_atoms), *tail)
            if value is None or value.dtype != kind or value.shape != shape:
                found = "nothing" if value is None else f"{value.dtype} {list(value.shape)}"
                raise DataError(f"structures: {name} must be {kind} {list(shape)}, found {found}")

    def __len__(self) -> int:
        """The number of structures."""
        return len(self.n_atoms)

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """[S + 1] int64: the atoms of structure i are `offsets[i]:offsets[i + 1]`."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.n_atoms)])

    def head(self, n: int) -> "Structures":
        """The first n structures (views, no copies)."""
        atoms = int(self.n_atoms[:n].sum())
        return self._map(lambda name, value: value[: atoms if name in PER_ATOM else n])

    def take(self, rows: npt.NDArray[np.int64]) -> "Structures":
        """The structures at `rows`, in that order."""
        atoms = ranges(self.offsets[rows], self.n_atoms[rows])
        return self._map(lambda name, value: value.take(atoms if name in PER_ATOM else rows, axis=0))

    def labels(self, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]]:
        """Energies of the structures at `rows`, and the atomic numbers of their atoms, in that order."""
        return self.energy[rows], self.numbers[ranges(self.offsets[rows], self.n_atoms[rows])]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic] | None]) -> "Structures":
        """Build structures from arrays by field name; types and shapes are checked, optional fields may be absent.

        Raises:
            DataError: an array's type or shape is not the field's.
        """
        return cls(**cast(dict[str, Any], dict(arrays)))

    def _map(self, pick: _Pick) -> "Structures":
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        return self.from_arrays({k: None if v is None else pick(k, v) for k, v in arrays.items()})


class Rows(Protocol):
    """Structures to read at random: in memory (`Structures`), or in files."""

    @property
    def n_atoms(self) -> npt.NDArray[np.int64]:
        """[S] atoms of each structure."""

    def take(self, rows: npt.NDArray[np.int64], /) -> Structures:
        """The structures at `rows`, in that order."""


def concatenate(parts: Sequence[Structures]) -> Structures:
    """Concatenate structures; all parts must have an optional field, or none.

    Raises:
        DataError: some parts have an optional field and some lack it.
    """
    arrays: dict[str, npt.NDArray[np.generic] | None] = {}
    for name, (kind, tail) in _KINDS.items():
        values = [getattr(part, name) for part in parts]
        if name in OPTIONAL and any(value is None for value in values):
            if any(value is not None for value in values):
                raise DataError(f"structures: {name} is given for some parts and missing in others")
            arrays[name] = None
        else:
            arrays[name] = np.concatenate(values) if values else np.zeros((0, *tail), dtype=kind)
    return Structures.from_arrays(arrays)


def ranges(starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Concatenate `arange(start, start + count)` over all pairs, without a loop."""
    ends = np.cumsum(counts)
    flat: npt.NDArray[np.int64] = np.repeat(starts - (ends - counts), counts)
    flat += np.arange(len(flat))
    return flat


def with_cell(part: Structures) -> Structures:
    """Give structures a cell and pbc, of zeros if they had none."""
    if part.pbc is not None and part.cell is not None:
        return part
    cell, pbc = np.zeros((len(part), 3, 3), dtype=np.float32), np.zeros((len(part), 3), dtype=bool)
    return replace(part, cell=cell, pbc=pbc)
