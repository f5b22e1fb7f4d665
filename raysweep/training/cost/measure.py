"""The cost of training: floating-point operations counted on real batches, and device seconds.

Convention (see docs/training.md): a multiply-add is two operations. Matrix products are counted by torch's formulas,
every elementwise operation (transcendental ones too) as one operation per element of its result, every reduction and
scatter as one per element that goes in, over forward, loss and all backward passes. Moving data (gathers, copies,
views) and the optimizer's update are not counted.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from raysweep.core.errors import DataError, SpaceError
from raysweep.data.graphs.batches import GraphSet, split_batches
from raysweep.models.base import ForceField
from raysweep.training.cost.flops import FlopMeter
from raysweep.training.hidden_state import HiddenState
from raysweep.training.objective import Objective, differentiate

RowIndices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """The cost of training one member of a family.

    Attributes:
        params: N, trainable parameters.
        flops_per_step, flops_per_structure, flops_per_atom_alone, flops_per_edge, flops_per_triplet: a step over S
            structures, A atoms, E edges and T triplets (`GraphSet.n_triplets`) takes the first plus S, A, E and T times
            the others; the last is 0 but for architectures that enumerate triplets.
        flops_per_atom: the same per atom of the data, its edges and its share of a structure and a step included.
        edges_per_atom: of the data within the cutoff.
        seconds_per_atom: device seconds of forward and backward per atom, on the device of the model.
        peak_memory, device_memory: GPU memory in bytes that a process with such a step holds, and that the GPU has;
            None on a CPU.
    """

    params: int
    flops_per_step: float
    flops_per_structure: float
    flops_per_atom_alone: float
    flops_per_edge: float
    flops_per_triplet: float
    flops_per_atom: float
    edges_per_atom: float
    seconds_per_atom: float
    peak_memory: int | None = None
    device_memory: int | None = None

    def flops(
        self, n_steps: float, n_structures: float, n_atoms: float, n_edges: float, n_triplets: float = 0.0
    ) -> float:
        """FLOPs of that many steps, structures, atoms, edges and triplets; a float, since totals exceed int64."""
        return (
            n_steps * self.flops_per_step
            + n_structures * self.flops_per_structure
            + n_atoms * self.flops_per_atom_alone
            + n_edges * self.flops_per_edge
            + n_triplets * self.flops_per_triplet
        )


CONTEXT_BYTES = 600 * 2**20
"""GPU memory that the CUDA context of a process takes, which no allocator counts."""


class Stopwatch:
    """Sums the device seconds between `start` and `stop`; on a GPU they are measured with CUDA events."""

    def __init__(self, device: torch.device, seconds: float = 0.0) -> None:
        self._cuda = device.type == "cuda"
        self._seconds = seconds
        self._pairs: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._began = 0.0

    def start(self) -> None:
        """Begin an interval of training."""
        if self._cuda:
            begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            begin.record()
            end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            self._pairs.append((begin, end))
        else:
            self._began = time.perf_counter()

    def stop(self) -> None:
        """End the interval."""
        if self._cuda:
            self._pairs[-1][1].record()
        else:
            self._seconds += time.perf_counter() - self._began

    @property
    def seconds(self) -> float:
        """Total of all intervals so far."""
        if self._pairs:
            torch.cuda.synchronize()
            self._seconds += sum(begin.elapsed_time(end) for begin, end in self._pairs) / 1e3
            self._pairs.clear()
        return self._seconds


def measure_cost(
    model: ForceField,
    graphs: GraphSet,
    objective: Objective,
    batch_atoms: int,
    *,
    dtype: torch.dtype = torch.float32,
    name: str | None = None,
) -> TrainingCost:
    """Count a training step's operations on real batches and time it on the model's device.

    Every operation's count is linear in the structures, atoms and edges of a batch (and in its triplets, for the
    architectures that enumerate them), with whole coefficients: those are solved for on small batches of different
    composition, rounded, and checked on a full batch. Where all structures are alike (molecules of one size), atoms and
    edges cannot be told apart; the minimum-norm solution then predicts every batch of such structures exactly.

    Args:
        model: the network, on the device where it will train; its gradients are cleared, weights and buffers kept.
        graphs: a sample of the training data, at least 16 structures.
        objective: the loss.
        batch_atoms: atoms per batch, as in training.
        dtype: floating-point type of the batches.
        name: of the network, for errors.

    Raises:
        DataError: the sample is too small.
        SpaceError: the network runs an operation that has no formula, or changes the shapes of its state.
    """
    device = next(model.parameters()).device
    weights = [trained for trained in model.parameters() if trained.requires_grad]
    of = name or type(model).__name__

    def step(rows: RowIndices) -> None:
        batch = graphs.batch(rows).to(device, dtype)
        differentiate(objective.loss(model(batch), batch), weights)
        for trained in weights:
            trained.grad = None

    watch, on_gpu = Stopwatch(device), device.type == "cuda"
    full = list(split_batches(graphs.n_atoms, np.arange(len(graphs)), batch_atoms))[:3]
    with _as_in_training(model, of):
        coefficients = _coefficients(step, graphs, batch_atoms, model.triplets, of)
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
        for rows in full:
            watch.start()
            step(rows)
            watch.stop()
    sample = _extent(graphs, np.arange(len(graphs)))
    _, _, n_atoms, n_edges, _ = sample
    sample[0] = n_atoms / batch_atoms
    return TrainingCost(
        params=sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        flops_per_step=float(coefficients[0]),
        flops_per_structure=float(coefficients[1]),
        flops_per_atom_alone=float(coefficients[2]),
        flops_per_edge=float(coefficients[3]),
        flops_per_triplet=float(coefficients[4]),
        flops_per_atom=float(coefficients @ sample / n_atoms),
        edges_per_atom=float(n_edges / n_atoms),
        seconds_per_atom=watch.seconds / float(sum(graphs.n_atoms[rows].sum() for rows in full)),
        peak_memory=torch.cuda.max_memory_reserved(device) + CONTEXT_BYTES if on_gpu else None,
        device_memory=torch.cuda.get_device_properties(device).total_memory if on_gpu else None,
    )


@contextmanager
def _as_in_training(model: ForceField, of: str) -> Iterator[None]:
    """Put a network in training mode for the block; restore its mode and state afterwards.

    Raises:
        SpaceError: the shapes of its state have changed.
    """
    was_training, kept = model.training, HiddenState(model)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    try:
        yield
    finally:
        model.train(was_training)
    _refuse_growing(state, model.state_dict(), of)
    model.load_state_dict(state)
    kept.load({}, {})


def _refuse_growing(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor], of: str) -> None:
    """Refuse a network whose steps change the shapes of its state, which no checkpoint would fit."""
    for key in {**before, **after}:
        shapes = [list(state[key].shape) if key in state else None for state in (before, after)]
        if shapes[0] != shapes[1]:
            raise SpaceError(
                f"{of}: the state {key!r} is {shapes[0]} where the network is built and {shapes[1]} after a few "
                "steps, so that no checkpoint fits it. Give the buffer its final shape where the network is built."
            )


def _coefficients(
    step: Callable[[RowIndices], None], graphs: GraphSet, batch_atoms: int, triplets: bool, of: str
) -> npt.NDArray[np.float64]:
    """Solve for the operations per step, structure, atom, edge and triplet; the last is 0 unless `triplets`."""
    if len(graphs) < 16:
        raise DataError(f"{len(graphs)} structures are too few to measure the cost of a step on; give at least 16.")
    small = [np.arange(start, start + n) for start, n in ((0, 1), (1, 1), (2, 2), (4, 3), (7, 1), (8, 4), (12, 4))]
    unknown = 5 if triplets else 4
    if _rank(graphs, small, unknown) < unknown:  # what tells them apart may come later in the sample
        small += [np.arange(start, min(start + n, len(graphs))) for n in (1, 4) for start in range(16, len(graphs), 4)]
    counts, extents = _counted(step, graphs, small, of)
    coefficients = np.zeros(5)
    coefficients[:unknown] = np.linalg.lstsq(extents[:, :unknown], counts, rcond=None)[0]
    if _rank(graphs, small, unknown) == unknown:
        coefficients = np.round(coefficients)
    # Otherwise all structures are alike, say of one size: all solutions agree on such batches, and any will do.
    full = next(split_batches(graphs.n_atoms, np.arange(len(graphs)), batch_atoms))
    (counted,), (extent,) = _counted(step, graphs, [full], of)
    if abs(coefficients @ extent / counted - 1) >= 1e-3:
        raise SpaceError(
            f"the training FLOPs of {of} are not a sum over structures, atoms and edges{', triplets' * triplets}: a "
            f"batch takes {counted:g}, and other batches predict {coefficients @ extent:g}. The work of a step may "
            "depend on these numbers alone (docs/models.md, 'Add one')."
        )
    return coefficients


def tells_apart(graphs: GraphSet, triplets: bool) -> bool:
    """Whether structures differ enough to separate the operations of an atom, an edge (and a triplet)."""
    unknown = 5 if triplets else 4
    return _rank(graphs, [np.array([0, 1]), *(np.array([row]) for row in range(len(graphs)))], unknown) == unknown


def _rank(graphs: GraphSet, batches: list[RowIndices], unknown: int) -> int:
    extents = np.array([_extent(graphs, rows)[:unknown] for rows in batches])
    return int(np.linalg.matrix_rank(extents))


def _counted(
    step: Callable[[RowIndices], None], graphs: GraphSet, batches: list[RowIndices], of: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Count the operations of a step on each batch [B]; also each batch's extent [B, 5]."""
    counts = []
    for rows in batches:
        with FlopMeter(of) as meter:
            step(rows)
        counts.append(meter.total)
    return np.array(counts, dtype=np.float64), np.array([_extent(graphs, rows) for rows in batches])


def _extent(graphs: GraphSet, rows: RowIndices) -> npt.NDArray[np.float64]:
    """1, and the numbers of structures, atoms, edges and triplets at `rows`."""
    sizes = (graphs.n_atoms, graphs.n_edges, graphs.n_triplets)
    return np.array([1, len(rows), *(size[rows].sum() for size in sizes)], dtype=np.float64)
