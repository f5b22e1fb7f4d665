"""Convolutions of `tensor` that couple the neighbour's tensors with the direction of the edge.

Both weight every degree and channel of the neighbour's features by a learnt function of the edge, and then apply an
equivariant linear map over degrees and channels whose weights all edges share: for each pair of degrees (l1, l3) a
matrix over channels for every natural-parity path of the full tensor product, min(l1, l3) + 1 of them. Both span the
same functions: a fixed linear map carries the weights of one into those of the other. `cg` evaluates the product,
h_l1 ⊗ Y_l2 into l3 for every path; `so2` rotates the features into a frame whose polar axis is the edge, where the map
is diagonal in the order m and the same for m and -m (after eSCN, arXiv 2302.03655; its mixing of m with -m is odd under
reflection and left out). As there, `so2` may leave out the orders above m_max. Operations per edge: width² l³ + width
l⁴ of `so2`, width² l⁴ + width l⁵ of `cg`, and for the geometry, once for all layers, l⁵ and l⁷.
"""

from typing import Literal

import torch
from torch import nn

from raysweep.models.layers.blocks import Linear, component_of, gather_components
from raysweep.models.layers.harmonics import EvenHarmonics, SphericalHarmonics, edge_coupling, edge_paths, half_turn
from raysweep.models.layers.operations import concatenate, rotate, rotate_back, scatter_columns, split

Geometry = list[torch.Tensor]
"""The edge geometry that convolutions need, computed once for all layers."""


class EdgeFrames(nn.Module):
    """Representations of an orthogonal map that takes each edge's direction to the polar axis y.

    A rotation by π about the bisector of direction and axis does, except near the opposite pole: there the bisector of
    direction and -y serves, followed by an inversion. So each D_l is symmetric, a polynomial of the bisector, and
    nowhere singular. Which map is taken does not matter: what follows is invariant about the axis and under reflection.

    D_0, ..., D_l_max form one matrix of mostly zeros, its rows sorted by order, without orders above m_max: a product
    with it puts the components of each order next to each other, and is faster than a product for each degree and a
    sort.
    """

    rotations: torch.Tensor
    parities: torch.Tensor
    axis: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor

    def __init__(self, l_max: int, m_max: int) -> None:
        super().__init__()
        self.harmonics = EvenHarmonics(2 * l_max)
        degrees = range(l_max + 1)
        n_even = (l_max + 1) * (2 * l_max + 1)
        rotations = [_rows_up_to(half_turn(l), l, m_max) for l in degrees]
        rotations = [
            torch.cat([rotation, rotation.new_zeros(n_even - len(rotation), rotation.shape[1])])
            for rotation in rotations
        ]
        parities = torch.cat([torch.full((rotation.shape[1],), (-1.0) ** l) for l, rotation in enumerate(rotations)])
        source, target = _frame_indices(l_max, m_max)
        self.shape = (len(by_order(l_max, m_max)), (l_max + 1) ** 2)
        dtype = torch.get_default_dtype()
        self.register_buffer("rotations", torch.cat(rotations, dim=1).to(dtype), persistent=False)
        self.register_buffer("parities", parities.to(dtype), persistent=False)
        self.register_buffer("axis", torch.tensor([0.0, 1.0, 0.0], dtype=dtype), persistent=False)
        self.register_buffer("source", source, persistent=False)
        self.register_buffer("target", target, persistent=False)

    def forward(self, directions: torch.Tensor) -> Geometry:
        """Map unit vectors [E, 3] to one matrix [E, n, (l_max + 1)²]: rows of `by_order`, columns by degree."""
        below = directions[:, 1:2] < 0
        bisectors = directions + torch.where(below, -self.axis, self.axis)
        bisectors = bisectors * bisectors.square().sum(dim=1, keepdim=True).rsqrt()
        rotations = self.harmonics(bisectors) @ self.rotations
        rotations = rotations * torch.where(below, self.parities, torch.ones_like(self.parities))
        return [torch.unflatten(scatter_columns(rotations, self.source, self.target), 1, self.shape)]


def by_order(l_max: int, m_max: int) -> list[tuple[int, int]]:
    """List (l, signed m) of all components up to l_max and m_max, sorted by |m|, then the sign of m, then l."""
    components = [(l, m) for l in range(l_max + 1) for m in range(-min(l, m_max), min(l, m_max) + 1)]
    return sorted(components, key=lambda component: (abs(component[1]), component[1], component[0]))


def _rows_up_to(rotation: torch.Tensor, l: int, m_max: int) -> torch.Tensor:
    """The part of `half_turn` that gives the rows of D_l of orders up to m_max."""
    m = min(l, m_max)
    return torch.unflatten(rotation, 1, (2 * l + 1, 2 * l + 1))[:, l - m : l + m + 1].flatten(1)


def _frame_indices(l_max: int, m_max: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the entries of `EdgeFrames` among those of D_0, ..., D_l_max, and the inverse."""
    components, n = by_order(l_max, m_max), (l_max + 1) ** 2
    starts = [sum((2 * min(k, m_max) + 1) * (2 * k + 1) for k in range(l)) for l in range(l_max + 2)]
    source = torch.full((len(components), n), starts[-1])
    for row, (l, m) in enumerate(components):
        first = starts[l] + (min(l, m_max) + m) * (2 * l + 1)
        source[row, l * l : (l + 1) ** 2] = first + torch.arange(2 * l + 1)
    target = torch.full((starts[-1] + 1,), source.numel())
    target[source.flatten()] = torch.arange(source.numel())
    return source.flatten(), target[:-1]


class So2Convolution(nn.Module):
    """Mixes degrees and channels for each order |m| in the frame of the edge.

    Attributes:
        mixes: for each |m| a matrix from the channels of degrees |m|, ..., l_in to those of |m|, ..., l_out.
    """

    degree: torch.Tensor

    def __init__(self, l_in: int, l_out: int, m_max: int, width: int) -> None:
        super().__init__()
        assert l_in >= l_out, f"no features of degree above {l_in} can be aligned, asked for {l_out}"
        self.l_in, self.l_out, self.width = l_in, l_out, width
        orders = range(min(l_out, m_max) + 1)
        self.mixes = nn.ModuleList(Linear((l_in + 1 - m) * width, (l_out + 1 - m) * width, bias=False) for m in orders)
        self.signs = [1 if m == 0 else 2 for m in orders]
        self.sizes = [signs * (l_in + 1 - m) for m, signs in enumerate(self.signs)]
        everywhere = by_order(l_in, m_max)
        self.register_buffer("degree", component_of(range(l_in + 1)), persistent=False)
        self.rows = [everywhere.index(component) for component in by_order(l_out, m_max)]

    def forward(self, sent: torch.Tensor, factors: torch.Tensor, frames: Geometry) -> torch.Tensor:
        """Compute messages [E, (l_out + 1)², width].

        Args:
            sent: the senders' features, [E, (l_in + 1)², width].
            factors: of each degree and channel, [E, l_in + 1, width].
            frames: of `EdgeFrames`.
        """
        (frame,) = frames
        needed = frame if self.l_out == self.l_in else frame[:, : sum(self.sizes)]
        parts = split(rotate(needed, sent * gather_components(factors, self.degree)), self.sizes)
        mixed = []
        for signs, part, mix in zip(self.signs, parts, self.mixes, strict=True):
            both = torch.unflatten(part, 1, (signs, -1)).flatten(2)
            mixed.append(torch.unflatten(mix(both).flatten(1), 1, (-1, self.width)))
        if self.l_out < self.l_in:
            frame = torch.stack([frame[:, row, : (self.l_out + 1) ** 2] for row in self.rows], dim=1)
        return rotate_back(frame, concatenate(mixed))


class ScalarConvolution(nn.Module):
    """Either convolution for scalar messages: each degree is projected on the edge's harmonics, then all are mixed.

    Attributes:
        mixes: a matrix from the channels of degrees 0, ..., l_in to those of the message.
    """

    source: torch.Tensor
    target: torch.Tensor
    norms: torch.Tensor

    def __init__(self, l_in: int, width: int) -> None:
        super().__init__()
        self.l_in = l_in
        self.mixes = nn.ModuleList([Linear((l_in + 1) * width, width, bias=False)])
        n = (l_in + 1) ** 2
        degree = torch.cat([torch.full((2 * l + 1,), l) for l in range(l_in + 1)])
        source = torch.full((l_in + 1, n), n)
        source[degree, torch.arange(n)] = torch.arange(n)
        self.register_buffer("source", source.flatten(), persistent=False)
        self.register_buffer("target", degree * n + torch.arange(n), persistent=False)
        norms = (2 * degree + 1).to(torch.get_default_dtype()).rsqrt()
        self.register_buffer("norms", norms, persistent=False)

    def forward(self, sent: torch.Tensor, factors: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Compute messages [E, 1, width], given features and factors as above and the harmonics y [E, (l_in + 1)²]."""
        along = torch.unflatten(scatter_columns(y * self.norms, self.source, self.target), 1, (self.l_in + 1, -1))
        mixed: torch.Tensor = self.mixes[0]((rotate(along, sent) * factors).flatten(1))
        return mixed.unsqueeze(1)


class EdgeCouplings(nn.Module):
    """The matrices by which each path couples a neighbour's features with the harmonics of the edge."""

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        self.harmonics = SphericalHarmonics(2 * l_max)
        starts = [l * l for l in range(2 * l_max + 2)]
        for l1 in range(l_max + 1):
            columns = []
            for l3 in range(l_max + 1):
                paths = [l2 for a, b, l2 in edge_paths(l_max, l_max) if (a, b) == (l1, l3)]
                coupling = torch.zeros(starts[-1], 2 * l3 + 1, len(paths), 2 * l1 + 1, dtype=torch.float64)
                for index, l2 in enumerate(paths):
                    coupling[starts[l2] : starts[l2 + 1], :, index] = edge_coupling(l1, l3, l2).permute(1, 2, 0)
                columns.append(coupling.flatten(1))
            self.register_buffer(f"couple_{l1}", torch.cat(columns, dim=1).to(torch.get_default_dtype()), False)

    def forward(self, directions: torch.Tensor) -> Geometry:
        """Map unit vectors [E, 3] to a matrix [E, components of all paths, 2 l1 + 1] for every l1.

        Rows are sorted by l3, then component, then l2.
        """
        y = self.harmonics(directions)
        return [torch.unflatten(y @ getattr(self, f"couple_{l1}"), 1, (-1, 2 * l1 + 1)) for l1 in range(self.l_max + 1)]


class CgConvolution(nn.Module):
    """Couples features with the harmonics along each path (l1, l3, l2) of the full tensor product; mixes the results.

    Attributes:
        mixes: for each l3 a matrix from the channels of its paths, sorted by l1, then l2, to channels.
    """

    degree: torch.Tensor

    def __init__(self, l_in: int, l_out: int, width: int) -> None:
        super().__init__()
        self.l_in, self.l_out = l_in, l_out
        self.register_buffer("degree", component_of(range(l_in + 1)), persistent=False)
        self.n_paths = [[min(l1, l3) + 1 for l3 in range(l_out + 1)] for l1 in range(l_in + 1)]
        self.mixes = nn.ModuleList(
            Linear(sum(of[l3] for of in self.n_paths) * width, width, bias=False) for l3 in range(l_out + 1)
        )

    def forward(self, sent: torch.Tensor, factors: torch.Tensor, couplings: Geometry) -> torch.Tensor:
        """Compute messages [E, (l_out + 1)², width] as `So2Convolution` does, given the matrices of `EdgeCouplings`."""
        blocks = split(sent * gather_components(factors, self.degree), [2 * l + 1 for l in range(self.l_in + 1)])
        products: list[list[torch.Tensor]] = [[] for _ in range(self.l_out + 1)]
        for l1, block in enumerate(blocks):
            sizes = [n * (2 * l3 + 1) for l3, n in enumerate(self.n_paths[l1])]
            coupling = couplings[l1]
            needed = coupling if coupling.shape[1] == sum(sizes) else coupling[:, : sum(sizes)]
            for l3, part in enumerate(split(rotate(needed, block), sizes)):
                products[l3].append(torch.unflatten(part, 1, (2 * l3 + 1, -1)))
        return concatenate(
            [mix(concatenate(of, dim=2).flatten(2)) for mix, of in zip(self.mixes, products, strict=True)]
        )


def convolution(
    kind: Literal["so2", "cg"], l_in: int, l_out: int, m_max: int, width: int
) -> So2Convolution | CgConvolution:
    """Make the convolution of a kind; m_max is for `so2` alone."""
    return So2Convolution(l_in, l_out, m_max, width) if kind == "so2" else CgConvolution(l_in, l_out, width)


def geometry(kind: Literal["so2", "cg"], l_max: int, m_max: int) -> EdgeFrames | EdgeCouplings:
    """Make the edge-geometry module that convolutions of a kind need."""
    return EdgeFrames(l_max, m_max) if kind == "so2" else EdgeCouplings(l_max)
