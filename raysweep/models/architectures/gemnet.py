"""`gemnet`: an invariant network of directed edge embeddings with angles and dihedral angles, without tensor features.

After GemNet (arXiv 2106.08903) and GemNet-OC (arXiv 2204.02782): high body order, low tensor order. Those enumerate
triplets and quadruplets of atoms; here the same sums come from densities. By the addition theorem of spherical
harmonics, sum over k of f(m_jk) (2l + 1) P_l(cos(angle of jk and ji)) is the inner product of Y_l(ji) with
sum over k of f(m_jk) Y_l(jk), so triplets cost a density at each atom and an inner product at each edge. The inner
product of the densities at both ends of an edge is the sum over the pairs of a neighbour at one end and one at the
other: four atoms and their dihedral angle. Both are linear in the edges.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from raysweep.data.graphs.batches import Batch
from raysweep.models.architectures.edge_forces import EdgeForces
from raysweep.models.base import Architecture, DatasetInfo, ForceField, ForceMode, Size
from raysweep.models.layers.blocks import (
    ElementEmbedding,
    Linear,
    Norm,
    RadialBasis,
    Readout,
    gather,
    lengths_and_directions,
    scatter_sum,
)
from raysweep.models.layers.harmonics import SphericalHarmonics


class GemnetSize(Size):
    """Knobs of `gemnet`: the common ones, the body order, and those of its angular functions."""

    depth: int = Field(default=2, gt=0, description="message-passing layers")
    body_order: Literal[3, 4] = Field(default=4, description="3: angles; 4: dihedral angles too")
    angular: int = Field(default=3, ge=1, le=6, description="highest degree of the Legendre polynomials of angles")
    channels: int | None = Field(
        default=None, gt=0, description="channels of angles and dihedral angles; a quarter of the width by default"
    )

    @property
    def down(self) -> int:
        """Channels that the many-body terms are projected down to."""
        return self.channels or max(1, self.width // 4)


class ManyBody(nn.Module):
    """Sums over triplets and quadruplets that contain an edge, [E, n_out] from edge embeddings [E, width].

    Channel c of an edge from atom i to its neighbour j has, with i and j excluded from the sums over neighbours k,

    * sum over k of i: F_c(ik, cos(jik)), and sum over k of j: F_c(jk, cos(ijk));
    * for body order 4, sum over k of i, k' of j, l: (2l + 1) f_cl(ik) f_cl(jk') P_l(cos of the angle of ik and jk'),

    where F_c(ik, x) is the sum over l of (2l + 1) f_cl(ik) P_l(x), and f_cl depends on the edge's embedding and length.
    Embeddings enter through tanh: a product of two sums would grow as their square, and doubly so in the next layer.
    """

    degree: torch.Tensor

    def __init__(self, size: GemnetSize) -> None:
        super().__init__()
        self.body_order = size.body_order
        self.n_channels = size.down
        n = size.angular + 1
        self.n_out = (size.body_order - 1) * size.down
        # Divided by the square roots of the typical neighbours and of the components that an inner product sums.
        self.scale, self.inner_scale = size.neighbours**-0.5, 1.0 / n
        degree = torch.tensor([l for l in range(n) for _ in range(2 * l + 1)])
        self.register_buffer("degree", degree, persistent=False)
        self.project = Linear(size.width, size.down, bias=False)
        self.from_edge = Linear(size.radial, n * size.down, bias=False)

    def forward(
        self, m: torch.Tensor, basis: torch.Tensor, y: torch.Tensor, reverse: torch.Tensor, batch: Batch
    ) -> torch.Tensor:
        """Compute [E, n_out], given basis [E, n_basis], harmonics [E, (angular + 1)²] and each edge's reverse [E]."""
        radial = self.from_edge(basis).unflatten(1, (-1, self.n_channels))
        f = radial * (torch.tanh(self.project(m)) * self.scale).unsqueeze(1)
        term = f.index_select(1, self.degree) * y.unsqueeze(2)
        density = scatter_sum(term, batch.receivers, batch.numbers.shape[0])
        at_receiver = gather(density, batch.receivers) - term
        at_sender = gather(density, batch.senders) - gather(term, reverse)
        sums = [
            (at_receiver * y.unsqueeze(2)).sum(dim=1),
            (at_sender * gather(y, reverse).unsqueeze(2)).sum(dim=1),
        ]
        if self.body_order == 4:
            sums.append((at_receiver * at_sender).sum(dim=1))
        return torch.cat(sums, dim=1) * self.inner_scale


class GemnetLayer(nn.Module):
    """Message passing: edges are updated from neighbouring edges and both atoms, then atoms from their edges.

    In the first layer atoms carry nothing that the edges do not, so it has no weights for them.
    """

    def __init__(self, size: GemnetSize, first: bool) -> None:
        super().__init__()
        width = size.width
        self.edge_norm = Norm(size.norm, width)
        self.norm = Norm(size.norm, width)
        self.scale = size.neighbours**-0.5
        self.many_body = ManyBody(size)
        self.from_self = Linear(width, width)
        self.from_many_body = Linear(self.many_body.n_out, width, bias=False)
        self.from_sender = None if first else Linear(width, width, bias=False)
        self.from_receiver = None if first else Linear(width, width, bias=False)
        self.edge_out = Linear(width, width, bias=False, gain=0.3)
        self.from_edge = Linear(size.radial, width, bias=False)
        self.message = Linear(width, width, bias=False)
        self.update = Linear(width, width)
        self.out = Linear(width, width, gain=0.5)

    def forward(
        self,
        h: torch.Tensor,
        m: torch.Tensor,
        edge: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
        batch: Batch,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Map atoms h [A, width] and edges m [E, width], given basis, harmonics and reverses as in `ManyBody`."""
        basis, y, reverse = edge
        x, e = self.norm(h), self.edge_norm(m)
        hidden = self.from_self(e) + self.from_many_body(self.many_body(e, basis, y, reverse, batch))
        if self.from_sender is not None and self.from_receiver is not None:
            hidden = (
                hidden + gather(self.from_sender(x), batch.senders) + gather(self.from_receiver(x), batch.receivers)
            )
        m = m + self.edge_out(nn.functional.silu(hidden))
        total = scatter_sum(m * (self.from_edge(basis) * self.scale), batch.receivers, h.shape[0])
        return h + self.out(nn.functional.silu(self.message(total) + self.update(x))), m


class Gemnet(ForceField):
    """Energies are invariant; direct forces are sums of invariants times the edges' directions, so equivariant."""

    def __init__(self, size: GemnetSize, forces: ForceMode, dataset: DatasetInfo) -> None:
        super().__init__(size, forces, dataset)
        width = size.width
        self.basis = RadialBasis(size.radial, size.cutoff, size.basis)
        self.harmonics = SphericalHarmonics(size.angular)
        self.embedding = ElementEmbedding(dataset.elements, width)
        self.from_edge = Linear(size.radial, width)
        self.from_sender = Linear(width, width, bias=False)
        self.from_receiver = Linear(width, width, bias=False)
        self.layers = nn.ModuleList(GemnetLayer(size, first=layer == 0) for layer in range(size.depth))
        self.norm = Norm(size.norm, width)
        self.energy = Readout(width, 1)
        self.force = EdgeForces(size) if forces == "direct" else None

    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        lengths, directions = lengths_and_directions(vectors)
        basis, _ = self.basis(lengths)
        edge = (basis, self.harmonics(directions), reverse_edges(batch, vectors))
        h = self.embedding(batch.numbers)
        m = (
            self.from_edge(basis)
            + gather(self.from_sender(h), batch.senders)
            + gather(self.from_receiver(h), batch.receivers)
        )
        m = nn.functional.silu(m)
        for layer in self.layers:
            h, m = layer(h, m, edge, batch)
        energies = self.energy(self.norm(h)).squeeze(1)
        return energies, None if self.force is None else self.force(m, basis, directions, batch)


def reverse_edges(batch: Batch, vectors: torch.Tensor) -> torch.Tensor:
    """The reverse [E] int64 of each edge from i to j: the edge from j to i of the same periodic image."""
    n = batch.numbers.shape[0]
    forward, backward = batch.receivers * n + batch.senders, batch.senders * n + batch.receivers
    if batch.shifts is None:
        order, mirrored = forward.argsort(), backward.argsort()
    else:
        # Several images may join two atoms: the vectors, which are exactly opposite, tell them apart.
        v = vectors.detach()
        order, mirrored = _lexical_order(forward, v), _lexical_order(backward, -v)
    reverse = torch.empty_like(order)
    reverse[order] = mirrored
    return reverse


def _lexical_order(key: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """The order of the vectors by key, then x, y and z."""
    order = torch.arange(key.shape[0], device=key.device)
    for column in (vectors[:, 2], vectors[:, 1], vectors[:, 0], key):
        order = order[column[order].argsort(stable=True)]
    return order


ARCHITECTURE = Architecture(Gemnet, GemnetSize, equivariant=True)
