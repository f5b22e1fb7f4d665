"""Batches of graphs: many structures in one set of tensors, split by atom count, in an order set by the seed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import chain, islice, pairwise

import numpy as np
import numpy.typing as npt
import torch
from pydantic import JsonValue

from raysweep.data.graphs.cached import cached_graphs
from raysweep.data.graphs.neighbours import Graphs, build_graphs
from raysweep.data.store.store import Store
from raysweep.data.structures import Rows, Structures

GATHERED = 32
ATOMS_AT_ONCE = 32_768
"""Batches that are read and moved to the device at once, and the maximum number of atoms in them."""
STRUCTURES_AT_ONCE = 4096
"""Structures whose edges are counted at once."""
ORDER_AT_ONCE = 1_000_000
"""Structures of an order that are split into batches at once."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Structures in one set of tensors: S structures, A atoms, E directed edges, edges sorted by receiver.

    Attributes:
        numbers: [A] int64, atomic numbers.
        positions: [A, 3] float, Å.
        structure: [A] int64, which structure an atom belongs to, ascending.
        n_atoms: [S] float, atoms of each structure.
        senders: [E] int64, the neighbour's atom index.
        receivers: [E] int64, the atom that receives the message, ascending.
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
        """Edge vectors [E, 3] in Å, from each receiver to the periodic image of its sender."""
        x = self.positions
        vectors = x.index_select(0, self.senders) - x.index_select(0, self.receivers)
        return vectors if self.shifts is None else vectors + self.shifts

    @property
    def n_triplets(self) -> int:
        """Pairs of different edges that share their receiver, ordered."""
        degree = torch.bincount(self.receivers)
        return int((degree * (degree - 1)).sum())

    def to(self, device: torch.device, dtype: torch.dtype) -> "Batch":
        """Move the batch to a device, its floating-point tensors to `dtype`."""
        moved: dict[str, torch.Tensor | None] = {}
        for field in fields(self):
            value: torch.Tensor | None = getattr(self, field.name)
            if value is not None:
                value = value.to(device, dtype if value.is_floating_point() else value.dtype)
            moved[field.name] = value
        return Batch(**moved)  # type: ignore[arg-type]

    def parts(self, count: int) -> list["Batch"]:
        """Divide the structures, in their order, into at most `count` batches of about equal numbers of atoms."""
        ends = self.n_atoms.double().cumsum(0).cpu().numpy()
        cuts = np.searchsorted(ends, ends[-1] * np.arange(1, count) / count - 1e-6) + 1
        bounds = np.unique([0, *cuts, len(ends)])
        edges = torch.bincount(self.structure.index_select(0, self.receivers), minlength=len(ends)).cumsum(0)
        totals = [(0, 0, 0), *((int(end), int(ends[end - 1]), int(edges[end - 1])) for end in bounds[1:])]
        sizes = [tuple(np.subtract(after, before).tolist()) for before, after in pairwise(totals)]
        return [
            replace(
                part,
                structure=part.structure - structures,
                senders=part.senders - atoms,
                receivers=part.receivers - atoms,
            )
            for part, (structures, atoms, _) in zip(self.split(sizes), totals, strict=False)
        ]

    def split(self, sizes: list[tuple[int, int, int]]) -> list["Batch"]:
        """Split the tensors into parts of given numbers of structures, atoms and edges; indices stay as they are."""
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
    """A set of structures, and batches of them whose graphs are built with each batch.

    Memory depends on the size of a batch, not on the number of structures, except for `n_atoms` (8 bytes each).

    Attributes:
        source: the structures.
        cutoff: Å; atoms closer than this are neighbours.
        graphs: the source of the graphs; by default they are built for each batch.
    """

    source: Rows
    cutoff: float
    graphs: Callable[[npt.NDArray[np.int64], Structures], Graphs] | None = None

    @property
    def n_atoms(self) -> npt.NDArray[np.int64]:
        """[S] atoms of each structure."""
        return self.source.n_atoms

    @cached_property
    def _extents(self) -> npt.NDArray[np.int64]:
        """[S, 2] edges and triplets of each structure: a pass over all of them."""
        found = []
        for start in range(0, len(self), STRUCTURES_AT_ONCE):
            structures, graphs = self._read(np.arange(start, min(start + STRUCTURES_AT_ONCE, len(self))))
            atoms = graphs.receivers + np.repeat(structures.offsets[:-1], graphs.n_edges)
            degree = np.bincount(atoms, minlength=len(structures.numbers))
            pairs = np.concatenate([[0], np.cumsum(degree * (degree - 1))])
            found.append(np.stack([graphs.n_edges, np.diff(pairs[structures.offsets])], axis=1))
        return np.concatenate(found) if found else np.zeros((0, 2), dtype=np.int64)

    @property
    def n_edges(self) -> npt.NDArray[np.int64]:
        """[S] edges of each structure; the first call builds all graphs (millions of atoms a second)."""
        return self._extents[:, 0]

    @property
    def n_triplets(self) -> npt.NDArray[np.int64]:
        """[S] ordered pairs of different edges with one receiver: the cost of enumerating angles is linear in them."""
        return self._extents[:, 1]

    def __len__(self) -> int:
        """Return the number of structures."""
        return len(self.n_atoms)

    def head(self, n: int) -> "GraphSet":
        """Return the first n structures, read into memory."""
        return GraphSet(source=self.source.take(np.arange(n)), cutoff=self.cutoff)

    def batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Return the structures at `rows` as one batch, in that order."""
        return self._batch(rows)[0]

    def batches(
        self, order: npt.NDArray[np.int64], batch_atoms: int, device: torch.device, dtype: torch.dtype
    ) -> Iterator[tuple[npt.NDArray[np.int64], Batch]]:
        """Yield the structures of `order` in batches of at least `batch_atoms` atoms, each with its rows, on a device.

        The content of a batch does not depend on where in an order the iteration began.
        """
        return chain.from_iterable(self.groups(order, batch_atoms, device, dtype))

    def groups(
        self, order: npt.NDArray[np.int64], batch_atoms: int, device: torch.device, dtype: torch.dtype
    ) -> Iterator[list[tuple[npt.NDArray[np.int64], Batch]]]:
        """Yield the batches in groups that are read, converted and moved to the device at once, and split there.

        One by one, that takes a tenth of the time of a small step.
        """
        at_once = min(max(ATOMS_AT_ONCE // batch_atoms, 1), GATHERED)
        cuts = split_batches(self.n_atoms, order, batch_atoms)
        while group := list(islice(cuts, at_once)):
            whole, n_edges = self._batch(np.concatenate(group))
            ends = np.cumsum([len(rows) for rows in group])
            per_atom = np.add.reduceat(self.n_atoms[np.concatenate(group)], ends - [len(rows) for rows in group])
            per_edge = np.add.reduceat(n_edges, ends - [len(rows) for rows in group])
            sizes = [
                (len(rows), int(atoms), int(edges))
                for rows, atoms, edges in zip(group, per_atom, per_edge, strict=True)
            ]
            firsts = np.cumsum([(0, 0, 0), *sizes[:-1]], axis=0)
            whole = whole.to(device, dtype)
            first_structure = torch.from_numpy(np.repeat(firsts[:, 0], per_atom)).to(device)
            first_atom = torch.from_numpy(np.repeat(firsts[:, 1], per_edge)).to(device)
            whole = replace(
                whole,
                structure=whole.structure - first_structure,
                senders=whole.senders - first_atom,
                receivers=whole.receivers - first_atom,
            )
            yield list(zip(group, whole.split(sizes), strict=True))

    def _read(self, rows: npt.NDArray[np.int64]) -> tuple[Structures, Graphs]:
        structures = self.source.take(rows)
        if self.graphs is None:
            return structures, build_graphs(structures, self.cutoff)
        return structures, self.graphs(rows, structures)

    def _batch(self, rows: npt.NDArray[np.int64]) -> tuple[Batch, npt.NDArray[np.int64]]:
        """One batch, and the edges of each of its structures."""
        data, graphs = self._read(rows)
        first_atom = np.repeat(data.offsets[:-1], graphs.n_edges)
        batch = Batch(
            numbers=torch.from_numpy(data.numbers.astype(np.int64)),
            positions=torch.from_numpy(data.positions),
            structure=torch.from_numpy(np.repeat(np.arange(len(rows)), data.n_atoms)),
            n_atoms=torch.from_numpy(data.n_atoms.astype(np.float32)),
            senders=torch.from_numpy(graphs.senders + first_atom),
            receivers=torch.from_numpy(graphs.receivers + first_atom),
            shifts=None if graphs.shifts is None else torch.from_numpy(graphs.shifts),
            energy=torch.from_numpy(data.residual),
            forces=torch.from_numpy(data.forces),
        )
        return batch, graphs.n_edges


def load_graphs(store: Store, rows: npt.NDArray[np.int64], cutoff: float) -> GraphSet:
    """Open the structures at ascending `rows` of a store, with graphs within `cutoff` (Å), to be read batch by batch.

    Where structures are periodic, the graphs are cached next to the store (cached.py).
    """
    source, kept = StoreRows(store, rows), cached_graphs(store, rows, cutoff)
    graphs = None if kept is None else lambda chosen, structures: kept(source.rows(chosen), structures)
    return GraphSet(source=source, cutoff=cutoff, graphs=graphs)


def neighbourhood(store: Store, cutoff: float, sample: int = 4096) -> dict[str, JsonValue]:
    """Count the mean edges and triplets per atom within `cutoff` (Å) over the first training structures."""
    n = min(sample, store.manifest.train_structures)
    graphs = GraphSet(source=StoreRows(store, store.subset(n)), cutoff=cutoff)
    atoms = float(graphs.n_atoms.sum())
    return {
        "cutoff": cutoff,
        "edges_per_atom": float(graphs.n_edges.sum()) / atoms,
        "triplets_per_atom": float(graphs.n_triplets.sum()) / atoms,
        "edges_counted_in": n,
    }


class StoreRows:
    """Ascending rows of a store as a source of batches, read from its mapped files when needed."""

    def __init__(self, store: Store, rows: npt.NDArray[np.int64]) -> None:
        self._store = store
        in_a_row = len(rows) > 0 and bool((np.diff(rows) == 1).all())
        self._rows = None if in_a_row else rows
        self._first = int(rows[0]) if in_a_row else 0
        self.n_atoms = store.n_atoms(rows)

    def take(self, rows: npt.NDArray[np.int64], /) -> Structures:
        """Return the structures at `rows` of these rows, in that order."""
        return self._store.read(self.rows(rows))

    def rows(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The rows of the store that the structures at `rows` of these rows are."""
        return rows + self._first if self._rows is None else self._rows[rows]


def split_batches(
    n_atoms: npt.NDArray[np.int64], order: npt.NDArray[np.int64], batch_atoms: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Split `order` into runs of at least `batch_atoms` atoms, without splitting a structure."""
    begin, at_once = 0, max(ORDER_AT_ONCE, batch_atoms)
    while begin < len(order):  # in pieces, so that an order of millions is not summed as a whole
        piece = order[begin : begin + at_once]
        total = np.cumsum(n_atoms[piece])
        start, last = 0, begin + len(piece) == len(order)
        while start < len(piece):
            seen = total[start - 1] if start else 0
            stop = int(np.searchsorted(total, seen + batch_atoms, side="left")) + 1
            if stop > len(piece) and not last:
                break
            yield piece[start:stop]
            start = min(stop, len(piece))
        begin += start


def epoch_order(n_structures: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The order in which an epoch visits the structures of a subset; deterministic in its arguments."""
    return np.random.default_rng([seed, epoch]).permutation(n_structures)
