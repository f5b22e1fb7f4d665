"""Batches of graphs: many structures in one set of tensors, cut by atom count, in an order that the seed alone sets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from raysweep.data.graphs import Graphs, build_graphs
from raysweep.data.store import Store
from raysweep.data.structures import Structures, ranges

GATHERED = 32
"""Batches that are gathered and moved to the device at once."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Structures in one set of tensors: S structures, A atoms, E directed edges, edges sorted by receiver.

    Attributes:
        numbers: [A] int64, atomic numbers.
        positions: [A, 3] float, Å.
        structure: [A] int64, which structure an atom belongs to, ascending.
        n_atoms: [S] float, atoms of each structure.
        senders: [E] int64, the neighbour's atom index.
        receivers: [E] int64, the atom that is looked at, ascending.
        shifts: [E, 3] float, Å, to the periodic image; None where nothing is periodic.
        energy: [S] float, eV, labelled energy less reference energies.
        forces: [A, 3] float, eV/Å.
    """

    numbers: torch.Tensor
    positions: torch.Tensor
    structure: torch.Tensor
    n_atoms: torch.Tensor
    senders: torch.Tensor
    receivers: torch.Tensor
    shifts: torch.Tensor | None
    energy: torch.Tensor
    forces: torch.Tensor

    def vectors(self) -> torch.Tensor:
        """Return [E, 3] in Å: from each edge's receiver to its sender (the nearest image that the edge means)."""
        x = self.positions
        vectors = x.index_select(0, self.senders) - x.index_select(0, self.receivers)
        return vectors if self.shifts is None else vectors + self.shifts

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        """Return the batch on a device, its floating-point tensors in `dtype`."""
        moved: dict[str, torch.Tensor | None] = {}
        for field in fields(self):
            value: torch.Tensor | None = getattr(self, field.name)
            if value is not None:
                value = value.to(device, dtype if value.is_floating_point() else value.dtype)
            moved[field.name] = value
        return Batch(**moved)  # type: ignore[arg-type]

    def split(self, sizes: list[tuple[int, int, int]]) -> list["Batch"]:
        """Cut the tensors into parts of so many structures, atoms and edges; indices stay as they are."""
        counts = dict(zip(("structures", "atoms", "edges"), map(list, zip(*sizes, strict=True)), strict=True))
        axes = {"structures": ("n_atoms", "energy"), "edges": ("senders", "receivers", "shifts")}
        along = {name: axis for axis, names in axes.items() for name in names}
        columns: dict[str, Sequence[torch.Tensor | None]] = {}
        for field in fields(self):
            value: torch.Tensor | None = getattr(self, field.name)
            parts = counts[along.get(field.name, "atoms")]
            columns[field.name] = [None] * len(sizes) if value is None else torch.split(value, parts)
        return [Batch(**{name: column[i] for name, column in columns.items()}) for i in range(len(sizes))]  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class GraphSet:
    """Structures with their graphs in memory, from which batches are gathered."""

    structures: Structures
    graphs: Graphs

    @cached_property
    def _first_atoms(self) -> npt.NDArray[np.int64]:
        return _firsts(self.structures.n_atoms)

    @cached_property
    def _first_edges(self) -> npt.NDArray[np.int64]:
        return _firsts(self.graphs.n_edges)

    @cached_property
    def n_triplets(self) -> npt.NDArray[np.int64]:
        """[S] pairs of different edges that share their receiver, ordered: what enumerating angles is linear in."""
        structure = np.repeat(np.arange(len(self)), self.graphs.n_edges)
        atoms = self.graphs.receivers + self._first_atoms[structure]
        degree = np.bincount(atoms, minlength=len(self.structures.numbers))
        pairs = np.concatenate([[0], np.cumsum(degree * (degree - 1))])
        counts: npt.NDArray[np.int64] = np.diff(pairs[[*self._first_atoms, -1]])
        return counts

    def __len__(self) -> int:
        """Return the number of structures."""
        return len(self.structures.n_atoms)

    def batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Return the structures at `rows` as one batch, in that order."""
        data, graphs = self.structures, self.graphs
        n_atoms, n_edges = data.n_atoms[rows], graphs.n_edges[rows]
        atoms, edges = ranges(self._first_atoms[rows], n_atoms), ranges(self._first_edges[rows], n_edges)
        first_atom = np.repeat(_firsts(n_atoms), n_edges)
        return Batch(
            numbers=torch.from_numpy(data.numbers[atoms].astype(np.int64)),
            positions=torch.from_numpy(data.positions[atoms]),
            structure=torch.from_numpy(np.repeat(np.arange(len(rows)), n_atoms)),
            n_atoms=torch.from_numpy(n_atoms.astype(np.float32)),
            senders=torch.from_numpy(graphs.senders[edges] + first_atom),
            receivers=torch.from_numpy(graphs.receivers[edges] + first_atom),
            shifts=None if graphs.shifts is None else torch.from_numpy(graphs.shifts[edges]),
            energy=torch.from_numpy(data.residual[rows].astype(np.float32)),
            forces=torch.from_numpy(data.forces[atoms]),
        )

    def batches(
        self, order: npt.NDArray[np.int64], batch_atoms: int, device: torch.device, dtype: torch.dtype
    ) -> Iterator[tuple[npt.NDArray[np.int64], Batch]]:
        """Yield the structures of `order` in batches of at least `batch_atoms` atoms, each with its rows, on a device.

        What a batch holds does not depend on where in an order the iteration began. Many are gathered, converted and
        moved to the device at once and cut there: one by one, gathering takes as long as a tenth of a small step.
        """
        cuts = list(cut_batches(self.structures.n_atoms, order, batch_atoms))
        for start in range(0, len(cuts), GATHERED):
            group = cuts[start : start + GATHERED]
            sizes = [_sizes(self, rows) for rows in group]
            whole = self.batch(np.concatenate(group)).to(device, dtype)
            firsts = np.cumsum([(0, 0, 0), *sizes[:-1]], axis=0)
            per_atom, per_edge = ([size[axis] for size in sizes] for axis in (1, 2))
            first_structure = torch.from_numpy(np.repeat(firsts[:, 0], per_atom)).to(device)
            first_atom = torch.from_numpy(np.repeat(firsts[:, 1], per_edge)).to(device)
            whole = replace(
                whole,
                structure=whole.structure - first_structure,
                senders=whole.senders - first_atom,
                receivers=whole.receivers - first_atom,
            )
            yield from zip(group, whole.split(sizes), strict=True)


def _sizes(graphs: GraphSet, rows: npt.NDArray[np.int64]) -> tuple[int, int, int]:
    """Return the structures, atoms and edges at `rows`."""
    return len(rows), int(graphs.structures.n_atoms[rows].sum()), int(graphs.graphs.n_edges[rows].sum())


def load_graphs(store: Store, rows: npt.NDArray[np.int64], cutoff: float) -> GraphSet:
    """Read the structures at `rows` of a store and build their graphs within `cutoff` (Å)."""
    structures = store.read(rows)
    return GraphSet(structures=structures, graphs=build_graphs(structures, cutoff))


def cut_batches(
    n_atoms: npt.NDArray[np.int64], order: npt.NDArray[np.int64], batch_atoms: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Cut `order` into runs that hold at least `batch_atoms` atoms, the last structure of each taken whole."""
    total = np.cumsum(n_atoms[order])
    start = 0
    while start < len(order):
        seen = total[start - 1] if start else 0
        stop = min(int(np.searchsorted(total, seen + batch_atoms, side="left")) + 1, len(order))
        yield order[start:stop]
        start = stop


def epoch_order(n_structures: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order in which an epoch visits the structures of a subset; a function of its arguments alone."""
    return np.random.default_rng([seed, epoch]).permutation(n_structures)


def _firsts(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.cumsum(counts) - counts
