"""Convolutions of `tensor` that couple the neighbour's tensors with the direction of the edge, degree by degree.

Both span the same functions: for every pair of degrees (l1, l3) as many weights, per channel and edge, as the full
tensor product has natural-parity paths, min(l1, l3) + 1. `cg` spells the product out, h_l1 ⊗ Y_l2 into l3 for every
path, O(l⁶). `so2` turns the features into a frame whose polar axis is the edge, where the product is diagonal in the
order m and the same for m and -m, O(l³) (after eSCN, arXiv 2302.03655; its mixing of m with -m is odd under reflection
and left out). A fixed linear map per (l1, l3) carries the weights of one into those of the other.
"""

import math
from typing import Literal

import torch
from torch import nn

from raysweep.models.harmonics import SphericalHarmonics, block, edge_coupling, edge_paths, half_turn

Geometry = list[torch.Tensor]
"""What a convolution needs of the edges' directions, a tensor for each degree l1: computed once for all layers."""


class EdgeFrames(nn.Module):
    """Representations D_l of an orthogonal map that takes each edge's direction to the polar axis y.

    A rotation by π about the bisector of direction and axis does, except near the opposite pole: there the bisector of
    direction and -y serves, followed by an inversion. So D_l is symmetric, a polynomial of the bisector, and nowhere
    singular. Which map is taken does not matter: what follows is invariant about the axis and under reflection.
    """

    even: torch.Tensor
    turns: torch.Tensor
    parities: torch.Tensor
    axis: torch.Tensor

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.harmonics = SphericalHarmonics(2 * l_max)
        degrees = range(1, l_max + 1)
        self.sizes = [(2 * l + 1) ** 2 for l in degrees]
        n_even = (l_max + 1) * (2 * l_max + 1)
        turns = [half_turn(l) for l in degrees]
        turns = [torch.cat([turn, turn.new_zeros(n_even - len(turn), turn.shape[1])]) for turn in turns]
        even = torch.cat([torch.arange(l * l, (l + 1) ** 2) for l in range(0, 2 * l_max + 1, 2)])
        parities = torch.cat([torch.full((size,), (-1.0) ** l) for l, size in zip(degrees, self.sizes, strict=True)])
        dtype = torch.get_default_dtype()
        self.register_buffer("even", even, persistent=False)
        self.register_buffer("turns", torch.cat(turns, dim=1).to(dtype), persistent=False)
        self.register_buffer("parities", parities.to(dtype), persistent=False)
        self.register_buffer("axis", torch.tensor([0.0, 1.0, 0.0], dtype=dtype), persistent=False)

    def forward(self, directions: torch.Tensor) -> Geometry:
        """Map unit vectors [E, 3] to D_1, ..., D_l_max, each [E, 2l + 1, 2l + 1]."""
        below = directions[:, 1:2] < 0
        bisectors = directions + torch.where(below, -self.axis, self.axis)
        bisectors = bisectors * bisectors.square().sum(dim=1, keepdim=True).rsqrt()
        turns = self.harmonics(bisectors).index_select(1, self.even) @ self.turns
        turns = turns * torch.where(below, self.parities, torch.ones_like(self.parities))
        parts = torch.split(turns, self.sizes, dim=1)
        return [torch.unflatten(part, 1, (2 * l + 1, 2 * l + 1)) for l, part in enumerate(parts, start=1)]


class So2Convolution(nn.Module):
    """Weights for each (l1, l3, |m|) in the frame of the edge.

    Attributes:
        n_weights: per channel and edge; ordered by |m|, then l1, then l3.
    """

    to_orders: torch.Tensor
    to_degrees: torch.Tensor

    def __init__(self, l_in: int, l_out: int) -> None:
        super().__init__()
        assert l_in >= l_out, f"no features of degree above {l_in} can be aligned, asked for {l_out}"
        self.l_in, self.l_out = l_in, l_out
        kept = [min(l, l_out) for l in range(l_in + 1)]
        starts = [sum(2 * k + 1 for k in kept[:l]) for l in range(l_in + 1)]
        signed = [(m,) if m == 0 else (-m, m) for m in range(l_out + 1)]
        to_orders = [starts[l] + kept[l] + s for m in range(l_out + 1) for s in signed[m] for l in range(m, l_in + 1)]
        by_order = [l * l + l + s for m in range(l_out + 1) for s in signed[m] for l in range(m, l_out + 1)]
        self.register_buffer("to_orders", torch.tensor(to_orders), persistent=False)
        self.register_buffer("to_degrees", torch.argsort(torch.tensor(by_order)), persistent=False)
        self.blocks = [(len(signed[m]), l_in + 1 - m, l_out + 1 - m) for m in range(l_out + 1)]
        self.kept = kept
        self.n_weights = sum(n_in * n_out for _, n_in, n_out in self.blocks)
        self.gain = (l_in + 1) ** -0.5

    def forward(self, sent: list[torch.Tensor], weights: torch.Tensor, frames: Geometry) -> list[torch.Tensor]:
        """Return messages of degrees 0 to l_out, [E, 2l + 1, width] each.

        Args:
            sent: the senders' features of degrees 0 to l_in, [E, 2l + 1, width] each.
            weights: [E, n_weights, width].
            frames: of `EdgeFrames`.
        """
        turned = [sent[0]]
        for l in range(1, self.l_in + 1):
            k, frame = self.kept[l], frames[l - 1]
            turned.append(torch.bmm(frame if k == l else frame[:, l - k : l + k + 1], sent[l]))
        orders = torch.cat(turned, dim=1).index_select(1, self.to_orders)
        parts = torch.split(orders, [n_signs * n_in for n_signs, n_in, _ in self.blocks], dim=1)
        factors = torch.split(weights, [n_in * n_out for _, n_in, n_out in self.blocks], dim=1)
        mixed = []
        for part, factor, (n_signs, n_in, n_out) in zip(parts, factors, self.blocks, strict=True):
            terms = torch.unflatten(part, 1, (n_signs, n_in)).unsqueeze(3) * torch.unflatten(
                factor, 1, (1, n_in, n_out)
            )
            mixed.append(terms.sum(dim=2).flatten(1, 2))
        degrees = torch.cat(mixed, dim=1).index_select(1, self.to_degrees)
        scalars, *tensors = torch.split(degrees, [2 * l + 1 for l in range(self.l_out + 1)], dim=1)
        return [scalars, *(torch.bmm(frames[l], x) for l, x in enumerate(tensors))]


class EdgeCouplings(nn.Module):
    """The matrices by which each path couples a neighbour's features with the harmonics of the edge."""

    def __init__(self, l_max: int) -> None:
        super().__init__()
        self.l_max = l_max
        self.harmonics = SphericalHarmonics(2 * l_max)
        self.paths = edge_paths(l_max, l_max)
        for l2 in range(2 * l_max + 1):
            columns = [
                edge_coupling(*path).permute(1, 2, 0).flatten(1) / math.sqrt(sum(p[1] == path[1] for p in self.paths))
                for path in self.paths
                if path[2] == l2
            ]
            self.register_buffer(f"couple_{l2}", torch.cat(columns, dim=1).to(torch.get_default_dtype()), False)

    def forward(self, directions: torch.Tensor) -> Geometry:
        """Map unit vectors [E, 3] to a matrix [E, components of all paths, 2 l1 + 1] for every l1."""
        y = self.harmonics(directions)
        parts: dict[tuple[int, int, int], torch.Tensor] = {}
        for l2 in range(2 * self.l_max + 1):
            paths = [path for path in self.paths if path[2] == l2]
            coupled = y[:, block(l2)] @ getattr(self, f"couple_{l2}")
            split = torch.split(coupled, [(2 * l1 + 1) * (2 * l3 + 1) for l1, l3, _ in paths], dim=1)
            parts.update(zip(paths, split, strict=True))
        return [
            torch.unflatten(torch.cat([parts[p] for p in self.paths if p[0] == l1], dim=1), 1, (-1, 2 * l1 + 1))
            for l1 in range(self.l_max + 1)
        ]


class CgConvolution(nn.Module):
    """Weights for each path (l1, l3, l2) of the full tensor product with the harmonics.

    Attributes:
        n_weights: per channel and edge; ordered by l1, then l3, then l2.
    """

    def __init__(self, l_in: int, l_out: int) -> None:
        super().__init__()
        self.l_in, self.l_out = l_in, l_out
        self.n_weights = len(edge_paths(l_in, l_out))
        self.gain = 1.0

    def forward(self, sent: list[torch.Tensor], weights: torch.Tensor, couplings: Geometry) -> list[torch.Tensor]:
        """Return messages of degrees 0 to l_out, as `So2Convolution` does, given those of `EdgeCouplings`."""
        degrees = range(self.l_out + 1)
        factors = iter(torch.split(weights, [min(l1, l3) + 1 for l1 in range(self.l_in + 1) for l3 in degrees], dim=1))
        messages: list[torch.Tensor] = []
        for l1, (features, coupling) in enumerate(zip(sent, couplings, strict=True)):
            sizes = [(min(l1, l3) + 1) * (2 * l3 + 1) for l3 in degrees]
            products = torch.split(torch.bmm(coupling[:, : sum(sizes)], features), sizes, dim=1)
            for l3, product in enumerate(products):
                term = (torch.unflatten(product, 1, (-1, 2 * l3 + 1)) * next(factors).unsqueeze(2)).sum(dim=1)
                if l1 == 0:
                    messages.append(term)
                else:
                    messages[l3] = messages[l3] + term
        return messages


def convolution(kind: Literal["so2", "cg"], l_in: int, l_out: int) -> So2Convolution | CgConvolution:
    """Return the convolution of that kind."""
    return So2Convolution(l_in, l_out) if kind == "so2" else CgConvolution(l_in, l_out)


def geometry(kind: Literal["so2", "cg"], l_max: int) -> EdgeFrames | EdgeCouplings:
    """Return what turns directions into the geometry that convolutions of that kind take."""
    return EdgeFrames(l_max) if kind == "so2" else EdgeCouplings(l_max)
