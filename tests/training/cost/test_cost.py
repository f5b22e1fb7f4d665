"""The cost meter against counts made by hand."""

import pytest
import torch

from raysweep.core.errors import DataError
from raysweep.training.cost.flops import FlopMeter
from raysweep.training.cost.measure import Stopwatch, measure_cost
from raysweep.training.objective import Errors, differentiate, evaluate
from raysweep.training.trajectory import Trajectory


def test_products_pointwise_and_reductions_are_counted_once_each():
    x, y = torch.ones(3, 5), torch.ones(5, 7)
    with FlopMeter() as meter:
        z = torch.tanh(x @ y)
        z.sum()
        z[:, :2].clone()
    assert meter.products == 2 * 3 * 5 * 7
    assert meter.pointwise == 3 * 7 + 3 * 7
    assert meter.total == meter.products + meter.pointwise


def test_backward_passes_are_counted():
    x, w = torch.ones(3, 5), torch.ones(5, 7, requires_grad=True)
    with FlopMeter() as meter:
        (x @ w).sum().backward()
    assert meter.products == 2 * (2 * 3 * 5 * 7)


def analytic_products_of_mpnn(width, depth, n_edge, n_atoms, n_edges):
    """Matrix products of a direct-force training step, by hand: see raysweep/models/architectures/mpnn.py."""
    node = 2 * n_atoms * width * width
    edge = 2 * n_edges * n_edge * width
    forward_layer = 5 * node + edge
    # Backward: a product for the weight and one for the input; edge features need no gradient.
    backward_layer = 2 * 5 * node + edge
    readout = 3 * (2 * node + 2 * n_atoms * width * (1 + 3))
    return depth * (forward_layer + backward_layer) + readout


def test_the_meter_agrees_with_a_count_by_hand(spec, store):
    direct = spec.model_copy(
        update={"architecture": "mpnn", "size": {"width": 16, "depth": 2}, "base_size": None, "forces": "direct"}
    )
    run = Trajectory(direct, store, torch.device("cpu"))
    rows = torch.arange(8).numpy()
    batch = run.graphs.batch(rows)
    run.model.train()
    with FlopMeter() as meter:
        differentiate(run.objective.loss(run.model(batch), batch), run.optimizer.parameters)
    by_hand = analytic_products_of_mpnn(16, 2, 8 + 6, len(batch.numbers), len(batch.senders))
    assert meter.products == pytest.approx(by_hand, rel=1e-6)
    total = run.cost.flops(1, 8, len(batch.numbers), len(batch.senders))
    assert total == pytest.approx(meter.total, rel=1e-6)


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize(("architecture", "size"), [("mpnn", {}), ("egnn", {}), ("tensor", {"l_max": 2})])
def test_the_count_of_any_batch_follows_from_its_structures_atoms_and_edges(spec, store, architecture, size, forces):
    size = {"width": 8, **size}
    trial = spec.model_copy(update={"architecture": architecture, "size": size, "base_size": None, "forces": forces})
    run = Trajectory(trial, store, torch.device("cpu"))
    batch = run.graphs.batch(torch.arange(100, 117).numpy())
    run.model.train()
    with FlopMeter() as meter:
        differentiate(run.objective.loss(run.model(batch), batch), run.optimizer.parameters)
    predicted = run.cost.flops(1, 17, len(batch.numbers), len(batch.senders))
    assert predicted == pytest.approx(meter.total, rel=1e-4)


def test_conservative_forces_cost_about_twice_the_direct_ones(spec, store):
    costs = {
        forces: Trajectory(spec.model_copy(update={"forces": forces}), store, torch.device("cpu")).cost
        for forces in ("direct", "conservative")
    }
    assert 1.5 < costs["conservative"].flops_per_edge / costs["direct"].flops_per_edge < 3.5


def test_too_small_a_sample_is_refused(spec, store):
    run = Trajectory(spec, store, torch.device("cpu"))
    with pytest.raises(DataError, match="16"):
        measure_cost(run.model, run.graphs.head(5), run.objective, 60)


def test_a_stopwatch_adds_up_its_stretches():
    watch = Stopwatch(torch.device("cpu"), seconds=10.0)
    watch.start()
    watch.stop()
    first = watch.seconds
    watch.start()
    watch.stop()
    assert 10.0 < first < watch.seconds < 10.5


def test_the_trivial_loss_is_that_of_reference_energies_and_zero_forces(spec, store):
    run = Trajectory(spec, store, torch.device("cpu"))
    labels = store.read(store.validation(30))
    energy = float(abs(labels.residual.astype(float) / labels.n_atoms).mean())
    force = float((labels.forces.astype(float) ** 2).sum(axis=1).__pow__(0.5).mean())
    expected = energy / store.manifest.rms_energy + force / store.manifest.rms_force
    errors = evaluate(None, run.validation, run.objective)
    assert isinstance(errors, Errors)
    assert errors.loss == pytest.approx(expected, rel=1e-6)
    assert errors.energy_mae == pytest.approx(energy, rel=1e-6)
    assert errors.force_l2 == pytest.approx(force, rel=1e-6)
    assert run.trivial_loss == errors.loss
