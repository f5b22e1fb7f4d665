# ruff: noqa: NPY002 - the global generator is what is tried
"""What a network draws is a function of seed and step; what it does to the process ends with it."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from raysweep.core.points import TIMED
from raysweep.core.trial import OptimizerSpec
from raysweep.models.registry import create
from raysweep.training.build import dataset_info
from raysweep.training.cost.measure import Stopwatch
from raysweep.training.loop import measure, train
from raysweep.training.trajectory import Trajectory

CPU = torch.device("cpu")
OPTIMIZERS = ("schedulefree_adamw", "wsd", "cosine")


def but_timed(points):
    return [replace(point, **dict.fromkeys(TIMED)) for point in points]


def stir():
    """Leave every global generator somewhere else."""
    torch.manual_seed(random.getrandbits(31))
    torch.rand(3)
    np.random.seed(random.getrandbits(31))
    random.seed(random.getrandbits(31))


def process():
    """Settings and generators of this process."""
    return (
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),
        torch.get_deterministic_debug_mode(), torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark,
        torch.backends.cuda.matmul.fp32_precision, np.geterr(), random.getstate(), torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
    )  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("forces", ["direct", "conservative"])
def test_a_network_that_draws_gives_the_same_bits_whatever_was_drawn_before(plug_in, store, name, forces):
    spec = plug_in("noisy", forces=forces, optimizer=OptimizerSpec(name=name, warmup_steps=3))
    found = []
    for _ in range(2):
        stir()
        found.append(but_timed(train(spec, store, device="cpu")))
    assert found[0] == found[1]
    other = but_timed(train(spec.model_copy(update={"seed": 5}), store, device="cpu"))
    assert other[-1].loss != found[0][-1].loss


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_goes_on_with_the_same_bits_where_it_was_stopped(plug_in, store, name, tmp_path):
    spec = plug_in("noisy", optimizer=OptimizerSpec(name=name, warmup_steps=3))
    whole = but_timed(train(spec, store, device="cpu"))
    for stop_after in (1, 2):
        folder = str(tmp_path / str(stop_after))
        first = train(spec, store, device="cpu", checkpoints=folder)
        for _ in range(stop_after):
            next(first)
        first.close()
        stir()
        assert but_timed(train(spec, store, device="cpu", checkpoints=folder)) == whole


def test_its_steps_do_not_depend_on_evaluations_between_them(plug_in, store):
    spec = plug_in("noisy", optimizer=OptimizerSpec(name="wsd", warmup_steps=3))
    weights = []
    for evaluated in (False, True):
        run = Trajectory(spec, store, CPU)
        run.resume_training()
        for _ in range(4):
            run.step(Stopwatch(CPU))
            if evaluated:
                run.evaluate()
                run.resume_training()
        weights.append(torch.cat([weight.detach().flatten() for weight in run.model.parameters()]))
    assert torch.equal(*weights)


def test_steps_draw_other_numbers_than_each_other(plug_in, store):
    run = Trajectory(plug_in("noisy"), store, CPU)
    seen = []
    run.model.register_forward_hook(lambda *_: seen.append((torch.rand(1).item(), np.random.rand(), random.random())))
    run.resume_training()
    for _ in range(3):
        run.step(Stopwatch(CPU))
    assert len({number for row in seen for number in row}) == 9


def test_where_it_is_made_it_draws_from_the_seed_alone(plug_in, store):
    spec = plug_in("noisy")
    offsets = []
    for seed in (3, 3, 4):
        stir()
        before = process()
        model = create("noisy", spec.size, "direct", dataset_info(store), seed)
        assert process() == before
        offsets.append(model.offset.item())
    assert offsets[0] == offsets[1] != offsets[2]


def test_nothing_that_a_network_sets_outlives_its_training(plug_in, store):
    ours = plug_in("pairs")
    whole = but_timed(train(ours, store, device="cpu"))
    before = process()
    for point in train(plug_in("meddler"), store, device="cpu"):
        assert process() == before, f"at the point of {point.budget:g} atoms"
    assert process() == before
    next(train(plug_in("meddler"), store, device="cpu"))  # given up on the way
    assert process() == before
    measure(plug_in("meddler"), store)
    assert process() == before
    assert but_timed(train(ours, store, device="cpu")) == whole


def test_a_network_keeps_what_it_set_while_it_trains(plug_in, store):
    seen = []
    training = train(plug_in("meddler"), store, device="cpu")
    plain = Trajectory.step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trajectory, "step", lambda run, watch: (plain(run, watch), seen.append(torch.get_num_threads())))
        before = torch.get_num_threads()
        next(training), next(training)
    assert seen == sorted(seen)
    assert seen[-1] > before + len(seen)


def test_a_training_does_not_depend_on_what_its_caller_has_set(plug_in, store):
    spec = plug_in("noisy", forces="conservative")
    whole = but_timed(train(spec, store, device="cpu"))
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            assert but_timed(train(spec, store, device="cpu")) == whole
            assert not torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_running_means_are_those_of_training_alone_and_survive_a_stop(plug_in, store, tmp_path):
    spec = plug_in("counting")
    run = Trajectory(spec, store, CPU)
    assert run.model.norm.num_batches_tracked == 0
    assert torch.equal(run.model.norm.running_mean, torch.zeros(8))
    whole = but_timed(train(spec, store, device="cpu"))
    first = train(spec, store, device="cpu", checkpoints=str(tmp_path))
    next(first)
    first.close()
    assert but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path))) == whole
