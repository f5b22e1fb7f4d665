"""What inference costs: FLOPs of an atom-step, and the time of an MD step of a structure like those of the data."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from raysweep.core.points import TIMED
from raysweep.data.graphs.batches import GraphSet
from raysweep.models.base import Prediction
from raysweep.training import build
from raysweep.training.build import inference_of, measure
from raysweep.training.cost import inference
from raysweep.training.cost.inference import md_structure, measure_inference
from raysweep.training.loop import train

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def one_thread_and_nothing_measured():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    build._INFERENCE.clear()
    yield
    build._INFERENCE.clear()
    torch.set_num_threads(before)


@pytest.fixture
def graphs(spec, store) -> GraphSet:
    return build.graphs_of(str(store.location), spec.fingerprint, "train", spec.structures, 5.0).head(64)


@pytest.mark.parametrize("n_atoms", [1, 100, 1000, 2500])
def test_the_structure_of_an_md_step_has_exactly_its_atoms_and_the_neighbours_of_the_data(graphs, n_atoms):
    one = md_structure(graphs, n_atoms)
    assert one.n_atoms.tolist() == [n_atoms]
    assert len(one.energy) == 1
    assert len(one.numbers) == len(one.positions) == len(one.structure) == len(one.forces) == n_atoms
    if n_atoms >= 100:
        assert len(one.senders) / n_atoms == pytest.approx(graphs.n_edges.sum() / graphs.n_atoms.sum(), rel=0.1)
    edges = set(zip(one.senders.tolist(), one.receivers.tolist(), strict=True))
    assert {(receiver, sender) for sender, receiver in edges} == edges
    assert (one.vectors().norm(dim=1) < 5.0).all()
    again = md_structure(graphs, n_atoms)
    assert torch.equal(one.positions, again.positions)
    assert torch.equal(one.senders, again.senders)


@pytest.mark.parametrize("forces", ["direct", "conservative"])
def test_points_carry_what_inference_costs_and_are_else_the_same_to_the_bit(spec, store, forces):
    spec = spec.model_copy(update={"forces": forces})
    plain, costed = (list(train(spec, store, device="cpu", inference=asked)) for asked in (False, True))
    assert all((p.inference_flops, p.md_ms_100, p.md_ms_1000) == (None, None, None) for p in plain)
    unseen = dict.fromkeys((*TIMED, "inference_flops"))
    assert [replace(p, **unseen) for p in costed] == [replace(p, **unseen) for p in plain]
    (flops,) = {p.inference_flops for p in costed}
    assert 2.0 < measure(spec, store).flops_per_atom / flops < 3.2
    for p in costed:
        assert 0 < p.md_ms_100 < p.md_ms_1000 < 20 * p.md_ms_100


def test_a_size_is_measured_once_in_a_process_and_each_force_mode_by_itself(spec, store, monkeypatch):
    asked = []

    def counting(*arguments):
        asked.append(arguments)
        return inference.InferenceCost(flops=float(len(asked)))

    monkeypatch.setattr(build, "measure_inference", counting)
    other_seed = spec.model_copy(update={"seed": 5, "learning_rate": 0.001, "data_budgets": (300.0,)})
    assert inference_of(spec, store, CPU) == inference_of(other_seed, store, CPU)
    for change in ({"size": {"width": 4, "l_max": 1}}, {"forces": "direct"}, {"precision": "float64"}):
        inference_of(spec.model_copy(update=change), store, CPU)
    assert len(asked) == 4


def test_every_evaluation_with_frames_costs_four(spec, store):
    mpnn = spec.model_copy(update={"architecture": "mpnn", "size": {"width": 32}, "base_size": None})
    framed = mpnn.model_copy(update={"symmetry": mpnn.symmetry.model_copy(update={"frames": True})})
    one, four = (inference_of(each, store, CPU).flops for each in (mpnn, framed))
    assert four / one == pytest.approx(4.0, rel=0.05)


def _slow(seconds_per_atom: float):
    def predict(batch):
        end = time.thread_time() + seconds_per_atom * len(batch.numbers)
        while time.thread_time() < end:
            pass
        return Prediction(energy=batch.energy, forces=batch.forces)

    return predict


def test_the_fastest_step_counts_and_a_size_that_takes_too_long_is_left_out(graphs, monkeypatch):
    monkeypatch.setattr(inference, "LONGEST", 0.02)
    assert measure_inference(_slow(1e-5), graphs, CPU, torch.float32).md_ms == pytest.approx(
        {100: 1.0, 1000: 10.0}, rel=0.3
    )
    assert list(measure_inference(_slow(1e-4), graphs, CPU, torch.float32).md_ms) == [100]
    assert measure_inference(_slow(1e-3), graphs, CPU, torch.float32).md_ms == {}


def test_a_structure_that_does_not_fit_in_memory_is_left_out(graphs):
    def predict(batch):
        if len(batch.numbers) == 1000:
            raise torch.OutOfMemoryError
        return Prediction(energy=batch.energy, forces=batch.forces)

    assert list(measure_inference(predict, graphs, CPU, torch.float32).md_ms) == [100]


def test_flops_are_none_where_an_evaluation_runs_what_has_no_formula(graphs):
    def predict(batch):
        _ = np.asarray(batch.positions.numpy()).sum()
        return Prediction(energy=batch.energy, forces=batch.forces)

    found = measure_inference(predict, graphs, CPU, torch.float32)
    assert found.flops is None
    assert set(found.md_ms) == {100, 1000}
