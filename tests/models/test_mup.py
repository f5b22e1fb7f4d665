"""Multipliers of the learning rate: read off shapes where these tell, declared where they do not, never guessed."""

import pytest
import torch
from e3nn import o3
from torch import nn

from raysweep.core.errors import SpaceError
from raysweep.models.base import DatasetInfo
from raysweep.models.mup import rate_groups
from tests.models.molecules import SIZES, force_field
from tests.training.networks import NETWORKS


class Net(nn.Module):
    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, nn.Parameter(torch.ones(part)) if isinstance(part, tuple) else part)


def multipliers(model, base):
    names = {id(weight): name for name, weight in model.named_parameters()}
    return {names[id(weight)]: group.multiplier for group in rate_groups(model, base) for weight in group.parameters}


class Foreign(nn.Module):
    """A linear layer of another package: [fan_out, fan_in], and no nn.Linear."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.in_channels, self.out_channels = n_in, n_out
        self.weight = nn.Parameter(torch.ones(n_out, n_in))


def test_fan_in_is_read_where_each_kind_of_layer_has_it():
    def net(w):
        return Net(
            own=(8, w), linear=nn.Linear(w, 3), foreign=Foreign(w, 3), conv=nn.Conv1d(w, 5, 3), rows=nn.Embedding(9, w),
            gru=nn.GRUCell(w, 4), norm=nn.LayerNorm((2, w)), stack=(4, w, 3),
        )  # fmt: skip

    found = multipliers(net(32), net(8))
    quarter = {key for key, multiplier in found.items() if multiplier == 0.25}
    assert quarter == {"linear.weight", "foreign.weight", "conv.weight", "gru.weight_ih", "stack"}
    assert all(found[key] == 1.0 for key in set(found) - quarter)


def test_biases_and_scales_keep_their_rate():
    def net(w):
        return Net(hidden=(8, 3 * w), shift=(3 * w,), gain=(w,), wide=(w, w * w), bias_of_it=(w * w,), fixed=(7,))

    found = multipliers(net(16), net(4))
    assert found == {"hidden": 1.0, "shift": 1.0, "gain": 1.0, "wide": 0.25, "bias_of_it": 1.0, "fixed": 1.0}


@pytest.mark.parametrize(("small", "large"), [(4, 16), (16, 4), (8, 9)])
def test_a_flat_weight_is_refused_up_and_down_the_ladder(small, large):
    def net(w):
        return Net(hidden=(8, w), flat=(w * w,), gain=(w,))

    with pytest.raises(SpaceError, match=rf"Net: muP .*: flat \[{small**2}\] -> \[{large**2}\].*rate_multipliers"):
        rate_groups(net(large), net(small))
    assert len(rate_groups(net(large), net(large))) == 1
    assert len(rate_groups(net(large), None)) == 1


def test_a_flat_weight_with_a_large_linear_part_is_found():
    def net(w):
        return Net(hidden=(8, w), mixed=(w * w + 50 * w,))

    with pytest.raises(SpaceError, match="mixed"):
        rate_groups(net(16), net(8))


def test_all_flat_layers_of_e3nn_are_named_even_where_they_grow_as_channels_do():
    def net(w):
        return Net(
            inner=o3.Linear(f"{w}x0e + {w}x1o", f"{w}x0e + {w}x1o", biases=True), out=o3.Linear(f"{w}x0e", "1x0e")
        )

    with pytest.raises(SpaceError, match=r"inner\.weight \[32\] -> \[128\], out\.weight \[4\] -> \[8\]\. Declare"):
        rate_groups(net(8), net(4))


def test_what_a_network_declares_is_taken_and_checked():
    def net(w, **declared):
        made = Net(hidden=(8, w), flat=(w * w,), matrix=(w, w))
        made.rate_multipliers = lambda base: declared
        return made

    assert multipliers(net(16, flat=0.5, matrix=0.125), net(4)) == {"hidden": 1.0, "flat": 0.5, "matrix": 0.125}
    with pytest.raises(SpaceError, match="names 'nonsense', which is not a trainable parameter"):
        rate_groups(net(16, flat=0.5, nonsense=1.0), net(4))
    for wrong in (0.0, -1.0, float("nan"), float("inf"), "a"):
        with pytest.raises(SpaceError, match="for 'flat'; it must be above 0"):
            rate_groups(net(16, flat=wrong), net(4))


def test_frozen_parameters_are_in_no_group():
    def net(w):
        made = Net(hidden=(w, w), flat=(w * w,), shift=(w,))
        made.flat.requires_grad_(False)
        return made

    assert multipliers(net(8), net(4)) == {"hidden": 0.5, "shift": 1.0}


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize("label", sorted(SIZES))
def test_no_shipped_architecture_has_flat_weights(label, forces):
    width = SIZES[label][1]["width"]
    groups = rate_groups(force_field(label, forces, width=2 * width), force_field(label, forces))
    assert groups[-1].multiplier == 1.0
    assert groups[0].multiplier < 1.0


def test_a_plug_in_says_how_the_rate_of_its_flat_weights_falls():
    def made(name, width):
        kind = NETWORKS[name]
        return kind.network(kind.size(width=width), "direct", DatasetInfo(elements=(1, 6), scale=1.0))

    with pytest.raises(SpaceError, match=r"mine: muP .*: flat \[16\] -> \[256\]\. Declare"):
        rate_groups(made("flat", 16), made("flat", 4), "mine")
    found = multipliers(made("flatdeclared", 16), made("flatdeclared", 4))
    assert found["flat"] == 0.25
    assert found["gain"] == found["norm.weight"] == found["norm.bias"] == 1.0
