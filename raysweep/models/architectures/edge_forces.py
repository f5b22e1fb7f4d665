"""Direct forces of invariant networks: a scalar of each edge times its direction, summed at the receiver."""

import torch
from torch import nn

from raysweep.data.graphs.batches import Batch
from raysweep.models.base import Size
from raysweep.models.layers.blocks import Linear, Norm, RadialBasis, gather, scatter_sum


class EdgeForces(nn.Module):
    """The scalar is computed from edge embeddings and the distance."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.norm = Norm(size.norm, size.width)
        self.from_edge = Linear(size.radial, size.width, bias=False)
        self.out = Linear(size.width, 1, bias=False, gain=size.width**-0.5)
        self.scale = size.neighbours**-0.5

    def forward(self, m: torch.Tensor, basis: torch.Tensor, directions: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Map edge embeddings [E, width], basis [E, n_basis] and directions [E, 3] to forces [A, 3]."""
        pull = self.out(self.norm(m) * self.from_edge(basis)) * self.scale
        return scatter_sum(pull * directions, batch.receivers, batch.numbers.shape[0])


class PairForces(nn.Module):
    """The scalar is computed from both atoms' scalars and the distance, for networks without edge embeddings."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.basis = RadialBasis(size.radial, size.cutoff, size.basis)
        self.from_sender = Linear(size.width, size.width, bias=False)
        self.from_receiver = Linear(size.width, size.width, bias=False)
        self.from_edge = Linear(size.radial, size.width)
        self.out = Linear(size.width, 1, bias=False, gain=size.width**-0.5)
        self.scale = size.neighbours**-0.5

    def forward(self, h: torch.Tensor, lengths: torch.Tensor, directions: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Map atoms [A, width] and edges' lengths [E, 1] and directions [E, 3] to forces [A, 3]."""
        basis, envelope = self.basis(lengths)
        ends = gather(self.from_sender(h), batch.senders) + gather(self.from_receiver(h), batch.receivers)
        pull = self.out(nn.functional.silu(self.from_edge(basis) + ends)) * (envelope * self.scale)
        return scatter_sum(pull * directions, batch.receivers, h.shape[0])
