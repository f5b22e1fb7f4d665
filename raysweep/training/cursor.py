"""The position of a trajectory in its data: batches in the seeded order of each epoch, prefetched."""

import math
from collections.abc import Iterator
from itertools import chain, pairwise

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
        self._visits = visits(spec)
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
            parts, settings = self._parts(epoch, visited), (self._spec.batch_atoms, self._device, self._dtype)
            groups = chain.from_iterable(self._graphs.groups(part, *settings) for part in parts)
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
            parts = self._parts(epoch)
            rows = np.concatenate(parts)
            steps = sum(1 for part in parts for _ in split_batches(sizes, part, self._spec.batch_atoms))
            atoms, edges = float(sizes[rows].sum()), float(graphs.n_edges[rows].sum())
            triplets = float(graphs.n_triplets[rows].sum()) if cost.flops_per_triplet else 0.0
            total["data"] += atoms
            total["flops"] += cost.flops(steps * self._spec.accumulate, len(rows), atoms, edges, triplets)
        return total

    def _parts(self, epoch: int, visited: int = 0) -> list[npt.NDArray[np.int64]]:
        return epoch_parts(self._spec, epoch, visited)


def visits(spec: TrialSpec) -> int:
    """Structures that a trajectory visits by its end, repeats counted."""
    return round(spec.epochs * spec.structures)


def epoch_parts(spec: TrialSpec, epoch: int, visited: int = 0) -> list[npt.NDArray[np.int64]]:
    """The structures that an epoch visits from a position on, in order, in parts that no batch crosses.

    The last epoch may be partial.
    """
    ends = (*spec.nested, spec.structures) if epoch == 0 else (spec.structures,)
    parts = [epoch_order(ends[0], spec.seed, epoch)]
    parts += [
        begin + np.random.default_rng([spec.seed, epoch, part]).permutation(end - begin)
        for part, (begin, end) in enumerate(pairwise(ends), start=1)
    ]
    last, found = visits(spec) - epoch * spec.structures, []
    for part in parts:
        found.append(part[visited:last])
        visited, last = max(0, visited - len(part)), max(0, last - len(part))
    return [part for part in found if len(part)]


def begins_batch(spec: TrialSpec, n_atoms: npt.NDArray[np.int64], epoch: int, visited: int) -> bool:
    """Whether a trajectory begins a batch at a position, the end of the epoch included.

    Args:
        spec: the trajectory.
        n_atoms: [structures] atoms of each structure of its subset.
        epoch: completed passes.
        visited: structures visited in the current one.
    """
    at = 0
    for part in epoch_parts(spec, epoch):
        if at <= visited < at + len(part):
            batches = split_batches(n_atoms, part, spec.batch_atoms)
            return visited == at or visited - at in set(np.cumsum([len(rows) for rows in batches]).tolist())
        at += len(part)
    return visited == at
