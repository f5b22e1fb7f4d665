"""Neighbour graphs: pairs of atoms within a cutoff, for isolated and periodic structures."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from vesin import NeighborList

from raysweep.core.errors import DataError
from raysweep.data.structures import Structures, ranges

DENSE_ATOMS = 256
"""Isolated structures up to this size are searched pair by pair, many at once, in one thread: 4 million atoms/s
at 20 atoms and 0.6 at 200, where vesin, called for each structure, does 0.4 and 0.3."""
PAIRS_AT_ONCE = 100_000


@dataclass(frozen=True, kw_only=True)
class Graphs:
    """Directed neighbour pairs of many structures, flat, in the order of their structures.

    Attributes:
        senders: [E] int32, index within the structure of the neighbour.
        receivers: [E] int32, index within the structure of the atom that has the neighbour, ascending; for equal
            receivers the senders ascend.
        images: [E, 3] int32, along which cell vectors, and how often, the neighbour is repeated; None where the
            structures have no `pbc`.
        shifts: [E, 3] float32, Å, added to `position(sender) - position(receiver)`; None as `images`.
        n_edges: [S] int64, edges of each structure.
    """

    senders: npt.NDArray[np.int32]
    receivers: npt.NDArray[np.int32]
    images: npt.NDArray[np.int32] | None
    shifts: npt.NDArray[np.float32] | None
    n_edges: npt.NDArray[np.int64]


def build_graphs(structures: Structures, cutoff: float) -> Graphs:
    """Find all pairs of atoms nearer than `cutoff` (Å), periodic images along any of the cell vectors included.

    Small isolated structures are searched pair by pair, the others by vesin's neighbour list; both compute
    distances in float64.

    Raises:
        DataError: a structure is periodic along a cell vector of no length.
    """
    count = len(structures)
    wraps = np.zeros(count, dtype=bool) if structures.pbc is None else structures.pbc.any(axis=1)
    dense = ~wraps & (structures.n_atoms <= DENSE_ATOMS)
    others = np.flatnonzero(~dense)
    calculator = NeighborList(cutoff=cutoff, full_list=True)
    offsets = structures.offsets
    found = [_by_vesin(structures, offsets, int(row), calculator) for row in others]
    if not len(others):
        senders, receivers, n_edges = _by_pairs(structures, cutoff)
        images = None if structures.pbc is None else np.zeros((len(senders), 3), dtype=np.int32)
        return _graphs(structures, senders, receivers, images, n_edges)
    rows = np.flatnonzero(dense)
    some = build_graphs(structures.take(rows), cutoff)
    n_edges = np.zeros(count, dtype=np.int64)
    n_edges[rows], n_edges[others] = some.n_edges, [len(each[0]) for each in found]
    first, total = np.cumsum(n_edges) - n_edges, int(n_edges.sum())
    places = ranges(first[rows], n_edges[rows]), ranges(first[others], n_edges[others])
    senders, receivers = np.empty(total, dtype=np.int32), np.empty(total, dtype=np.int32)
    senders[places[0]], receivers[places[0]] = some.senders, some.receivers
    senders[places[1]] = np.concatenate([each[0] for each in found])
    receivers[places[1]] = np.concatenate([each[1] for each in found])
    images = None
    if structures.pbc is not None:
        images = np.zeros((total, 3), dtype=np.int32)
        images[places[1]] = np.concatenate([each[2] for each in found])
    return _graphs(structures, senders, receivers, images, n_edges)


def shifts_of(
    images: npt.NDArray[np.integer], structures: Structures, n_edges: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Shifts [E, 3] float32, Å: the sum of cell vectors to the periodic images [E, 3] of the senders."""
    if structures.cell is None:
        return np.zeros((len(images), 3), dtype=np.float32)
    vectors = np.repeat(structures.cell.astype(np.float64), n_edges, axis=0)
    shifts: npt.NDArray[np.float64] = np.einsum("ek,ekx->ex", images.astype(np.float64), vectors)
    return shifts.astype(np.float32)


def _graphs(
    structures: Structures,
    senders: npt.NDArray[np.int32],
    receivers: npt.NDArray[np.int32],
    images: npt.NDArray[np.int32] | None,
    n_edges: npt.NDArray[np.int64],
) -> Graphs:
    shifts = None if images is None else shifts_of(images, structures, n_edges)
    return Graphs(senders=senders, receivers=receivers, images=images, shifts=shifts, n_edges=n_edges)


def _by_pairs(
    structures: Structures, cutoff: float
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Find senders, receivers and edges per structure of isolated structures by trying all pairs of atoms."""
    senders, receivers, counts = [], [], []
    offsets = structures.offsets
    for start, stop in runs_of_pairs(structures.n_atoms * structures.n_atoms, PAIRS_AT_ONCE):
        n_atoms = structures.n_atoms[start:stop]
        atoms = slice(offsets[start], offsets[stop])
        x = structures.positions[atoms].astype(np.float64)
        own, first = np.repeat(n_atoms, n_atoms), np.cumsum(n_atoms) - n_atoms
        i, j = np.repeat(np.arange(len(x)), own), ranges(np.repeat(first, n_atoms), own)
        squares = np.zeros(len(i))
        for axis in range(3):
            along = np.ascontiguousarray(x[:, axis])
            squares += np.square(along[j] - along[i])
        near = np.flatnonzero((squares < cutoff * cutoff) & (i != j))
        i, j = i[near], j[near]
        degree = np.bincount(i, minlength=len(x))
        counts.append(np.add.reduceat(degree, first) if len(first) else degree)
        back = np.repeat(first, counts[-1])
        senders.append((j - back).astype(np.int32))
        receivers.append((i - back).astype(np.int32))
    if not counts:
        return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int64)
    return np.concatenate(senders), np.concatenate(receivers), np.concatenate(counts).astype(np.int64)


def runs_of_pairs(n_pairs: npt.NDArray[np.int64], at_once: int) -> Iterator[tuple[int, int]]:
    """Split structures with [S] pairs of atoms into runs of about `at_once` pairs, so that memory stays bounded."""
    total = np.cumsum(n_pairs)
    start = 0
    while start < len(n_pairs):
        before = total[start - 1] if start else 0
        stop = max(int(np.searchsorted(total, before + at_once, side="right")), start + 1)
        yield start, stop
        start = stop


def _by_vesin(
    structures: Structures, offsets: npt.NDArray[np.int64], row: int, calculator: NeighborList
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Find senders, receivers and images [E, 3] of one structure."""
    atoms = slice(offsets[row], offsets[row + 1])
    cell, wraps = np.zeros((3, 3)), np.zeros(3, dtype=bool)
    if structures.pbc is not None and structures.cell is not None and structures.pbc[row].any():
        cell, wraps = structures.cell[row].astype(np.float64), structures.pbc[row]
        if not np.linalg.norm(cell[wraps], axis=1).all():
            raise DataError(
                f"structure {row}: periodic along {wraps.tolist()} of its cell vectors, one of which has no length"
            )
        cell = _completed(cell, wraps)
    points = structures.positions[atoms].astype(np.float64)
    i, j, images = calculator.compute(points=points, box=cell, periodic=wraps.tolist(), quantities="ijS")
    order = np.lexsort((j, i))
    return j[order].astype(np.int32), i[order].astype(np.int32), images[order].astype(np.int32)


def _completed(cell: npt.NDArray[np.float64], wraps: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Replace non-periodic vectors by unit vectors orthogonal to the periodic ones."""
    if wraps.all():
        return cell
    basis = np.linalg.svd(np.where(wraps[:, None], cell, 0.0))[2][int(wraps.sum()) :]
    completed = cell.copy()
    completed[~wraps] = basis
    return completed
