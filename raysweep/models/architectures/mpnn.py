"""`mpnn`: unconstrained message passing on raw relative vectors, the baseline without rotational symmetry."""

import torch
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


class MpnnSize(Size):
    """Knobs of `mpnn`: the common ones."""


class MpnnLayer(nn.Module):
    """Message passing over scalars.

    A message is a two-layer perceptron of both ends and the edge; since a sum and a linear map commute, its second
    layer is applied after the sum over neighbours, to atoms instead of edges.
    """

    def __init__(self, width: int, n_edge: int, neighbours: float, norm: NormKind) -> None:
        super().__init__()
        self.norm = Norm(norm, width)
        self.scale = neighbours**-0.5
        self.from_sender = Linear(width, width, bias=False)
        self.from_receiver = Linear(width, width)
        self.from_edge = Linear(n_edge, width, bias=False)
        self.message = Linear(width, width, bias=False)
        self.update = Linear(width, width)
        self.out = Linear(width, width)

    def forward(self, h: torch.Tensor, edge: torch.Tensor, envelope: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Map atoms [A, width] to [A, width], given edge features [E, n_edge] and the envelope [E, 1]."""
        x = self.norm(h)
        sent, received = gather(self.from_sender(x), batch.senders), gather(self.from_receiver(x), batch.receivers)
        message = self.from_edge(edge) + sent + received
        message = nn.functional.silu(message) * (envelope * self.scale)
        total = self.message(scatter_sum(message, batch.receivers, h.shape[0]))
        update: torch.Tensor = self.out(nn.functional.silu(total + self.update(x)))
        return h + update


class Mpnn(ForceField):
    """Edge features are the raw relative vector, its direction and a radial basis: translation-invariant, no more."""

    def __init__(self, size: MpnnSize, forces: ForceMode, dataset: DatasetInfo) -> None:
        super().__init__(size, forces, dataset)
        self.basis = RadialBasis(size.radial, size.cutoff, size.basis)
        self.embedding = ElementEmbedding(dataset.elements, size.width)
        self.layers = nn.ModuleList(
            MpnnLayer(size.width, size.radial + 6, size.neighbours, size.norm) for _ in range(size.depth)
        )
        self.norm = Norm(size.norm, size.width)
        self.energy = Readout(size.width, 1)
        self.force = Readout(size.width, 3) if forces == "direct" else None

    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        lengths, directions = lengths_and_directions(vectors)
        basis, envelope = self.basis(lengths)
        edge = torch.cat([vectors, directions, basis], dim=1)
        h = self.embedding(batch.numbers)
        for layer in self.layers:
            h = layer(h, edge, envelope, batch)
        h = self.norm(h)
        return self.energy(h).squeeze(1), None if self.force is None else self.force(h)


ARCHITECTURE = Architecture(Mpnn, MpnnSize, equivariant=False)
