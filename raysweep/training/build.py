"""Construction of a trial's network, graphs and loss from its spec, and the measurement of its cost."""

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from raysweep.core.hashing import size_json
from raysweep.core.trial import TrialSpec
from raysweep.data.graphs.batches import GraphSet, load_graphs
from raysweep.data.store.store import Store, open_store
from raysweep.models.base import DatasetInfo, ForceField
from raysweep.models.guest_errors import guest_errors
from raysweep.models.randomness import COST, IsolatedState, generators_of, reseed
from raysweep.models.registry import check_size, create
from raysweep.training.cost.inference import InferenceCost, measure_inference
from raysweep.training.cost.measure import TrainingCost, measure_cost, tells_apart
from raysweep.training.device.precision import weight_dtype
from raysweep.training.objective import Objective
from raysweep.training.symmetry import FRAMES, frame_averaged, step_objective

COST_SAMPLE = 64
"""Number of structures on which the cost of a step is measured: usually the first of the subset."""

_INFERENCE: dict[tuple[object, ...], InferenceCost] = {}
"""Measured in this process, by all that they depend on."""


def build_model(spec: TrialSpec, store: Store) -> ForceField:
    """Build the force field of a spec with its initial weights, on the CPU."""
    dtype = weight_dtype(spec.precision)
    return create(spec.architecture, spec.size, spec.forces, dataset_info(store), spec.seed, dtype)


def build_base(spec: TrialSpec, store: Store) -> ForceField | None:
    """Build the member of the family at which the learning rate was tuned; None without muP."""
    if spec.base_size is None:
        return None
    return create(spec.architecture, spec.base_size, spec.forces, dataset_info(store), spec.seed)


def measure(spec: TrialSpec, store: Store, *, gpu: bool = False) -> TrainingCost:
    """Measure the training cost (FLOPs, seconds, memory) of the spec's model on a sample of its subset.

    Args:
        spec: the trajectory.
        store: its structures.
        gpu: measure on a GPU if this machine has one, otherwise on the CPU.
    """
    cutoff = check_size(spec.architecture, spec.size).cutoff
    n = min(COST_SAMPLE, spec.first_subset)
    graphs = graphs_of(str(store.location), spec.fingerprint, "train", n, cutoff)
    device = "cuda" if gpu and torch.cuda.is_available() else "cpu"
    with IsolatedState():
        model = build_model(spec, store).to(device)
        return cost_of(model, graphs, objective(spec, store), spec, store)


def dataset_info(store: Store) -> DatasetInfo:
    """The properties of a store that a network may use before training."""
    manifest = store.manifest
    return DatasetInfo(elements=tuple(sorted(manifest.reference_energies)), scale=manifest.rms_force)


def objective(spec: TrialSpec, store: Store) -> Objective:
    """The loss, scaled by statistics of the store's training split."""
    return Objective(
        rms_energy=store.manifest.rms_energy,
        rms_force=store.manifest.rms_force,
        energy_weight=spec.energy_weight,
        force_weight=spec.force_weight,
    )


def cost_of(model: ForceField, graphs: GraphSet, loss: Objective, spec: TrialSpec, store: Store) -> TrainingCost:
    """Measure the training cost of a model on its device, on a sample of its subset.

    Args:
        model: the network.
        graphs: the subset, or its first structures.
        loss: the objective.
        spec: the trajectory.
        store: its structures.
    """
    sample = graphs.head(min(COST_SAMPLE, spec.first_subset))
    if spec.first_subset > COST_SAMPLE and not tells_apart(sample, model.triplets):
        sample = _spread(spec, store, sample.cutoff)  # the head is uniform; the rest may not be
    return _measured(model, sample, loss, spec)


def inference_of(spec: TrialSpec, store: Store, device: torch.device) -> InferenceCost:
    """Measure the cost of inference with the spec's network, once in a process for all trials of its size.

    It is measured on another copy of the network, with its initial weights, so that no training notices.
    """
    network = spec.model_copy(update={"seed": 0, "structures": min(COST_SAMPLE, spec.first_subset), "nested": ()})
    key = (network.architecture, size_json(network.size), network.forces, network.precision, network.symmetry.frames)
    where = (str(store.location), network.fingerprint, network.structures, str(device), torch.get_num_threads())
    if (*key, *where) not in _INFERENCE:
        with IsolatedState():
            model = build_model(network, store).to(device).eval()
            cutoff = check_size(network.architecture, network.size).cutoff
            graphs = graphs_of(where[0], where[1], "train", network.structures, cutoff).head(network.structures)
            averaged = frame_averaged(model) if network.symmetry.frames else None
            with guest_errors(network.architecture, "an evaluation"):
                found = measure_inference(model, graphs, device, weight_dtype(network.precision), averaged)
            if averaged is not None and found.flops is not None:
                found = replace(found, flops=FRAMES * found.flops)
        _INFERENCE[*key, *where] = found
    return _INFERENCE[*key, *where]


def _spread(spec: TrialSpec, store: Store, cutoff: float) -> GraphSet:
    """Sample structures of all sizes from the subset, the smallest and the largest included, in its order."""
    rows = store.subset(spec.first_subset)
    by_size = np.argsort(store.n_atoms(rows), kind="stable")
    chosen = by_size[np.linspace(0, len(rows) - 1, COST_SAMPLE).astype(np.int64)]
    return load_graphs(store, rows[np.sort(chosen)], cutoff)


def _measured(model: ForceField, graphs: GraphSet, loss: Objective, spec: TrialSpec) -> TrainingCost:
    dtype = weight_dtype(spec.precision)
    like = torch.empty(0, device=next(model.parameters()).device, dtype=dtype)
    whole = step_objective(loss, spec.symmetry, model, spec.seed, 0, like)
    reseed(spec.seed, 0, COST, own=generators_of(model))
    name = f"architecture {spec.architecture!r}"
    with guest_errors(spec.architecture, "a training step"):
        return measure_cost(model, graphs, whole, math.ceil(spec.batch_atoms / spec.accumulate), dtype=dtype, name=name)


@lru_cache(maxsize=4)
def graphs_of(location: str, fingerprint: str, part: str, n: int, cutoff: float) -> GraphSet:
    """Graphs of a split of a store, cached by fingerprint for later trials in the same process."""
    store = open_store(location)
    rows = store.subset(n) if part == "train" else store.validation(n)
    return load_graphs(store, rows, cutoff)
