"""Shortest distances between the atoms of a structure, periodic images included."""

import numpy as np
import numpy.typing as npt

from raysweep.data.graphs.neighbours import DENSE_ATOMS, build_graphs, runs_of_pairs
from raysweep.data.structures import Structures, ranges

PAIRS_AT_ONCE = 100_000
_IMAGES = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def shortest_distances(structures: Structures, below: float) -> npt.NDArray[np.float64]:
    """The shortest distance between two atoms or an atom and its own periodic image, [S] Å.

    Infinite where none is shorter than `below` (Å); images of one atom take precedence.
    """
    shortest = nearest_images(structures)
    shortest[shortest >= below] = np.inf
    cell, wraps = _completed(structures)
    inverse: npt.NDArray[np.float64] = np.linalg.inv(cell).astype(np.float64)
    heights = 1.0 / np.linalg.norm(inverse, axis=1)  # between the planes of images along each vector
    # Only the nearest image is within half a height, so that no other has to be considered in all but tiny cells
    simple = (structures.n_atoms <= DENSE_ATOMS) & (np.where(wraps, heights, np.inf) > 2 * below).all(axis=1)
    others = ~simple & np.isinf(shortest)
    for rows, found in ((np.flatnonzero(simple), _by_nearest_images), (np.flatnonzero(others), _by_graphs)):
        if len(rows):
            at, lengths = found(structures.take(rows), cell[rows], inverse[rows], below)
            np.minimum.at(shortest, rows[at], lengths)
    return shortest


def nearest_images(structures: Structures) -> npt.NDArray[np.float64]:
    """The distance of an atom to its own nearest periodic image, [S] Å; infinite where there is none."""
    shortest = np.full(len(structures), np.inf)
    if structures.cell is None or structures.pbc is None:
        return shortest
    rows = np.flatnonzero(structures.pbc.any(axis=1))
    wraps = structures.pbc[rows]
    vectors = np.where(wraps[:, :, None], structures.cell[rows], 0).astype(np.float64)
    gram = vectors @ vectors.transpose(0, 2, 1)
    squares = np.einsum("mj,mk,sjk->sm", _IMAGES, _IMAGES, gram, optimize=True)
    along = ((_IMAGES[None] != 0) & wraps[:, None, :]).any(axis=2)
    shortest[rows] = np.sqrt(np.maximum(np.where(along, squares, np.inf).min(axis=1, initial=np.inf), 0))
    return shortest


def _completed(structures: Structures) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Complete cells [S, 3, 3]: non-periodic vectors replaced by orthogonal ones; and pbc [S, 3]."""
    count = len(structures)
    cell = np.tile(np.eye(3), (count, 1, 1))
    if structures.cell is None or structures.pbc is None:
        return cell, np.zeros((count, 3), dtype=bool)
    wraps = structures.pbc
    cell[wraps] = structures.cell.astype(np.float64)[wraps]
    for periodic in (1, 2):
        rows = np.flatnonzero(wraps.sum(axis=1) == periodic)
        masked = np.where(wraps[rows][:, :, None], cell[rows], 0.0)
        basis = np.linalg.svd(masked)[2][:, periodic:]
        some = cell[rows]
        some[~wraps[rows]] = basis.reshape(-1, 3)
        cell[rows] = some
    return cell, wraps


_Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Structure and length of each pair."""


def _by_nearest_images(
    structures: Structures, cell: npt.NDArray[np.float64], inverse: npt.NDArray[np.float64], below: float
) -> _Found:
    """Check all pairs of atoms, one axis after the other, so that few remain for the second."""
    owners, lengths = [np.zeros(0, np.int64)], [np.zeros(0)]
    offsets = structures.offsets
    wraps = np.zeros((len(cell), 3), bool) if structures.pbc is None else structures.pbc
    limits = below * np.linalg.norm(inverse, axis=1)
    n_pairs = structures.n_atoms * (structures.n_atoms - 1) // 2
    for start, stop in runs_of_pairs(n_pairs, PAIRS_AT_ONCE):
        n_atoms = structures.n_atoms[start:stop]
        owner = np.repeat(np.arange(start, stop), n_atoms)
        x = structures.positions[offsets[start] : offsets[stop]].astype(np.float64)
        fractions = np.einsum("ax,axk->ka", x, inverse[owner])
        after = np.repeat(np.cumsum(n_atoms), n_atoms) - np.arange(1, len(x) + 1)  # atoms of the structure after each
        i = np.repeat(np.arange(len(x)), after)
        j = ranges(np.arange(1, len(x) + 1), after)
        steps: list[npt.NDArray[np.float64]] = []
        for axis in range(3):
            step = fractions[axis][j] - fractions[axis][i]
            of = owner[i]
            np.subtract(step, np.rint(step), out=step, where=wraps[of, axis])
            near = np.flatnonzero(np.abs(step) < limits[of, axis])
            i, j = i[near], j[near]
            steps = [*(one[near] for one in steps), step[near]]
        vectors = np.einsum("kp,pkx->px", np.array(steps), cell[owner[i]])
        owners.append(owner[i])
        lengths.append(np.linalg.norm(vectors, axis=1))
    found, length = np.concatenate(owners), np.concatenate(lengths)
    return found[length < below], length[length < below]


def _by_graphs(
    structures: Structures, _cell: npt.NDArray[np.float64], _inverse: npt.NDArray[np.float64], below: float
) -> _Found:
    """Check a neighbour list, which includes all images."""
    graphs = build_graphs(structures, below)
    back = np.repeat(structures.offsets[:-1], graphs.n_edges)
    x = structures.positions.astype(np.float64)
    vectors = x[graphs.senders + back] - x[graphs.receivers + back]
    if graphs.shifts is not None:
        vectors = vectors + graphs.shifts
    return np.repeat(np.arange(len(structures)), graphs.n_edges), np.linalg.norm(vectors, axis=1)
