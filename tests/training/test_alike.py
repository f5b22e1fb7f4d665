"""Structures of one size: atoms and edges cannot be told apart, and what a batch costs is known all the same."""

import numpy as np
import pytest
import torch

from raysweep.data.batches import GraphSet
from raysweep.data.structures import Structures
from raysweep.models.base import Surroundings
from raysweep.models.registry import create
from raysweep.training.cost import measure_cost
from raysweep.training.flops import FlopMeter
from raysweep.training.objective import Objective, differentiate

OBJECTIVE = Objective(rms_energy=1.0, rms_force=1.0)


def alike(count, n_atoms, box):
    """Structures of so many atoms; in a small box each atom sees every other."""
    rng = np.random.default_rng(1)
    return Structures(
        numbers=np.full(count * n_atoms, 6, dtype=np.uint8),
        positions=rng.uniform(0, box, (count * n_atoms, 3)).astype(np.float32),
        forces=rng.normal(size=(count * n_atoms, 3)).astype(np.float32),
        n_atoms=np.full(count, n_atoms),
        energy=rng.normal(size=count),
        residual=rng.normal(size=count).astype(np.float32),
        group=np.array([f"group {i}" for i in range(count)], dtype=object),
        cell=None, pbc=None, charge=None, spin=None,
    )  # fmt: skip


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize("architecture", ["mpnn", "dimenetpp"])
@pytest.mark.parametrize(("n_atoms", "box"), [(5, 2.0), (6, 9.0)])
def test_the_cost_of_every_batch_of_them_is_foretold(architecture, forces, n_atoms, box):
    graphs = GraphSet(source=alike(40, n_atoms, box), cutoff=5.0)
    model = create(architecture, {"width": 8, "depth": 1}, forces, Surroundings(elements=(6,), scale=1.0), 0)
    cost = measure_cost(model, graphs, OBJECTIVE, 30)
    for rows in (np.arange(3), np.arange(5, 22), np.arange(39, 40)):
        batch = graphs.batch(rows)
        with FlopMeter() as meter:
            differentiate(OBJECTIVE.loss(model(batch), batch), list(model.parameters()))
        model.zero_grad(set_to_none=True)
        n_triplets = batch.n_triplets if model.triplets else 0
        foretold = cost.flops(1, len(rows), len(batch.numbers), len(batch.senders), n_triplets)
        assert foretold == pytest.approx(meter.total, rel=1e-6)
    assert torch.isfinite(torch.tensor(cost.flops_per_atom))
