"""Points, budgets, resuming and divergence of one trajectory."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from raysweep.core.errors import DataError, DivergedError
from raysweep.core.points import TIMED
from raysweep.training.checkpoint import newest, save
from raysweep.training.cost.measure import Stopwatch
from raysweep.training.loop import measure, train
from raysweep.training.trajectory import Trajectory

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def but_timed(points):
    return [replace(point, **dict.fromkeys(TIMED)) for point in points]


def test_a_point_is_taken_at_the_first_step_that_reaches_each_budget(spec, store):
    points = list(train(spec, store, device="cpu"))
    assert sorted(p.budget for p in points if p.budget_kind == "data") == [500.0, 1200.0, 3000.0]
    assert sorted(p.budget for p in points if p.budget_kind == "flops") == [6e7, 1e8]
    assert [p.step for p in points] == sorted(p.step for p in points)
    cost = measure(spec, store)
    for p in points:
        reached = p.data if p.budget_kind == "data" else p.flops
        assert p.budget <= reached
        # One batch earlier the budget was not reached: a batch holds at least 60 atoms and at most 60 and one molecule.
        step = 60 + 30 if p.budget_kind == "data" else (60 + 30) * 1.6 * cost.flops_per_atom
        assert reached - step < p.budget
        assert p.flops == cost.flops(p.step, p.structures, p.data, p.edges)
        assert p.params == cost.params == sum(w.numel() for w in Trajectory(spec, store, CPU).model.parameters())
        assert p.unique_data == p.data
        assert p.seconds > 0
        assert np.isfinite([p.loss, p.train_loss, p.gradient_norm, p.energy_mae, p.force_l2]).all()
    assert points[-1].train_loss < 0.9 * points[0].train_loss


def test_the_whole_subset_is_seen_once_in_an_order_of_the_seed(spec, store):
    total = float(store.read(store.subset(300)).n_atoms.sum())
    everything = spec.model_copy(update={"data_budgets": (total,), "flops_budgets": ()})
    (point,) = train(everything, store, device="cpu")
    assert (point.data, point.unique_data, point.structures) == (total, total, 300.0)
    (other,) = train(everything.model_copy(update={"seed": 2}), store, device="cpu")
    assert other.data == total
    assert other.loss != point.loss


def test_epochs_repeat_the_subset_and_unique_data_stays(spec, store):
    total = float(store.read(store.subset(40)).n_atoms.sum())
    twice = spec.model_copy(
        update={"structures": 40, "epochs": 2.5, "data_budgets": (total, 2 * total, 99 * total), "flops_budgets": ()}
    )
    one, two = train(twice, store, device="cpu")
    assert (one.unique_data, two.unique_data) == (total, total)
    assert two.data >= 2 * total


def test_equal_specs_give_equal_bits(spec, store):
    assert but_timed(train(spec, store, device="cpu")) == but_timed(train(spec, store, device="cpu"))


class Crashed(Exception):
    pass


def slow(place):
    """A further place at which a run is killed or stopped: one place is tried in each run of the tests."""
    return pytest.param(place, marks=pytest.mark.slow)


@pytest.mark.parametrize("saves", [slow(1), 9, slow(30)])
def test_a_run_killed_at_any_step_goes_on_with_the_same_bits(spec, store, saves, tmp_path, monkeypatch):
    whole = but_timed(train(spec, store, device="cpu"))
    left = [saves]

    def save_then_crash(location, checkpoint):
        save(location, checkpoint)
        left[0] -= 1
        if not left[0]:
            raise Crashed

    monkeypatch.setattr("raysweep.training.loop.save", save_then_crash)
    with pytest.raises(Crashed):
        list(train(spec, store, device="cpu", checkpoints=str(tmp_path), checkpoint_seconds=-1))
    monkeypatch.undo()
    assert newest(str(tmp_path), spec.trial_id)[0].step == saves
    assert but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path))) == whole


@pytest.mark.parametrize("stop_after", [slow(1), 2, slow(4)])
def test_a_run_stopped_after_a_point_goes_on_with_the_same_bits(spec, store, stop_after, tmp_path):
    whole = but_timed(train(spec, store, device="cpu"))
    first = train(spec, store, device="cpu", checkpoints=str(tmp_path))
    for _ in range(stop_after):
        next(first)
    first.close()
    assert but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path))) == whole
    # Finished: a further call yields the same points and trains nothing.
    before = newest(str(tmp_path), spec.trial_id)[0].step
    assert but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path))) == whole
    assert newest(str(tmp_path), spec.trial_id)[0].step == before


def test_a_torn_newest_checkpoint_costs_time_but_never_a_point(spec, store, tmp_path):
    whole = but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path)))
    latest = sorted(tmp_path.glob("*.safetensors"))[-1]
    blob = bytearray(latest.read_bytes())
    blob[len(blob) // 2] ^= 1
    latest.write_bytes(blob)
    assert but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path))) == whole


def test_a_diverged_run_says_so_after_its_good_points(spec, store):
    wild = spec.model_copy(update={"learning_rate": 1e30, "base_size": None, "data_budgets": (60.0, 3000.0)})
    seen = []
    with pytest.raises(DivergedError, match=r"smaller learning rate|validation loss"):
        seen.extend(train(wild, store, device="cpu"))
    assert all(np.isfinite(p.loss) for p in seen)


def test_a_store_that_is_not_the_planned_one_is_refused(spec, store):
    with pytest.raises(DataError, match="fingerprint"):
        next(train(spec.model_copy(update={"fingerprint": "0" * 64}), store, device="cpu"))


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize(
    ("architecture", "size"), [("mpnn", {"width": 8}), ("egnn", {"width": 8}), ("tensor", {"width": 4})]
)
def test_every_architecture_learns_in_both_force_modes(spec, store, architecture, size, forces):
    update = {"architecture": architecture, "size": size, "base_size": size, "forces": forces, "flops_budgets": ()}
    points = list(train(spec.model_copy(update=update), store, device="cpu"))
    assert len(points) == 3
    assert points[-1].train_loss < points[0].train_loss


def test_the_optimizer_is_evaluated_on_its_averaged_weights(spec, store):
    run = Trajectory(spec, store, CPU)
    run.resume_training()
    for _ in range(5):
        run.step(Stopwatch(CPU))
    training = [weight.clone() for weight in run.model.parameters()]
    run.evaluate()
    moved = [not torch.equal(a, b) for a, b in zip(training, run.model.parameters(), strict=True)]
    assert all(moved)
