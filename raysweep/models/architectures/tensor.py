"""`tensor`: a high-order equivariant network on natural-parity irreps up to l_max.

Three convolutions carry tensors along edges. `sparse` sends the neighbour's scalars along the spherical harmonics of
the edge, and the neighbour's tensors unchanged; degrees couple at the atoms, in the product of the sum over neighbours
with itself (correlation 2 after the atomic cluster expansion, arXiv 1803.04764, and MACE, arXiv 2206.07697), not on
every edge, which would dominate the cost at about twelve edges an atom. `so2` and `cg` couple the neighbour's tensors
with the harmonics on every edge; see convolutions.py. All weight messages by learnt functions of the distance and
of both atoms' scalars.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from raysweep.data.graphs.batches import Batch
from raysweep.models.base import Architecture, DatasetInfo, ForceField, ForceMode, Size
from raysweep.models.layers.blocks import (
    DegreeLinear,
    ElementEmbedding,
    Linear,
    Norm,
    RadialBasis,
    Readout,
    TensorNorm,
    component_of,
    gather,
    gather_components,
    lengths_and_directions,
    scatter_sum,
)
from raysweep.models.layers.convolutions import (
    CgConvolution,
    EdgeCouplings,
    EdgeFrames,
    Geometry,
    ScalarConvolution,
    So2Convolution,
    convolution,
    geometry,
)
from raysweep.models.layers.harmonics import SphericalHarmonics
from raysweep.models.layers.operations import split, transposed
from raysweep.models.layers.products import AtomProduct


class TensorSize(Size):
    """Knobs of `tensor`: the common ones, the tensor order, and where degrees are coupled."""

    depth: int = Field(default=2, gt=0, description="message-passing layers")
    l_max: int = Field(default=1, ge=0, le=4, description="highest degree of the irreps; direct forces need 1 or more")
    convolution: Literal["sparse", "so2", "cg"] = Field(
        default="sparse",
        description="how edges carry tensors: unchanged (sparse), or coupled with the edge's direction, in its frame "
        "(so2) or by the full tensor product (cg, the same functions, slower)",
    )
    m_max: int = Field(
        default=4, ge=0, description="highest order |m| that so2 keeps in the frame of the edge; 4 keeps all"
    )
    correlation: int = Field(
        default=2, ge=1, le=3, description="order of the products of sums over neighbours at the atoms; 1 is none"
    )

    @model_validator(mode="after")
    def _degrees_meet(self) -> "TensorSize":
        if self.convolution == "sparse" and self.correlation == 1:
            raise ValueError(
                "correlation 1 leaves convolution 'sparse' without any product that couples degrees; "
                "choose correlation 2 or 3, or convolution 'so2'"
            )
        return self


class TensorLayer(nn.Module):
    """Message passing over features [(l + 1)², A, width] of all degrees up to l.

    Attributes:
        degree: degree of each component of a message; tensor_degree: the same, counted from degree 1.
        above: 1 for components of degrees above 0, else 0.
        gate: the index of the gate of each component of a tensor.
    """

    degree: torch.Tensor
    tensor_degree: torch.Tensor
    above: torch.Tensor
    gate: torch.Tensor

    def __init__(self, size: TensorSize, l_in: int, l_out: int) -> None:
        super().__init__()
        width, l_max = size.width, size.l_max if size.correlation > 1 else l_out
        self.norm = TensorNorm(size.norm, l_in, width)
        self.l_in, self.l_max, self.l_out, self.width = l_in, l_max, l_out, width
        self.scale = size.neighbours**-0.5
        # Scalars couple with the harmonics in only one way.
        kind = size.convolution
        self.convolution: So2Convolution | CgConvolution | ScalarConvolution | None = None
        assert l_in in (0, l_max) or kind != "sparse", f"sparse messages of degree {l_max} to features of {l_in}"
        if l_in > 0 and kind != "sparse":
            self.convolution = (
                convolution(kind, l_in, l_max, size.m_max, width) if l_max > 0 else ScalarConvolution(l_in, width)
            )
        self.up = DegreeLinear(range(l_in + 1), width, width) if self.convolution is None else None
        n_weights = l_max + 1 + l_in if self.convolution is None else l_in + 1
        self.from_edge = Linear(size.radial, width)
        self.from_sender = Linear(width, width, bias=False)
        self.from_receiver = Linear(width, width, bias=False)
        self.radial = Linear(width, n_weights * width, bias=False)
        self.product = AtomProduct(width, l_max, l_out, size.correlation, 1.0 / size.neighbours)
        self.skip = DegreeLinear(range(min(l_in, l_out) + 1), width, width)
        self.out = DegreeLinear(range(l_out + 1), width, width)
        degree = component_of(range(l_max + 1))
        self.register_buffer("degree", degree, persistent=False)
        self.register_buffer("tensor_degree", (degree - 1).clamp(min=0), persistent=False)
        self.register_buffer("above", (degree > 0).to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("gate", component_of(range(1, l_out + 1)), persistent=False)

    def forward(
        self,
        h: torch.Tensor,
        basis: torch.Tensor,
        envelope: torch.Tensor,
        y: torch.Tensor,
        directions: Geometry,
        batch: Batch,
    ) -> torch.Tensor:
        """Map features h to features.

        Args:
            h: of degrees 0 to l_in, [(l_in + 1)², A, width].
            basis: [E, n_basis], of the edges' lengths.
            envelope: [E, 1], of the edges' lengths.
            y: [E, (l_max + 1)²], the edges' harmonics.
            directions: edge geometry that the convolution needs; empty for `sparse`.
            batch: the structures.

        Returns:
            of degrees 0 to l_out, [(l_out + 1)², A, width].
        """
        normed = self.norm(h)
        h0 = normed[0]
        ends = gather(self.from_sender(h0), batch.senders) + gather(self.from_receiver(h0), batch.receivers)
        hidden = self.from_edge(basis) + ends
        weights = self.radial(nn.functional.silu(hidden) * (envelope * self.scale)).unflatten(1, (-1, self.width))
        if self.up is not None:
            normed = self.up(normed)
        sent = gather(transposed(normed), batch.senders)
        if self.convolution is None:
            scalars = gather(normed[0], batch.senders).unsqueeze(1)
            messages = self._sparse(sent, scalars, weights, y[:, : len(self.degree)])
        else:
            where = y if isinstance(self.convolution, ScalarConvolution) else directions
            messages = self.convolution(sent, weights, where)
        scalars, tensors = self.product(scatter_sum(messages, batch.receivers, batch.numbers.shape[0]))
        result: torch.Tensor
        if tensors is None:
            result = self.out(nn.functional.silu(scalars).unsqueeze(0))
        else:
            scalars, gates = torch.split(scalars, [self.width, self.l_out * self.width], dim=1)
            gates = transposed(torch.unflatten(torch.sigmoid(gates), 1, (self.l_out, self.width)))
            gated = tensors * gather(gates, self.gate)
            result = self.out(torch.cat([nn.functional.silu(scalars).unsqueeze(0), gated]))
        n_skip = len(self.skip.degree)
        skipped: torch.Tensor = self.skip(h if n_skip == len(h) else h[:n_skip])
        if n_skip < len(result):
            old, new = torch.split(result, [n_skip, len(result) - n_skip])
            return torch.cat([old + skipped, new])
        return result + skipped

    def _sparse(
        self, sent: torch.Tensor, scalars: torch.Tensor, weights: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor:
        """Compute messages [E, (l_max + 1)², width]: scalars along the harmonics, and tensors unchanged."""
        if self.l_in == 0:
            return gather_components(sent * weights, self.degree) * y.unsqueeze(2)
        unchanged, along = split(weights, [self.l_in + 1, self.l_max])
        directed = gather_components(scalars * along, self.tensor_degree) * (y * self.above).unsqueeze(2)
        return directed + sent * gather_components(unchanged, self.degree)


def layers_geometry(layers: Iterable[nn.Module], size: TensorSize) -> EdgeFrames | EdgeCouplings | None:
    """Make the edge-geometry module that the layers' convolutions need, if any."""
    takes = any(
        isinstance(layer, TensorLayer) and isinstance(layer.convolution, So2Convolution | CgConvolution)
        for layer in layers
    )
    return geometry(size.convolution, size.l_max, size.m_max) if takes and size.convolution != "sparse" else None


class Tensor(ForceField):
    """Energies are invariant and direct forces equivariant under rotations and reflections."""

    def __init__(self, size: TensorSize, forces: ForceMode, dataset: DatasetInfo) -> None:
        super().__init__(size, forces, dataset)
        self.basis = RadialBasis(size.radial, size.cutoff, size.basis)
        self.harmonics = SphericalHarmonics(size.l_max)
        self.embedding = ElementEmbedding(dataset.elements, size.width)
        l_last = 1 if forces == "direct" else 0
        degrees = [0] + [size.l_max] * (size.depth - 1) + [l_last]
        self.layers = nn.ModuleList(TensorLayer(size, l_in, l_out) for l_in, l_out in pairwise(degrees))
        self.geometry = layers_geometry(self.layers, size)
        self.norm = Norm(size.norm, size.width)
        self.energy = Readout(size.width, 1)
        self.force: nn.Module | None = None
        if forces == "direct":
            out = Linear(size.width, 1, bias=False, gain=size.width**-0.5)
            self.force = nn.Sequential(Norm(size.norm, size.width, tensor=True), out)

    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        lengths, directions = lengths_and_directions(vectors)
        basis, envelope = self.basis(lengths)
        y = self.harmonics(directions)
        aligned = [] if self.geometry is None else self.geometry(directions)
        h = self.embedding(batch.numbers).unsqueeze(0)
        for layer in self.layers:
            h = layer(h, basis, envelope, y, aligned, batch)
        energies = self.energy(self.norm(h[0])).squeeze(1)
        return energies, None if self.force is None else self.force(h[1:4].transpose(0, 1)).squeeze(2)


ARCHITECTURE = Architecture(Tensor, TensorSize, equivariant=True)
