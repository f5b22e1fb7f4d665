"""The position of a trajectory in its data: batches in the seeded order of each epoch, prefetched."""

import math
from collections.abc import Iterator
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch

from raysweep.core.trial import TrialSpec
from raysweep.data.graphs.batches import Batch, GraphSet, epoch_order, split_batches
from raysweep.data.graphs.prefetch import prefetched
from raysweep.training.cost.measure import TrainingCost
from raysweep.training.symmetry import epoch_rotations


class DataCursor:
    """Reads the batches of a trajectory from any position: an epoch, and the number of structures visited in it."""

    def __init__(self, graphs: GraphSet, spec: TrialSpec, device: torch.device, dtype: torch.dtype) -> None:
        self._graphs, self._spec = graphs, spec
        self._device, self._dtype = device, dtype
        self._visits = round(spec.epochs * spec.structures)
        self._stream: Iterator[tuple[npt.NDArray[np.int64], Batch]] = iter(())
        self._position: tuple[int, int] | None = None
        self._rotations: tuple[int, npt.NDArray[np.float64]] = (-1, np.empty(0))

    def at_end(self, epoch: int, visited: int) -> bool:
        """Whether a position is the end of the last epoch, which may be partial."""
        return epoch * self._spec.structures + visited >= self._visits

    def read(self, epoch: int, visited: int) -> tuple[npt.NDArray[np.int64], Batch]:
        """Read the batch at a position: its rows of the subset, and its tensors.

        Batches are prefetched as long as each position follows the batch before.
        """
        if self._position != (epoch, visited):
            rows = self._order(epoch)[visited:]
            groups = self._graphs.groups(rows, self._spec.batch_atoms, self._device, self._dtype)
            self._stream = chain.from_iterable(prefetched(groups))
        rows, batch = next(self._stream)
        after = visited + len(rows)
        self._position = (epoch, after) if after < self._spec.structures else None
        return rows, batch

    def rotations(self, epoch: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Rotations [S, 3, 3] of the structures at `rows` in an epoch, for augmentation."""
        if self._rotations[0] != epoch:
            self._rotations = (epoch, epoch_rotations(self._spec.structures, self._spec.seed, epoch))
        return self._rotations[1][rows]

    def limits(self, cost: TrainingCost) -> dict[str, float]:
        """The atoms and the FLOPs of all epochs, by kind of budget."""
        total = {"data": 0.0, "flops": 0.0}
        sizes, graphs = self._graphs.n_atoms, self._graphs
        for epoch in range(math.ceil(self._visits / self._spec.structures)):
            rows = self._order(epoch)
            steps = sum(1 for _ in split_batches(sizes, rows, self._spec.batch_atoms))
            atoms, edges = float(sizes[rows].sum()), float(graphs.n_edges[rows].sum())
            triplets = float(graphs.n_triplets[rows].sum()) if cost.flops_per_triplet else 0.0
            total["data"] += atoms
            total["flops"] += cost.flops(steps, len(rows), atoms, edges, triplets)
        return total

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        """The structures that an epoch visits, in order; the last epoch may be partial."""
        order = epoch_order(self._spec.structures, self._spec.seed, epoch)
        return order[: self._visits - epoch * self._spec.structures]
