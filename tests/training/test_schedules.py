"""Learning rates over a trajectory: warm-up, wsd's branches off one trunk, cosine; resuming in the middle of them."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from raysweep.core.errors import DataError
from raysweep.core.points import TIMED
from raysweep.core.trial import OptimizerSpec, TrialSpec
from raysweep.training.checkpoint import newest, save
from raysweep.training.loop import train
from raysweep.training.objective import evaluate
from raysweep.training.optimizers import decay_factor
from raysweep.training.trajectory import Trajectory

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small(spec):
    """Twenty steps of a small mpnn."""
    return spec.model_copy(
        update={
            "architecture": "mpnn",
            "size": {"width": 8, "depth": 1},
            "base_size": None,
            "forces": "direct",
            "data_budgets": (400.0, 800.0, 1200.0),
            "flops_budgets": (),
        }
    )


def with_optimizer(spec, **fields):
    return spec.model_copy(update={"optimizer": OptimizerSpec(warmup_steps=3, **fields)})


def but_timed(points):
    return [replace(point, **dict.fromkeys(TIMED)) for point in points]


@pytest.fixture
def rates(monkeypatch):
    """(weights seen so far in atoms, rate) of every step that any optimizer takes."""
    seen = []
    plain = Trajectory.step

    def step(self, watch):
        atoms, branch = self.progress.atoms, self.schedule.target
        plain(self, watch)
        seen.append((atoms, self.optimizer._inner.param_groups[0]["lr"], branch))

    monkeypatch.setattr(Trajectory, "step", step)
    return seen


def test_wsd_is_constant_on_the_trunk_and_falls_to_nought_on_a_branch_for_each_budget(small, store, rates):
    points = list(train(with_optimizer(small, name="wsd"), store, device="cpu"))
    assert [p.budget for p in points] == [400.0, 800.0, 1200.0]
    trunk = [(atoms, rate) for atoms, rate, branch in rates if branch is None]
    assert [rate for _, rate in trunk[:3]] == pytest.approx([0.03 / 3, 0.06 / 3, 0.03])
    assert {rate for _, rate in trunk[2:]} == {0.03}
    assert len({atoms for atoms, _ in trunk}) == len(trunk)  # no step of the trunk is taken twice
    assert max(atoms for atoms, _ in trunk) < 0.8 * 1200
    for budget in (400.0, 800.0, 1200.0):
        branch = [(atoms, rate) for atoms, rate, of in rates if of == ("data", budget)]
        for atoms, rate in branch:
            assert rate == pytest.approx(0.03 * (budget - atoms) / (0.2 * budget))
        assert 0.8 * budget <= branch[0][0] < 0.8 * budget + 90
    # A branch's point counts its own path alone.
    steps = {p.budget: p.step for p in points}
    branched = sum(1 for _, _, branch in rates if branch in (("data", 400.0), ("data", 800.0)))
    assert steps[1200.0] == len(rates) - branched


def test_the_trunk_is_untouched_by_its_branches(small, store):
    budgets = with_optimizer(small, name="wsd", decay="sqrt")
    alone = [budgets.model_copy(update={"data_budgets": (b,)}) for b in budgets.data_budgets]
    together = list(train(budgets, store, device="cpu"))
    for point, spec in zip(together, alone, strict=True):
        (one,) = train(spec, store, device="cpu")
        assert (one.loss, one.data, one.flops, one.step) == (point.loss, point.data, point.flops, point.step)


def test_cosine_falls_to_nought_at_the_last_budget(small, store, rates):
    list(train(with_optimizer(small, name="cosine"), store, device="cpu"))
    assert len(rates) > 12
    for atoms, rate, _ in rates[3:]:
        assert rate == pytest.approx(
            0.03 * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * atoms / 1200.0))).item(), rel=1e-5
        )
    assert rates[-1][1] < 0.05 * 0.03


def test_decays_begin_at_one_and_end_at_nought():
    for spec in (OptimizerSpec(name="cosine"), OptimizerSpec(name="wsd"), OptimizerSpec(name="wsd", decay="sqrt")):
        assert (decay_factor(spec, 0.0), decay_factor(spec, 1.0)) == pytest.approx((1.0, 0.0))
    assert decay_factor(OptimizerSpec(name="wsd", decay="sqrt"), 0.25) == 0.5


def test_budgets_that_the_data_does_not_last_for_are_left_out_with_wsd_and_refused_with_cosine(small, store):
    far = small.model_copy(update={"data_budgets": (400.0, 1e9), "flops_budgets": (1e18,)})
    assert [p.budget for p in train(with_optimizer(far, name="wsd"), store, device="cpu")] == [400.0]
    far = small.model_copy(update={"data_budgets": (), "flops_budgets": (1e18,)})
    with pytest.raises(DataError, match=r"flops budget 1e\+18 .* cosine"):
        next(train(with_optimizer(far, name="cosine"), store, device="cpu"))


def test_a_compute_budget_has_its_branch_and_its_horizon(small, store):
    (full,) = train(small.model_copy(update={"data_budgets": (1200.0,)}), store, device="cpu")
    half = small.model_copy(update={"data_budgets": (), "flops_budgets": (full.flops / 2,)})
    for name in ("wsd", "cosine"):
        (point,) = train(with_optimizer(half, name=name), store, device="cpu")
        assert full.flops / 2 <= point.flops < full.flops / 2 * 1.2


class Crashed(Exception):
    pass


@pytest.mark.parametrize("name", ["wsd", "cosine"])
def test_a_run_killed_at_any_save_goes_on_with_the_same_bits(small, store, name, tmp_path, monkeypatch):
    spec = with_optimizer(small, name=name)
    if name == "wsd":  # a compute budget whose branch overlaps with that of the last data budget
        (full,) = train(small.model_copy(update={"data_budgets": (1200.0,)}), store, device="cpu")
        spec = spec.model_copy(update={"flops_budgets": (0.97 * full.flops,)})
    saves = [0]
    monkeypatch.setattr("raysweep.training.loop.save", lambda *_: saves.__setitem__(0, saves[0] + 1))
    whole = but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path / "none"), checkpoint_seconds=-1))
    assert len(whole) == len(spec.data_budgets) + len(spec.flops_budgets)
    for count in range(1, saves[0] + 1, 4 if name == "cosine" else 3):
        left, folder = [count], str(tmp_path / str(count))

        def save_then_crash(location, checkpoint, left=left):
            save(location, checkpoint)
            left[0] -= 1
            if not left[0]:
                raise Crashed

        monkeypatch.setattr("raysweep.training.loop.save", save_then_crash)
        with pytest.raises(Crashed):
            list(train(spec, store, device="cpu", checkpoints=folder, checkpoint_seconds=-1))
        monkeypatch.setattr("raysweep.training.loop.save", save)
        assert newest(folder, spec.trial_id)[0].step == count
        assert but_timed(train(spec, store, device="cpu", checkpoints=folder, checkpoint_seconds=1e9)) == whole


def test_a_schedule_that_is_stopped_after_a_point_goes_on_with_the_same_bits(small, store, tmp_path):
    spec = with_optimizer(small, name="wsd")
    whole = but_timed(train(spec, store, device="cpu"))
    for _ in range(3):
        first = train(spec, store, device="cpu", checkpoints=str(tmp_path))
        next(first)
        first.close()
    assert but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path))) == whole


def test_what_an_optimizer_does_not_read_is_refused(small):
    with pytest.raises(ValidationError, match=r"decay_share \(0.1\) would not be read: optimizer cosine"):
        OptimizerSpec(name="cosine", decay_share=0.1)
    with pytest.raises(ValidationError, match=r"decay \(sqrt\) would not be read"):
        OptimizerSpec(decay="sqrt")
    fields = small.model_dump() | {"optimizer": OptimizerSpec(name="cosine")}
    TrialSpec.model_validate(fields)
    for budgets in ({"flops_budgets": (1e6,)}, {"data_budgets": (), "flops_budgets": (1e6, 2e6)}):
        with pytest.raises(ValidationError, match="cosine falls to 0 at one budget"):
            TrialSpec.model_validate(fields | budgets)


@pytest.mark.parametrize("name", ["schedulefree_adamw", "wsd", "cosine"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_weights_on_disk_are_those_that_the_point_was_evaluated_with(
    small, store, name, precision, tmp_path, monkeypatch
):
    spec = with_optimizer(small, name=name).model_copy(update={"precision": precision})
    fresh = Trajectory(spec, store, CPU)
    loaded = []

    def save_then_load(location, checkpoint):
        save(location, checkpoint)
        found, _ = newest(location, spec.trial_id)
        weights = {key.removeprefix("model."): x for key, x in found.tensors.items() if key.startswith("model.")}
        fresh.model.load_state_dict(weights)
        loaded.append((found.points[-1].loss, evaluate(fresh.model.eval(), fresh.validation, fresh.objective).loss))

    monkeypatch.setattr("raysweep.training.loop.save", save_then_load)
    points = list(train(spec, store, device="cpu", checkpoints=str(tmp_path), checkpoint_seconds=1e9))
    assert loaded == [(point.loss, point.loss) for point in points]
    assert len({loss for loss, _ in loaded}) == 3
