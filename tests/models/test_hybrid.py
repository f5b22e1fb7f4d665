"""Layers by name: what they are, what passes between them, and what is refused."""

import pytest
import torch

from raysweep.core.errors import SpaceError
from raysweep.models.registry import architecture, check_size
from tests.models.molecules import EQUIVARIANT, force_field, random_batch, relative


def test_depth_is_the_number_of_layers():
    assert check_size("hybrid", {"width": 8, "layers": "invariant tensor"}).depth == 2
    assert check_size("hybrid", {"width": 8}).depth == 3
    assert check_size("hybrid", {"width": 8, "layers": "invariant tensor", "depth": 2}).depth == 2


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"layers": "invariant tensor", "depth": 3}, "depth 3 differs from the 2 layers"),
        ({"layers": "invariant tenser"}, "must be names from unconstrained, invariant, tensor"),
        ({"layers": " "}, "depth|must be names"),
        ({"layers": 3}, "layers"),
    ],
)
def test_layers_that_make_no_network_are_refused(knobs, words):
    with pytest.raises(SpaceError, match=words):
        check_size("hybrid", {"width": 8, **knobs})


def test_only_an_unconstrained_layer_takes_the_symmetry():
    assert {label for label in EQUIVARIANT if label.startswith("hybrid")} == {
        "hybrid", "hybrid-so2", "hybrid-cheap",
    }  # fmt: skip
    assert not architecture("hybrid").equivariant


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize(
    ("label", "layers", "knobs"),
    [("mpnn", "unconstrained unconstrained", {}), ("tensor-l2", "tensor tensor", {"l_max": 2})],
)
def test_layers_of_one_kind_make_that_architecture(label, layers, knobs, forces):
    one, batch = force_field(label, forces), random_batch()
    same = force_field("hybrid", forces, layers=layers, width=one.size.width, norm="none", **knobs)
    same.load_state_dict(one.state_dict())
    assert relative(same(batch).energy, one(batch).energy) < 1e-12
    assert relative(same(batch).forces, one(batch).forces) < 1e-12


def test_tensors_are_carried_past_a_scalar_layer():
    """A scalar layer between two tensor layers leaves the second one the tensors of the first."""
    model, batch = force_field("hybrid", "conservative"), random_batch()
    seen = []
    model.layers[0].register_forward_hook(lambda _module, _inputs, h: seen.append(h))
    model.layers[2].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    model(batch)
    made, met = seen
    assert len(made) == len(met) == 9
    assert not torch.equal(made[0], met[0])
    for component in range(1, 9):
        assert torch.equal(made[component], met[component])
        assert met[component].abs().max() > 0
