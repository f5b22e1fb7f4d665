"""`egnn`: an equivariant network of scalars and several vector channels per atom (l = 1).

After the multi-channel EGNN (Levy et al., arXiv 2305.14415) and EGNN (Satorras et al., arXiv 2102.09844): atoms carry
vectors, messages depend on their differences through invariants, and vectors change along differences and edges.
"""

import torch
from pydantic import Field
from torch import nn

from raysweep.data.graphs.batches import Batch
from raysweep.models.base import Architecture, DatasetInfo, ForceField, ForceMode, Size
from raysweep.models.layers.blocks import (
    ElementEmbedding,
    Linear,
    Norm,
    NormKind,
    RadialBasis,
    Readout,
    gather,
    lengths_and_directions,
    scatter_sum,
)

LENGTH_FLOOR = 1e-2
"""Added to squared lengths of vector channels before the root, whose slope at zero would be infinite."""


class EgnnSize(Size):
    """Knobs of `egnn`: the common ones, and the vector channels."""

    vector_channels: int | None = Field(default=None, gt=0, description="vectors per atom; half the width by default")

    @property
    def vectors(self) -> int:
        """Vector channels per atom."""
        return self.vector_channels or max(1, self.width // 2)


class EgnnLayer(nn.Module):
    """Message passing over scalars h [A, width] and vectors v [A, 3, channels].

    In the first layer vectors are 0, so it has no weights for their differences.
    """

    def __init__(self, width: int, channels: int, n_basis: int, neighbours: float, norm: NormKind, first: bool) -> None:
        super().__init__()
        self.norm = Norm(norm, width)
        self.vector_norm = None if first else Norm(norm, channels, tensor=True)
        self.scale = neighbours**-0.5
        self.from_sender = Linear(width, width, bias=False)
        self.from_receiver = Linear(width, width)
        self.from_edge = Linear(n_basis, width, bias=False)
        self.from_invariants = None if first else Linear(channels, width, bias=False)
        self.along = Linear(width, channels if first else 2 * channels, gain=0.5)
        self.mix = Linear(channels, channels, bias=False)
        self.message = Linear(width, width, bias=False)
        self.update = Linear(width, width)
        self.norms = Linear(channels, width, bias=False)
        self.out = Linear(width, width)

    def forward(
        self,
        h: torch.Tensor,
        v: torch.Tensor,
        edge: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        batch: Batch,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (h, v) to (h, v), given the edges' basis [E, n_basis], envelope [E, 1] and directions [E, 3, 1]."""
        basis, envelope, directions = edge
        x = self.norm(h)
        sent, received = gather(self.from_sender(x), batch.senders), gather(self.from_receiver(x), batch.receivers)
        message = self.from_edge(basis) + sent + received
        if self.from_invariants is not None and self.vector_norm is not None:
            # [E, 3, channels]: how the vectors of both ends differ; its part along the edge is invariant.
            vectors = self.vector_norm(v)
            difference = gather(vectors, batch.senders) - gather(vectors, batch.receivers)
            message = message + self.from_invariants((difference * directions).sum(dim=1))
        message = nn.functional.silu(message) * (envelope * self.scale)
        along = (self.along(message) * envelope).unsqueeze(1)
        if self.from_invariants is None:
            move = directions * along
        else:
            along_edge, along_difference = along.chunk(2, dim=2)
            move = torch.addcmul(directions * along_edge, difference, along_difference)
        v = v + scatter_sum(move, batch.receivers, h.shape[0])
        # Lengths, not their squares: the network stays of first degree in its vectors, however deep it is.
        lengths = (self.mix(v).square().sum(dim=1) + LENGTH_FLOOR).sqrt()
        total = self.message(scatter_sum(message, batch.receivers, h.shape[0])) + self.norms(lengths)
        return h + self.out(nn.functional.silu(total + self.update(x))), v


class Egnn(ForceField):
    """Energies are invariant and direct forces equivariant under rotations and reflections."""

    def __init__(self, size: EgnnSize, forces: ForceMode, dataset: DatasetInfo) -> None:
        super().__init__(size, forces, dataset)
        self.channels = size.vectors
        self.basis = RadialBasis(size.radial, size.cutoff, size.basis)
        self.embedding = ElementEmbedding(dataset.elements, size.width)
        self.layers = nn.ModuleList(
            EgnnLayer(size.width, self.channels, size.radial, size.neighbours, size.norm, first=layer == 0)
            for layer in range(size.depth)
        )
        self.norm = Norm(size.norm, size.width)
        self.energy = Readout(size.width, 1)
        self.force: nn.Module | None = None
        if forces == "direct":
            out = Linear(self.channels, 1, bias=False, gain=self.channels**-0.5)
            self.force = nn.Sequential(Norm(size.norm, self.channels, tensor=True), out)

    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        lengths, directions = lengths_and_directions(vectors)
        basis, envelope = self.basis(lengths)
        edge = (basis, envelope, directions.unsqueeze(2))
        h = self.embedding(batch.numbers)
        v = h.new_zeros(h.shape[0], 3, self.channels)
        for layer in self.layers:
            h, v = layer(h, v, edge, batch)
        energies = self.energy(self.norm(h)).squeeze(1)
        return energies, None if self.force is None else self.force(v).squeeze(2)


ARCHITECTURE = Architecture(Egnn, EgnnSize, equivariant=True)
