"""The cost of inference: FLOPs of an atom-step, and the time of an MD step, the energy and forces of one structure.

The structure has the training data's density: it is made of structures of the training subset, none of which sees
another, so that an atom has as many neighbours within the cutoff as in training. The time is that of the network alone,
as it is evaluated: in the weights' precision, not compiled, without the search for neighbours. On one CPU thread it is
CPU time, so that a busy machine does not show in it; elsewhere it is wall-clock.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from raysweep.core.errors import SpaceError
from raysweep.data.graphs.batches import Batch, GraphSet
from raysweep.data.structures import ranges
from raysweep.training.cost.flops import FlopMeter
from raysweep.training.objective import Predictor

MD_ATOMS = (100, 1000)
"""Atoms of the structures that an MD step is timed on."""
_SECONDS = 0.1
"""Of one timing, after which no step begins once there are `_FEWEST`."""
_FEWEST, _MOST = 3, 30
"""Steps of a timing, of which the fastest counts: other processes make steps slower, never faster."""
LONGEST = 1.0
"""Seconds of a step beyond which it is not timed."""


@dataclass(frozen=True, kw_only=True)
class InferenceCost:
    """The cost of inference with one member of a family.

    Attributes:
        flops: of an atom-step, energies and forces of the data divided by its atoms; None where an operation that only
            evaluations run has no formula.
        md_ms: milliseconds of an MD step by the structure's number of atoms; a size whose step takes longer than
            `LONGEST`, or does not fit in the device's memory, is left out.
    """

    flops: float | None = None
    md_ms: Mapping[int, float] = field(default_factory=dict)


def measure_inference(
    model: Predictor, graphs: GraphSet, device: torch.device, dtype: torch.dtype, averaged: Predictor | None = None
) -> InferenceCost:
    """Count the FLOPs of an atom-step, and time MD steps on a device.

    Args:
        model: a network in evaluation mode, on the device; its FLOPs are counted.
        graphs: a sample of the training data.
        device: of the network.
        dtype: floating-point type of the batches.
        averaged: what is timed instead, where evaluations average over frames.
    """

    def step(batch: Batch) -> None:
        with torch.no_grad():
            (averaged or model)(batch)

    found: dict[int, float] = {}
    flops = _flops_per_atom(model, graphs.batch(np.arange(len(graphs))).to(device, dtype))
    for n_atoms in MD_ATOMS:
        expected = max((ms / 1e3 * n_atoms / smaller for smaller, ms in found.items()), default=0.0)
        if expected > LONGEST or (n_atoms > MD_ATOMS[0] and not found):
            break
        try:
            seconds = _fastest(step, md_structure(graphs, n_atoms).to(device, dtype), device)
        except torch.OutOfMemoryError:
            break
        if seconds <= LONGEST:
            found[n_atoms] = 1e3 * seconds
    return InferenceCost(flops=flops, md_ms=found)


def md_structure(graphs: GraphSet, n_atoms: int) -> Batch:
    """Make one structure of exactly `n_atoms` atoms with the density of a sample of structures.

    It is made of structures of the sample, those first whose atoms have about as many neighbours as the sample's mean;
    they are repeated where they do not suffice, the last one is cut short, and none sees another.
    """
    per_atom = graphs.n_edges / graphs.n_atoms
    mean = graphs.n_edges.sum() / graphs.n_atoms.sum()
    nearest = np.argsort(np.abs(per_atom - mean), kind="stable")
    order = np.resize(nearest, len(nearest) * (n_atoms // int(graphs.n_atoms.sum()) + 1))
    ends = np.cumsum(graphs.n_atoms[order])
    rows = order[: int(np.searchsorted(ends, n_atoms)) + 1]
    whole = graphs.source.take(rows)
    kept = whole.n_atoms.copy()
    kept[-1] -= whole.n_atoms.sum() - n_atoms
    atoms = ranges(whole.offsets[:-1], kept)
    cut = replace(
        whole,
        numbers=whole.numbers[atoms],
        positions=whole.positions[atoms],
        forces=whole.forces[atoms],
        n_atoms=kept,
    )
    parts = GraphSet(source=cut, cutoff=graphs.cutoff).batch(np.arange(len(rows)))
    return replace(
        parts,
        structure=torch.zeros_like(parts.structure),
        n_atoms=parts.n_atoms.sum()[None],
        energy=parts.energy.sum()[None],
    )


def _flops_per_atom(model: Predictor, batch: Batch) -> float | None:
    with torch.no_grad(), FlopMeter() as meter:
        model(batch)
    try:
        return meter.total / len(batch.numbers)
    except SpaceError:  # training steps have formulas, or the trial could not train
        return None


def _fastest(step: Callable[[Batch], None], batch: Batch, device: torch.device) -> float:
    """Seconds of the fastest of several steps; the first one warms up, and counts only where it is alone."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.thread_time if alone else time.perf_counter  # the former stops while other processes have the core
    times: list[float] = []
    while len(times) < _FEWEST or (sum(times) < _SECONDS and len(times) < _MOST):
        began = clock()
        step(batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - began)
        if times[-1] > LONGEST:
            break
    return min(times)
