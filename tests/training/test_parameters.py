"""Parameters as other people's networks have them: frozen, unused, tied, oddly stored, or of no use at all."""

import warnings
from dataclasses import replace

import pytest
import torch

from raysweep.core.errors import SpaceError
from raysweep.core.points import TIMED
from raysweep.core.trial import OptimizerSpec
from raysweep.models.registry import create
from raysweep.training.build import build_model, dataset_info
from raysweep.training.checkpoint import newest
from raysweep.training.loop import measure, train
from raysweep.training.trajectory import Trajectory

CPU = torch.device("cpu")


def but_timed(points):
    return [replace(point, **dict.fromkeys(TIMED)) for point in points]


def weights_on_disk(folder, spec):
    found, _ = newest(str(folder), spec.trial_id)
    return {key.removeprefix("model."): x for key, x in found.tensors.items() if key.startswith("model.")}


@pytest.mark.parametrize("optimizer", ["schedulefree_adamw", "wsd", "cosine"])
@pytest.mark.parametrize("name", ["frozen", "unused", "tied", "strided", "double"])
def test_it_trains_and_goes_on_with_the_same_bits_where_it_was_stopped(plug_in, store, name, optimizer, tmp_path):
    spec = plug_in(name, base_size={"width": 4}, optimizer=OptimizerSpec(name=optimizer, warmup_steps=3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        whole = but_timed(train(spec, store, device="cpu"))
    first = train(spec, store, device="cpu", checkpoints=str(tmp_path))
    next(first)
    first.close()
    assert but_timed(train(spec, store, device="cpu", checkpoints=str(tmp_path))) == whole
    assert whole[-1].train_loss < whole[0].train_loss


def test_frozen_parameters_stay_and_are_kept_and_not_counted(plug_in, store, tmp_path):
    spec = plug_in("frozen", forces="conservative", base_size={"width": 4})
    start = {key: value.clone() for key, value in build_model(spec, store).state_dict().items()}
    *_, last = train(spec, store, device="cpu", checkpoints=str(tmp_path))
    found = weights_on_disk(tmp_path, spec)
    assert set(found) == set(start)
    still = {key for key, value in start.items() if torch.equal(found[key], value)}
    assert still == {"embedding.weight", "energy.hidden.bias"}
    assert found["steps"].item() == last.step  # not those that costs are measured on
    frozen = start["embedding.weight"].numel() + start["energy.hidden.bias"].numel()
    assert last.params == measure(plug_in("pairs", forces="conservative"), store).params - frozen
    assert measure(spec, store).params == last.params


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_frozen_part_compiles(plug_in, store, monkeypatch):
    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx", lambda graph, inputs: graph)  # as traced, in no time
    spec = plug_in("frozen", data_budgets=(300.0,), compile=True)
    run = Trajectory(spec, store, CPU)
    (compiled,) = train(spec, store, device="cpu")
    (plain,) = train(spec.model_copy(update={"compile": False}), store, device="cpu")
    assert compiled.loss == pytest.approx(plain.loss, rel=1e-3)
    assert {id(weight) for weight in run.compiled._constants()} > {id(run.model.embedding.weight)}


def test_tied_parameters_count_once_and_stay_tied(plug_in, store, tmp_path):
    spec = plug_in("tied")
    assert measure(spec, store).params == measure(plug_in("pairs"), store).params
    spec = plug_in("tied")
    list(train(spec, store, device="cpu", checkpoints=str(tmp_path)))
    found = weights_on_disk(tmp_path, spec)
    assert torch.equal(found["mix.weight"], found["energy.hidden.weight"])
    run = Trajectory(spec, store, CPU)
    run.restore(newest(str(tmp_path), spec.trial_id)[0])
    assert run.model.mix.weight is run.model.energy.hidden.weight


def test_how_a_weight_lies_in_memory_changes_nothing(plug_in, store):
    losses = []
    for name in ("pairs", "strided"):
        *_, last = train(plug_in(name, optimizer=OptimizerSpec(name="wsd", warmup_steps=3)), store, device="cpu")
        losses.append(last.loss)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("allfrozen", r"'allfrozen' has no trainable parameter"),
        ("lazy", r"'lazy': 'late\.weight' gets its shape at the first forward pass.*input width"),
        ("complex", r"'complex': parameter 'phase' is complex.*view_as_real"),
        ("stateful", r"'stateful': the state '_extra_state' is a dict.*buffer"),
    ],
)
def test_a_network_that_cannot_be_trained_is_refused_by_name(plug_in, store, name, said):
    spec = plug_in(name)
    for call in (
        lambda: create(name, spec.size, "direct", dataset_info(store), 0),
        lambda: measure(spec, store),
        lambda: next(train(spec, store, device="cpu")),
    ):
        with pytest.raises(SpaceError, match=said):
            call()


def test_outputs_that_depend_on_no_parameter_are_refused(plug_in, store):
    with pytest.raises(SpaceError, match="the loss depends on no trainable parameter"):
        measure(plug_in("constant"), store)
