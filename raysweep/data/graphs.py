"""Neighbour graphs: which atoms see each other within a cutoff, for isolated and periodic structures."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from vesin import NeighborList

from raysweep.data.structures import Structures
from raysweep.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Graphs:
    """Directed neighbour pairs of many structures, flat, in the order of their structures.

    Attributes:
        senders: [E] int32, index within the structure of the neighbour.
        receivers: [E] int32, index within the structure of the atom that is looked at, ascending.
        shifts: [E, 3] float32, Å, added to `position(sender) - position(receiver)`; None where nothing is periodic.
        n_edges: [S] int64, edges of each structure.
    """

    senders: npt.NDArray[np.int32]
    receivers: npt.NDArray[np.int32]
    shifts: npt.NDArray[np.float32] | None
    n_edges: npt.NDArray[np.int64]


def build_graphs(structures: Structures, cutoff: float) -> Graphs:
    """Return all pairs of atoms nearer than `cutoff` (Å), periodic images included, with vesin's neighbour list.

    Raises:
        DataError: a structure is periodic along some of its cell vectors only, which is not supported.
    """
    calculator = NeighborList(cutoff=cutoff, full_list=True)
    periodic = structures.pbc is not None and bool(structures.pbc.any())
    offsets = np.concatenate([[0], np.cumsum(structures.n_atoms)])
    positions = structures.positions.astype(np.float64)
    senders, receivers, shifts, n_edges = [], [], [], np.zeros(len(structures.n_atoms), dtype=np.int64)
    no_cell = np.zeros((3, 3))
    for row, (start, stop) in enumerate(pairwise(offsets)):
        cell, wraps = no_cell, False
        if periodic and structures.pbc is not None and structures.cell is not None:
            cell, wraps = structures.cell[row].astype(np.float64), bool(structures.pbc[row].all())
            if structures.pbc[row].any() and not wraps:
                raise DataError(
                    f"structure {row}: periodic along {structures.pbc[row].tolist()} of its cell vectors; graphs are "
                    "made for isolated and for fully periodic structures. Pad with vacuum and set pbc to true."
                )
        i, j, s = calculator.compute(points=positions[start:stop], box=cell, periodic=wraps, quantities="ijS")
        order = np.lexsort((j, i))
        receivers.append(i[order].astype(np.int32))
        senders.append(j[order].astype(np.int32))
        n_edges[row] = len(order)
        if periodic:
            shifts.append((s[order].astype(np.float64) @ cell).astype(np.float32))
    return Graphs(
        senders=_joined(senders, np.int32),
        receivers=_joined(receivers, np.int32),
        shifts=np.concatenate(shifts) if shifts else None,
        n_edges=n_edges,
    )


def _joined(parts: list[npt.NDArray[np.int32]], kind: type[np.int32]) -> npt.NDArray[np.int32]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)
