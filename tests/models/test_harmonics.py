"""Harmonics and couplings against e3nn."""

import pytest
import torch
from e3nn import o3

from raysweep.models.layers.harmonics import (
    SphericalHarmonics,
    pair_coupling,
    pair_paths,
    square_coupling,
    square_paths,
)
from raysweep.models.layers.products import pairs, squares


@pytest.fixture
def directions():
    vectors = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return vectors / vectors.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("l_max", [0, 1, 2, 3, 4, 8])
def test_harmonics_equal_those_of_e3nn(l_max, directions):
    torch.set_default_dtype(torch.float64)
    try:
        ours = SphericalHarmonics(l_max)(directions)
    finally:
        torch.set_default_dtype(torch.float32)
    theirs = o3.spherical_harmonics(list(range(l_max + 1)), directions, normalize=False, normalization="component")
    assert torch.allclose(ours, theirs, atol=1e-12)


def of_e3nn(a, b, paths):
    """The products of two features [B, (l_max + 1)²] along paths, one after another."""
    return torch.cat(
        [
            torch.einsum(
                "bi,bj,ijk->bk",
                a[:, l1 * l1 : (l1 + 1) ** 2],
                b[:, l2 * l2 : (l2 + 1) ** 2],
                o3.wigner_3j(l1, l2, l3, dtype=torch.float64),
            )
            * (2 * l3 + 1) ** 0.5
            for l1, l2, l3 in paths
        ],
        dim=1,
    )


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_couplings_equal_those_of_e3nn(l_max):
    a, b = torch.randn(2, 7, (l_max + 1) ** 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    left, right, coupling = square_coupling(l_max)
    theirs = of_e3nn(a, a, square_paths(l_max))
    assert torch.allclose((a[:, left] * a[:, right]) @ coupling, theirs, atol=1e-12)
    assert (theirs.abs().amax(dim=0) > 1e-6).all()
    left, right, coupling = pair_coupling(l_max)
    assert torch.allclose((a[:, left] * b[:, right]) @ coupling, of_e3nn(a, b, pair_paths(l_max)), atol=1e-12)


@pytest.mark.parametrize("l_out", [0, 1, 3])
def test_products_at_atoms_are_the_couplings_sorted_by_degree_and_path(l_out):
    torch.set_default_dtype(torch.float64)
    try:
        modules = squares(3, l_out), pairs(3, l_out)
    finally:
        torch.set_default_dtype(torch.float32)
    width = 2
    a, b = torch.randn(2, 16, 5, width, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for module, other, paths in zip(modules, (a, b), (square_paths(3), pair_paths(3)), strict=True):
        blocks = module(a, other)
        assert len(blocks) == l_out + 1
        for l, ours in enumerate(blocks):
            kept = [path for path in paths if path[2] == l]
            theirs = of_e3nn(a.flatten(1).T, other.flatten(1).T, kept).view(5, width, len(kept), 2 * l + 1)
            assert torch.allclose(ours, theirs.permute(3, 0, 2, 1).flatten(2), atol=1e-12)
