"""A neighbour list that is searched again only after atoms have moved: cutoff plus a skin (Verlet 1967)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysweep.data.graphs.neighbours import build_graphs
from raysweep.data.structures import Structures

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Directed pairs within the cutoff, sorted by receiver.

    Attributes:
        senders, receivers: [E] int64.
        shifts: [E, 3], Å, to the senders' periodic images; None where nothing is periodic.
    """

    senders: npt.NDArray[np.int64]
    receivers: npt.NDArray[np.int64]
    shifts: Vectors | None


class SkinList:
    """Pairs of one structure within a cutoff, chosen from those within the cutoff plus a skin.

    A pair that comes within the cutoff is among the candidates as long as no atom has moved by more than half of the
    skin since they were searched. They are searched again when one has, and when atoms, cell or periodicity change.
    """

    def __init__(self, cutoff: float, skin: float) -> None:
        """Make an empty list.

        Args:
            cutoff: Å.
            skin: Å, above 0.
        """
        self._cutoff, self._skin = cutoff, skin
        self.searches = 0
        """Number of times that neighbours were searched."""
        self._positions: Vectors = np.empty((0, 3))
        self._cell: Vectors = np.empty((3, 3))
        self._pbc: npt.NDArray[np.bool_] = np.zeros(3, dtype=bool)
        self._candidates = Edges(senders=np.empty(0, np.int64), receivers=np.empty(0, np.int64), shifts=None)

    def edges(self, positions: Vectors, cell: Vectors, pbc: npt.NDArray[np.bool_]) -> Edges:
        """Find the pairs within the cutoff.

        Args:
            positions: [A, 3] Å.
            cell: [3, 3] Å, rows are vectors.
            pbc: [3], periodic along each.
        """
        if not self._holds(positions, cell, pbc):
            self._search(positions, cell, pbc)
        all_pairs = self._candidates
        vectors = positions.take(all_pairs.senders, axis=0) - positions.take(all_pairs.receivers, axis=0)
        if all_pairs.shifts is not None:
            vectors += all_pairs.shifts
        near = np.einsum("ex,ex->e", vectors, vectors) < self._cutoff * self._cutoff
        if near.all():
            return all_pairs
        shifts = None if all_pairs.shifts is None else all_pairs.shifts[near]
        return Edges(senders=all_pairs.senders[near], receivers=all_pairs.receivers[near], shifts=shifts)

    def _holds(self, positions: Vectors, cell: Vectors, pbc: npt.NDArray[np.bool_]) -> bool:
        if not self.searches or positions.shape != self._positions.shape or (pbc != self._pbc).any():
            return False
        if pbc.any() and (cell != self._cell).any():
            return False
        moved = positions - self._positions
        return bool(np.einsum("ax,ax->a", moved, moved).max(initial=0.0) < (0.5 * self._skin) ** 2)

    def _search(self, positions: Vectors, cell: Vectors, pbc: npt.NDArray[np.bool_]) -> None:
        graphs = build_graphs(_structure(positions, cell, pbc), self._cutoff + self._skin)
        shifts = None if graphs.images is None else graphs.images.astype(np.float64) @ cell
        self._candidates = Edges(
            senders=graphs.senders.astype(np.int64), receivers=graphs.receivers.astype(np.int64), shifts=shifts
        )
        self._positions, self._cell, self._pbc = positions.copy(), cell.copy(), pbc.copy()
        self.searches += 1


def _structure(positions: Vectors, cell: Vectors, pbc: npt.NDArray[np.bool_]) -> Structures:
    """One unlabelled structure near the origin, where single precision resolves it."""
    count, periodic = len(positions), bool(pbc.any())
    centred = positions - positions.mean(axis=0, keepdims=True) if count else positions
    return Structures(
        numbers=np.ones(count, dtype=np.uint8),
        positions=centred.astype(np.float32),
        forces=np.zeros((count, 3), dtype=np.float32),
        n_atoms=np.array([count], dtype=np.int64),
        energy=np.zeros(1),
        residual=np.zeros(1, dtype=np.float32),
        group=np.array([""], dtype=object),
        cell=cell[None].astype(np.float32) if periodic else None,
        pbc=pbc[None] if periodic else None,
    )
