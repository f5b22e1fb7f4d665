"""Pieces that every architecture is made of.

Every weight is stored as [..., fan_in, fan_out]: `width_scaling` measures fan-in from the shapes alone.
"""

import math

import torch
from torch import nn


class Linear(nn.Module):
    """`x @ weight + bias` over the last axis, weight [n_in, n_out] drawn from N(0, gain² / n_in)."""

    def __init__(self, n_in: int, n_out: int, bias: bool = True, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_in, n_out) * (gain / math.sqrt(n_in)))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [..., n_in] to [..., n_out]."""
        if self.bias is None:
            return x @ self.weight
        if x.dim() == 2:
            return torch.addmm(self.bias, x, self.weight)
        return x @ self.weight + self.bias


class Readout(nn.Module):
    """Two layers from [A, width] features to [A, n_out] outputs.

    The last weight starts at N(0, 1 / width²), the output rule of muP (arXiv 2203.03466, table 8).
    """

    def __init__(self, width: int, n_out: int) -> None:
        super().__init__()
        self.hidden = Linear(width, width)
        self.out = Linear(width, n_out, bias=False, gain=1.0 / math.sqrt(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [A, width] to [A, n_out]."""
        out: torch.Tensor = self.out(nn.functional.silu(self.hidden(x)))
        return out


class ElementEmbedding(nn.Module):
    """A trainable row of `width` numbers for each element that the data holds."""

    index: torch.Tensor

    def __init__(self, elements: tuple[int, ...], width: int) -> None:
        super().__init__()
        index = torch.full((max(elements) + 1,), -1, dtype=torch.int64)
        index[list(elements)] = torch.arange(len(elements))
        self.register_buffer("index", index, persistent=False)
        self.weight = nn.Parameter(torch.randn(len(elements), width))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Map [A] atomic numbers to [A, width]."""
        return self.weight[self.index[numbers]]


class RadialBasis(nn.Module):
    """Bessel functions times a polynomial envelope that vanishes smoothly at the cutoff (arXiv 2003.03123, eq. 7–8)."""

    frequencies: torch.Tensor

    def __init__(self, n_basis: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.register_buffer("frequencies", torch.arange(1, n_basis + 1) * (math.pi / cutoff), persistent=False)

    def forward(self, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map [E, 1] lengths in Å to the basis [E, n_basis], envelope included, and the envelope [E, 1]."""
        envelope = self.envelope(lengths)
        bessel = torch.sin(lengths * self.frequencies) * (math.sqrt(2.0 / self.cutoff) * envelope / lengths)
        return bessel * self.cutoff, envelope

    def envelope(self, lengths: torch.Tensor) -> torch.Tensor:
        """Return 1 - 28 x⁶ + 48 x⁷ - 21 x⁸ with x = length / cutoff: value, slope and curvature vanish at x = 1."""
        x = lengths / self.cutoff
        x6 = x * x * x
        x6 = x6 * x6
        return (1.0 + x6 * (-28.0 + x * (48.0 - 21.0 * x))) * (x < 1.0)


def lengths_and_directions(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Map [E, 3] edge vectors in Å to lengths [E, 1] in Å and unit vectors [E, 3]."""
    lengths = vectors.square().sum(dim=1, keepdim=True).sqrt()
    return lengths, vectors / lengths


def sum_to(values: torch.Tensor, index: torch.Tensor, n: int) -> torch.Tensor:
    """Sum rows of `values` [E, ...] that share an index into [n, ...]."""
    return values.new_zeros((n, *values.shape[1:])).index_add(0, index, values)
