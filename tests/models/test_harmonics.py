"""Harmonics and couplings against e3nn."""

import pytest
import torch
from e3nn import o3

from raysweep.models.harmonics import SphericalHarmonics, square_coupling, square_paths


@pytest.fixture
def directions():
    vectors = torch.randn(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return vectors / vectors.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("l_max", [0, 1, 2, 3, 4])
def test_harmonics_equal_those_of_e3nn(l_max, directions):
    torch.set_default_dtype(torch.float64)
    try:
        ours = SphericalHarmonics(l_max)(directions)
    finally:
        torch.set_default_dtype(torch.float32)
    theirs = o3.spherical_harmonics(list(range(l_max + 1)), directions, normalize=False, normalization="component")
    assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("l_max", [1, 2, 3])
def test_square_couplings_equal_those_of_e3nn(l_max, directions):
    n = (l_max + 1) ** 2
    a = torch.randn(7, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    left, right, coupling = square_coupling(l_max)
    ours = (a[:, left] * a[:, right]) @ coupling
    blocks = [a[:, l * l : (l + 1) ** 2] for l in range(l_max + 1)]
    theirs = torch.cat(
        [
            torch.einsum("bi,bj,ijk->bk", blocks[l1], blocks[l2], o3.wigner_3j(l1, l2, l3, dtype=torch.float64))
            * (2 * l3 + 1) ** 0.5
            for l1, l2, l3 in square_paths(l_max)
        ],
        dim=1,
    )
    assert torch.allclose(ours, theirs, atol=1e-12)
    assert (theirs.abs().amax(dim=0) > 1e-6).all()
