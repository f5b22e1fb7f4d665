"""Blocks over all degrees at once do what those of one degree do."""

import pytest
import torch

from raysweep.models.layers.blocks import DegreeLinear, Norm, TensorNorm

A, WIDTH = 4, 3


def features(*degrees):
    generator = torch.Generator().manual_seed(len(degrees))
    return [torch.randn(2 * l + 1, A, WIDTH, generator=generator) for l in degrees]


@pytest.mark.parametrize("kind", ["none", "layer", "rms"])
@pytest.mark.parametrize("l_max", [0, 1, 3])
def test_a_norm_of_all_degrees_is_the_norm_of_each(kind, l_max):
    whole = TensorNorm(kind, l_max, WIDTH)
    parts = [Norm(kind, WIDTH, tensor=l > 0) for l in range(l_max + 1)]
    if kind != "none":
        for l, part in enumerate(parts):
            part.scale.data = whole.scale.data[l] = torch.randn(WIDTH)
    if kind == "layer":
        parts[0].shift.data = whole.shift.data = torch.randn(WIDTH)
    blocks = features(*range(l_max + 1))
    expected = [part(block.transpose(0, 1)).transpose(0, 1) for part, block in zip(parts, blocks, strict=True)]
    assert torch.allclose(whole(torch.cat(blocks)), torch.cat(expected), atol=1e-6)


@pytest.mark.parametrize("degrees", [[0], [0, 1, 2], [1, 2, 3]])
def test_each_degree_has_a_matrix_of_its_own(degrees):
    linear, blocks = DegreeLinear(degrees, WIDTH, 5), features(*degrees)
    expected = [block @ linear.weight[index] for index, block in enumerate(blocks)]
    assert torch.allclose(linear(torch.cat(blocks)), torch.cat(expected), atol=1e-6)
