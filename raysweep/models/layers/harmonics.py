"""Spherical harmonics and their couplings in e3nn's conventions, built once as constant matrices.

Components are ordered as in e3nn: blocks l = 0, 1, ..., l_max of 2l + 1 components each, (l_max + 1)² in all, each of
parity (-1)^l, so that every feature here is a natural-parity irrep (0e, 1o, 2e, ...).
"""

import math
from functools import cache

import torch
from e3nn import o3
from torch import nn

from raysweep.models.layers.operations import concatenate

Path = tuple[int, int, int]
"""Degrees l of features and harmonics that couple."""


def block(l: int) -> slice:
    """The slice of the 2l + 1 components of degree l among the (l_max + 1)²."""
    return slice(l * l, (l + 1) * (l + 1))


class SphericalHarmonics(nn.Module):
    """Y_0 ... Y_l_max of unit vectors, each block of norm sqrt(2l + 1) (e3nn's `component` normalisation).

    Y_l is the stretched coupling of Y_(l-1) with Y_1, so that any degree is a product of polynomials: exact, smooth,
    twice differentiable, and a matrix product each.
    """

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        for l in range(2, l_max + 1):
            self.register_buffer(f"raise_{l}", _raising(l).to(torch.get_default_dtype()), persistent=False)

    def forward(self, directions: torch.Tensor) -> torch.Tensor:
        """Map unit vectors [E, 3] to [E, (l_max + 1)²]."""
        blocks = [torch.ones_like(directions[:, :1])]
        if self.l_max >= 1:
            # e3nn takes (x, y, z) as its l = 1 basis.
            blocks.append(directions * math.sqrt(3.0))
        for l in range(2, self.l_max + 1):
            products = (blocks[-1].unsqueeze(2) * directions.unsqueeze(1)).flatten(1)
            blocks.append(products @ getattr(self, f"raise_{l}"))
        return concatenate(blocks)


class EvenHarmonics(nn.Module):
    """Y_0, Y_2, ..., Y_l_max of unit vectors, as `SphericalHarmonics` gives them, in half the number of products."""

    def __init__(self, l_max: int) -> None:
        super().__init__()
        assert l_max % 2 == 0
        self.l_max = l_max
        for l in range(2, l_max + 1, 2):
            step = 1 if l == 2 else 2
            self.register_buffer(f"raise_{l}", _raising(l, step).to(torch.get_default_dtype()), persistent=False)

    def forward(self, directions: torch.Tensor) -> torch.Tensor:
        """Map unit vectors [E, 3] to [E, (l_max + 1)(l_max + 2) / 2]."""
        blocks = [torch.ones_like(directions[:, :1])]
        lower, by = directions * math.sqrt(3.0), directions
        for l in range(2, self.l_max + 1, 2):
            lower = (lower.unsqueeze(2) * by.unsqueeze(1)).flatten(1) @ getattr(self, f"raise_{l}")
            by = lower if l == 2 else by
            blocks.append(lower)
        return concatenate(blocks)


@cache
def _raising(l: int, step: int = 1) -> torch.Tensor:
    """The coupling [(2l - 2 step + 1)(2 step + 1), 2l + 1] of Y_(l - step) ⊗ Y_step to Y_l, normalised on a vector.

    Here Y_1 is the direction itself, of length 1.
    """
    coupling = o3.wigner_3j(l - step, step, l, dtype=torch.float64).reshape(-1, 2 * l + 1)
    vector = torch.tensor([[0.36, 0.48, 0.8]], dtype=torch.float64)
    lower, by, upper = (
        o3.spherical_harmonics(k, vector, normalize=True, normalization="component") for k in (l - step, step, l)
    )
    raised = (lower.unsqueeze(2) * (vector if step == 1 else by).unsqueeze(1)).flatten(1) @ coupling
    factor = (raised * upper).sum() / raised.square().sum()
    raising: torch.Tensor = coupling * factor
    return raising


@cache
def square_paths(l_max: int) -> tuple[Path, ...]:
    """All paths (l1, l2, l3) with l1 <= l2 that couple a feature with itself, sorted by l3.

    Natural parity requires an even l1 + l2 + l3; those are also the couplings that are symmetric for l1 = l2, so none
    vanishes.
    """
    paths = [
        (l1, l2, l3)
        for l1 in range(l_max + 1)
        for l2 in range(l1, l_max + 1)
        for l3 in range(l2 - l1, min(l1 + l2, l_max) + 1)
        if (l1 + l2 + l3) % 2 == 0
    ]
    return tuple(sorted(paths, key=lambda path: (path[2], path)))


@cache
def pair_paths(l_max: int) -> tuple[Path, ...]:
    """All natural-parity paths (l1, l2, l3) that couple two different features, sorted by l3."""
    paths = [
        (l1, l2, l3)
        for l1 in range(l_max + 1)
        for l2 in range(l_max + 1)
        for l3 in range(abs(l1 - l2), min(l1 + l2, l_max) + 1, 2)
    ]
    return tuple(sorted(paths, key=lambda path: (path[2], path)))


@cache
def square_coupling(l_max: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The coupling of a feature a [(l_max + 1)²] with itself.

    Returns:
        left, right: [P] int64, the components of each unordered pair that a coupling uses.
        coupling: [P, sum over `square_paths` of 2 l3 + 1], so that `(a[left] * a[right]) @ coupling` are the
            concatenated components of all paths, each path of unit variance for a of unit variance; float64.
    """
    dense = _dense_coupling(l_max, square_paths(l_max))
    n = len(dense)
    dense = dense + dense.transpose(0, 1) * (1 - torch.eye(n, dtype=torch.float64)).unsqueeze(2)
    return _used(dense, *torch.triu_indices(n, n))


@cache
def pair_coupling(l_max: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The coupling of two different features a and b along `pair_paths`; see `square_coupling`."""
    dense = _dense_coupling(l_max, pair_paths(l_max))
    n = len(dense)
    return _used(dense, *torch.cartesian_prod(torch.arange(n), torch.arange(n)).T)


def _dense_coupling(l_max: int, paths: tuple[Path, ...]) -> torch.Tensor:
    n = (l_max + 1) ** 2
    columns = []
    for l1, l2, l3 in paths:
        dense = torch.zeros(n, n, 2 * l3 + 1, dtype=torch.float64)
        dense[block(l1), block(l2)] = o3.wigner_3j(l1, l2, l3, dtype=torch.float64) * math.sqrt(2 * l3 + 1)
        columns.append(dense)
    return torch.cat(columns, dim=2)


def _used(
    dense: torch.Tensor, left: torch.Tensor, right: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    coupling = dense[left, right]
    used = coupling.abs().amax(dim=1) > 1e-12
    return left[used], right[used], coupling[used]


@cache
def edge_paths(l_in: int, l_out: int) -> tuple[Path, ...]:
    """All natural-parity paths (l1, l3, l2) that couple a feature with the harmonics of an edge, sorted.

    Those of degree l2 up to l1 + l3 are kept, so that every equivariant linear map between degrees l1 and l3 that
    depends on the direction and respects reflections is spanned.
    """
    return tuple(
        (l1, l3, l2) for l1 in range(l_in + 1) for l3 in range(l_out + 1) for l2 in range(abs(l1 - l3), l1 + l3 + 1, 2)
    )


@cache
def edge_coupling(l1: int, l3: int, l2: int) -> torch.Tensor:
    """The coupling of h_l1 ⊗ Y_l2 to l3, [2 l1 + 1, 2 l2 + 1, 2 l3 + 1], of unit variance for independent factors."""
    coupling: torch.Tensor = o3.wigner_3j(l1, l2, l3, dtype=torch.float64) * math.sqrt(2 * l3 + 1)
    return coupling


@cache
def half_turn(l: int) -> torch.Tensor:
    """The map [(l + 1)(2l + 1), (2l + 1)²] from Y_0, Y_2, ..., Y_2l of an axis to D_l of the rotation by π about it.

    D_l = Σ_k a_k w3j(l, l, k) · Y_k over even k, since D_l is an even polynomial of degree 2l of the axis; a_k follows
    from the axis y, e3nn's polar axis, where D_l is diagonal with (-1)^m. float64.
    """
    signs = torch.tensor([(-1.0) ** m for m in range(-l, l + 1)], dtype=torch.float64)
    parts = []
    for k in range(0, 2 * l + 1, 2):
        coupling = o3.wigner_3j(l, l, k, dtype=torch.float64)
        factor = math.sqrt(2 * k + 1) * (signs * coupling[:, :, k].diagonal()).sum()
        parts.append(factor * coupling.permute(2, 0, 1).flatten(1))
    return torch.cat(parts)
