"""Names, knobs and their errors; weights from the seed alone; muP from shapes."""

import pytest
import torch

from raysweep.core.errors import SpaceError
from raysweep.models.mup import rate_groups
from raysweep.models.registry import check_size, create, names
from tests.models.molecules import SIZES, force_field

FIXED_FAN_IN = (
    "embedding.weight", "from_edge", "emb.emb", "lin_rbf", "lin_sbf", ".mlp.0.", "conv.nn.0.", "distance_proj",
    "edge_proj", "norm.scale",
)  # fmt: skip
"""Names of weights whose inputs are elements, functions of the distance or degrees, as many at every width."""


def test_the_names_are_those_of_the_documentation():
    assert names() == ["dimenetpp", "egnn", "gemnet", "hybrid", "mpnn", "schnet", "tensor", "visnet"]


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("tensro", {"width": 8}, "'tensor'"),
        ("egnn", {"widht": 8}, "'width'"),
        ("tensor", {"width": 8, "l_max": 9}, "l_max"),
        ("mpnn", {"width": 0}, "width"),
        ("mpnn", {}, "width"),
    ],
)
def test_a_wrong_name_or_knob_is_named_with_the_nearest_right_one(name, size, words):
    with pytest.raises(SpaceError, match=words):
        check_size(name, size)


def test_direct_forces_need_vectors():
    with pytest.raises(SpaceError, match="l_max"):
        force_field("tensor-l1", "direct", l_max=0)


@pytest.mark.parametrize("name", SIZES)
def test_weights_come_from_the_seed_alone(name):
    torch.manual_seed(5)
    one = force_field(name, "direct", seed=3)
    torch.manual_seed(6)
    state = torch.random.get_rng_state()
    two, other = force_field(name, "direct", seed=3), force_field(name, "direct", seed=4)
    assert torch.equal(torch.random.get_rng_state(), state)
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same)
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", SIZES)
def test_mup_scales_hidden_rates_by_fan_in_and_leaves_embeddings_and_biases(name):
    architecture, size = SIZES[name]
    wide = {**size, "width": 4 * int(size["width"])}
    dataset = force_field(name, "direct").dataset
    base = create(architecture, size, "direct", dataset, 0)
    target = create(architecture, wide, "direct", dataset, 0)
    groups = rate_groups(target, base)
    rate = {id(weight): group.multiplier for group in groups for weight in group.parameters}
    assert {group.multiplier for group in groups} == {0.25, 1.0}
    for key, weight in target.named_parameters():
        expected = 1.0
        if weight.dim() >= 2 and not any(word in key for word in FIXED_FAN_IN):
            expected = 0.25
        assert rate[id(weight)] == expected, key
    assert [group.multiplier for group in rate_groups(target, None)] == [1.0]


def test_mup_refuses_a_base_of_another_depth():
    shallow, deep = force_field("egnn", "direct", depth=1), force_field("egnn", "direct", depth=2)
    with pytest.raises(SpaceError, match="depth"):
        rate_groups(deep, shallow)
    with pytest.raises(SpaceError, match="depth"):
        rate_groups(shallow, deep)
