"""Building blocks of the architectures.

Every weight is stored as [..., fan_in, fan_out]: `raysweep.models.mup` reads the fan-in off the shape alone.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

NormKind = Literal["none", "layer", "rms"]

_NORM_FLOOR = 1e-3
"""Added to mean squares before the root: derivatives stay finite where features vanish."""


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


class DegreeLinear(nn.Module):
    """One matrix per degree, shared by its components: features [components, A, n_in] times weight [l, n_in, n_out].

    Args:
        degrees: those of the features, ascending; the 2l + 1 components of each are contiguous.
        n_in, n_out: channels.
    """

    degree: torch.Tensor

    def __init__(self, degrees: Sequence[int], n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(len(degrees), n_in, n_out) * n_in**-0.5)
        self.register_buffer("degree", component_of(degrees), persistent=False)
        self.only_scalars = len(self.degree) == len(degrees)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [components, A, n_in] to [components, A, n_out]."""
        return torch.bmm(x, self.weight if self.only_scalars else gather(self.weight, self.degree))


def component_of(degrees: Sequence[int]) -> torch.Tensor:
    """The index of the degree that each component of features of those degrees belongs to."""
    sizes = torch.tensor([2 * l + 1 for l in degrees], dtype=torch.int64)
    return torch.repeat_interleave(torch.arange(len(degrees)), sizes)


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
    """A trainable row of `width` numbers for each element in the data."""

    index: torch.Tensor

    def __init__(self, elements: tuple[int, ...], width: int) -> None:
        super().__init__()
        index = torch.full((max(elements) + 1,), -1, dtype=torch.int64)
        index[list(elements)] = torch.arange(len(elements))
        self.register_buffer("index", index, persistent=False)
        self.weight = nn.Parameter(torch.randn(len(elements), width))

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """Map [A] atomic numbers to [A, width]."""
        return gather(self.weight, self.index[numbers])


class Norm(nn.Module):
    """Normalises features over their channels, scalars and tensors alike, without breaking their symmetry.

    Scalars [..., width]: `layer` subtracts the mean and divides by the standard deviation, `rms` divides by the root
    mean square. Components of degree l > 0, [..., 2l + 1, width], are divided by the root mean square of all their
    components; there, too, `layer` subtracts the mean over channels, which is a tensor of the same degree. A
    trainable scale per channel follows, and for scalars under `layer` a shift (after arXiv 1607.06450, 1910.07467).
    """

    def __init__(self, kind: NormKind, width: int, tensor: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self._axes = (-2, -1) if tensor else (-1,)
        if kind != "none":
            self.scale = nn.Parameter(torch.ones(width))
        if kind == "layer" and not tensor:
            self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise features; the shape stays."""
        if self.kind == "none":
            return x
        if self.kind == "layer":
            x = x - x.mean(dim=-1, keepdim=True)
        x = x * (x.square().mean(dim=self._axes, keepdim=True) + _NORM_FLOOR).rsqrt() * self.scale
        return x + self.shift if hasattr(self, "shift") else x


class TensorNorm(nn.Module):
    """Normalises features of all degrees up to l_max, [(l_max + 1)², A, width], each as `Norm` does."""

    degree: torch.Tensor
    average: torch.Tensor

    def __init__(self, kind: NormKind, l_max: int, width: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "none":
            return
        self.scale = nn.Parameter(torch.ones(l_max + 1, width))
        if kind == "layer":
            self.shift = nn.Parameter(torch.zeros(width))
        degree = component_of(range(l_max + 1))
        average = nn.functional.one_hot(degree).T / (2.0 * torch.arange(l_max + 1).unsqueeze(1) + 1.0)
        self.register_buffer("degree", degree, persistent=False)
        self.register_buffer("average", average.to(torch.get_default_dtype()), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise features; the shape stays."""
        if self.kind == "none":
            return x
        if self.kind == "layer":
            x = x - x.mean(dim=2, keepdim=True)
        inverse = (self.average @ x.square().mean(dim=2) + _NORM_FLOOR).rsqrt()
        x = x * gather(inverse, self.degree).unsqueeze(2) * gather(self.scale, self.degree).unsqueeze(1)
        return x if self.kind == "rms" else torch.cat([x[:1] + self.shift, x[1:]])


class RadialBasis(nn.Module):
    """Functions of the distance times a polynomial envelope that vanishes smoothly at the cutoff.

    `bessel`: spherical Bessel functions of order 0 with the envelope of arXiv 2003.03123, eq. 7–8. `gaussian`: evenly
    spaced from 0 to the cutoff, as wide as their spacing (SchNet, arXiv 1706.08566). The values of both are of the
    order of 1.
    """

    points: torch.Tensor

    def __init__(self, n_basis: int, cutoff: float, kind: Literal["bessel", "gaussian"] = "bessel") -> None:
        super().__init__()
        self.cutoff, self.kind = cutoff, kind
        self.spacing = cutoff / max(n_basis - 1, 1)
        steps = torch.arange(1, n_basis + 1)
        points = steps * (math.pi / cutoff) if kind == "bessel" else (steps - 1) * self.spacing
        self.register_buffer("points", points.to(torch.get_default_dtype()), persistent=False)

    def forward(self, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map [E, 1] lengths in Å to the basis [E, n_basis], envelope included, and the envelope [E, 1]."""
        envelope = self.envelope(lengths)
        if self.kind == "gaussian":
            return torch.exp(-0.5 * ((lengths - self.points) / self.spacing).square()) * envelope, envelope
        bessel = torch.sin(lengths * self.points) * (math.sqrt(2.0 / self.cutoff) * envelope / lengths)
        return bessel * self.cutoff, envelope

    def envelope(self, lengths: torch.Tensor) -> torch.Tensor:
        """Envelope 1 - 28 x⁶ + 48 x⁷ - 21 x⁸ of x = length / cutoff: value, slope and curvature vanish at x = 1."""
        x = lengths / self.cutoff
        x6 = x * x * x
        x6 = x6 * x6
        return (1.0 + x6 * (-28.0 + x * (48.0 - 21.0 * x))) * (x < 1.0)


def lengths_and_directions(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Map [E, 3] edge vectors in Å to lengths [E, 1] in Å and unit vectors [E, 3]."""
    lengths = vectors.square().sum(dim=1, keepdim=True).sqrt()
    return lengths, vectors / lengths


def gather(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Gather `values[index]`, [n, ...] to [E, ...], by the operation that is ten times faster on a CPU."""
    return values.index_select(0, index)


def gather_components(values: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Gather `values[:, index]`, [E, l, width] to [E, n, width]: from degrees to their components."""
    return values.index_select(1, index)


def scatter_sum(values: torch.Tensor, index: torch.Tensor, n: int) -> torch.Tensor:
    """Sum rows of `values` [E, ...] that share an index into [n, ...]."""
    return values.new_zeros((n, *values.shape[1:])).index_add(0, index, values)
