"""`schnet`: PyTorch Geometric's SchNet on raysweep's edges; see geometric.py for how it differs from the original."""

from typing import Literal

import torch
from pydantic import Field

from raysweep.data.graphs.batches import Batch
from raysweep.models.architectures.edge_forces import PairForces
from raysweep.models.architectures.geometric import reset, schnet
from raysweep.models.base import Architecture, DatasetInfo, ForceField, ForceMode, Size
from raysweep.models.layers.blocks import ElementEmbedding, lengths_and_directions


class SchNetSize(Size):
    """Knobs of `schnet`: the common ones; hidden channels and filters are the width, interactions the depth."""

    radial: int = Field(default=50, gt=1, description="radial basis functions")
    basis: Literal["gaussian"] = Field(default="gaussian", description="kind of the radial basis functions")
    norm: Literal["none"] = Field(default="none", description="this network has no normalisation")
    neighbours: float = Field(default=12.0, gt=0, description="divides, as its root, the sums of direct forces only")


class SchNet(ForceField):
    """SchNet (arXiv 1706.08566). Messages end in a cosine: energies have a continuous slope at the cutoff."""

    def __init__(self, size: SchNetSize, forces: ForceMode, dataset: DatasetInfo) -> None:
        super().__init__(size, forces, dataset)
        width = size.width
        self.network = schnet.SchNet(width, width, size.depth, size.radial, size.cutoff)
        self.network.embedding = ElementEmbedding(dataset.elements, width)
        reset(self.network, out=self.network.lin2)
        self.force = PairForces(size) if forces == "direct" else None

    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        net = self.network
        lengths, directions = lengths_and_directions(vectors)
        edges, weight = torch.stack([batch.senders, batch.receivers]), lengths.squeeze(1)
        smeared = net.distance_expansion(weight)
        h = net.embedding(batch.numbers)
        for interaction in net.interactions:
            h = h + interaction(h, edges, weight, smeared)
        energies = net.lin2(net.act(net.lin1(h))).squeeze(1)
        return energies, None if self.force is None else self.force(h, lengths, directions, batch)


ARCHITECTURE = Architecture(SchNet, SchNetSize, equivariant=True)
