"""Statistics of structures, accumulated shard by shard: fingerprint, reference energies, RMS values."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from raysweep.data.structures import OPTIONAL, Structures

CELLS_AT_ONCE = 8_000_000
"""Numbers of a table of compositions that are kept before they are reduced: 64 MB."""

SQUARES_AT_ONCE = 65_536


class Fingerprint:
    """SHA-256 over every field of structures in row order and over where the training part ends.

    It does not depend on how the structures were divided into parts.
    """

    def __init__(self) -> None:
        self._fields: dict[str, tuple[hashlib._Hash, int]] = {}

    def add(self, part: Structures) -> None:
        """Add the next structures."""
        for name in ("numbers", "positions", "forces", "n_atoms", "energy", "group", *OPTIONAL):
            values = getattr(part, name)
            if values is None:
                continue
            later = name in self._fields
            total, size = self._fields.get(name, (hashlib.sha256(), 0))
            data: bytes | memoryview
            if name == "group":
                data = b"\0" * later + "\0".join(values).encode()
            else:
                data = (
                    np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
                )
            total.update(data)
            self._fields[name] = (total, size + len(data))

    def hexdigest(self, train_structures: int, given: Mapping[int, float] = MappingProxyType({})) -> str:
        """The digest as 64 hexadecimal digits.

        Args:
            train_structures: where the training part ends.
            given: eV by atomic number, reference energies that do not follow from the structures.
        """
        whole = hashlib.sha256(f"structures/1 train={train_structures}\n".encode())
        for name, (total, size) in self._fields.items():
            whole.update(f"{name} {size} {total.hexdigest()}\n".encode())
        for z, energy in sorted(given.items()):
            whole.update(f"reference {z} {float(energy).hex()}\n".encode())
        return whole.hexdigest()


class Compositions:
    """Least-squares fit of energies to compositions: the reference energy of each element.

    Where compositions do not determine them (all structures alike), the minimum-norm solution is taken. Many
    rows are reduced to a triangle by QR, which keeps the solution.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]] = []
        self._held = 0
        self.elements: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def add(self, part: Structures) -> None:
        """Add the next structures."""
        elements = np.union1d(self.elements, elements_of(part.numbers))
        if len(elements) > len(self.elements):
            self._rows = [(_widened(table, self.elements, elements), energy) for table, energy in self._rows]
            self.elements = elements
        column = np.zeros(256, dtype=np.int64)
        column[elements] = np.arange(len(elements))
        cells = np.repeat(np.arange(len(part)) * len(elements), part.n_atoms)
        cells += column[part.numbers]
        counts = np.bincount(cells, minlength=len(part) * len(elements))
        self._rows.append((counts.reshape(len(part), len(elements)).astype(np.float64), part.energy))
        self._held += counts.size
        if self._held > CELLS_AT_ONCE:
            table, energy = self._joined()
            triangle = np.asarray(np.linalg.qr(np.column_stack([table, energy]), mode="r"))
            self._rows = [(triangle[:, :-1], triangle[:, -1])]
            self._held = triangle.size

    def reference_energies(self, given: Mapping[int, float] = MappingProxyType({})) -> dict[int, float]:
        """Reference energies in eV by atomic number: the given ones, and fitted ones for the other elements."""
        table, energy = self._joined()
        energies = np.array([given.get(z, 0.0) for z in self.elements.tolist()])
        fitted = np.array([z not in given for z in self.elements.tolist()])
        rest = energy - table @ energies if given else energy
        energies[fitted] = np.linalg.lstsq(table[:, fitted], rest)[0]
        return self._by_element(energies)

    def binding_energies(self, references: Mapping[int, float]) -> dict[int, float]:
        """Minimum-norm fit of the energies less reference energies, in eV by atomic number.

        With references of isolated atoms this is the binding energy of an atom; with fitted ones it is zero.
        """
        table, energy = self._joined()
        given = np.array([references[z] for z in self.elements.tolist()])
        return self._by_element(np.linalg.lstsq(table, energy - table @ given)[0])

    def _by_element(self, energies: npt.NDArray[np.float64]) -> dict[int, float]:
        return {int(z): float(energy) for z, energy in zip(self.elements, energies, strict=True)}

    def _joined(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        tables, energies = zip(*self._rows, strict=True)
        return np.concatenate(tables), np.concatenate(energies)


def elements_of(numbers: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The atomic numbers that occur, ascending."""
    return np.flatnonzero(np.bincount(numbers, minlength=256))


def _widened(
    table: npt.NDArray[np.float64], old: npt.NDArray[np.int64], new: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    wide = np.zeros((len(table), len(new)))
    wide[:, np.searchsorted(new, old)] = table
    return wide


def _sum_of_squares(values: npt.NDArray[np.floating]) -> float:
    """Sum in the order of numpy's own pairwise summation, without all squares in memory at once."""
    if len(values) <= SQUARES_AT_ONCE:
        return float(np.sum(np.square(values, dtype=np.float64)))
    half = len(values) // 2
    half -= half % 8
    return _sum_of_squares(values[:half]) + _sum_of_squares(values[half:])


class MeanSquare:
    """Root mean square of numbers that arrive in parts."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, values: npt.NDArray[np.floating]) -> None:
        """Add the next numbers."""
        self._sum += _sum_of_squares(values.reshape(-1))
        self._count += values.size

    def root(self) -> float:
        """The root mean square."""
        return float(np.sqrt(self._sum / self._count))
