"""Structures of one size: atoms and edges cannot be told apart, and what a batch costs is known all the same."""

import numpy as np
import pytest
import torch

from raysweep.core.trial import TrialSpec
from raysweep.data.graphs.batches import GraphSet
from raysweep.data.store.manifest import Provenance
from raysweep.data.store.writing import write_store
from raysweep.data.structures import Structures
from raysweep.models.base import DatasetInfo
from raysweep.models.registry import create
from raysweep.training.build import cost_of, graphs_of, measure, objective
from raysweep.training.cost.flops import FlopMeter
from raysweep.training.cost.measure import measure_cost
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
    model = create(architecture, {"width": 8, "depth": 1}, forces, DatasetInfo(elements=(6,), scale=1.0), 0)
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


def written(folder, n_atoms, boxes):
    """A store of structures of so many atoms, each thrown into a box of so many Å."""
    rng, count, total = np.random.default_rng(1), len(n_atoms), int(np.sum(n_atoms))
    structures = Structures(
        numbers=np.full(total, 6, dtype=np.uint8),
        positions=np.concatenate([rng.uniform(0, box, (n, 3)) for n, box in zip(n_atoms, boxes, strict=True)]).astype(
            np.float32
        ),
        forces=rng.normal(size=(total, 3)).astype(np.float32),
        n_atoms=np.array(n_atoms, dtype=np.int64),
        energy=np.arange(count, dtype=np.float64),
        residual=np.full(count, np.nan, dtype=np.float32),
        group=np.array([f"group {i % 50}" for i in range(count)], dtype=object),
    )
    return write_store(folder, structures, Provenance(source="none", licence="none"), validation_fraction=0.1, seed=0)


@pytest.mark.parametrize("architecture", ["mpnn", "dimenetpp"])
@pytest.mark.parametrize(
    ("head", "rest"), [((3, 1.0), (5, 6.0)), ((3, 1.0), (3, 7.0)), ((1, 1.0), (6, 2.0)), ((1, 1.0), (1, 1.0))]
)
def test_a_head_that_is_alike_does_not_stand_for_a_rest_that_is_not(tmp_path, architecture, head, rest):
    probe = written(tmp_path / "probe", [1] * 150, [1.0] * 150)
    first = set(probe.read(probe.subset(64)).energy.astype(int))
    kinds = [head if i in first else rest for i in range(150)]
    store = written(tmp_path / "store", *zip(*kinds, strict=True))
    assert set(store.n_atoms(store.subset(64))) == {head[0]}
    spec = TrialSpec(
        architecture=architecture, size={"width": 8, "depth": 1}, forces="direct", learning_rate=0.01, structures=100,
        fingerprint=store.manifest.fingerprint, validation_structures=5, data_budgets=(100.0,), batch_atoms=40,
    )  # fmt: skip
    graphs, loss = graphs_of(str(store.location), spec.fingerprint, "train", 100, 5.0), objective(spec, store)
    model = create(architecture, spec.size, "direct", DatasetInfo(elements=(6,), scale=1.0), 0)
    cost = cost_of(model, graphs, loss, spec, store)
    assert cost.flops_per_atom == measure(spec, store).flops_per_atom  # what plans is what trains
    for rows in (np.arange(5), np.arange(60, 68), np.arange(90, 100)):
        batch = graphs.batch(rows)
        with FlopMeter() as meter:
            differentiate(loss.loss(model(batch), batch), list(model.parameters()))
        model.zero_grad(set_to_none=True)
        n_triplets = batch.n_triplets if model.triplets else 0
        foretold = cost.flops(1, len(rows), len(batch.numbers), len(batch.senders), n_triplets)
        assert foretold == pytest.approx(meter.total, rel=1e-6)
