"""`dimenetpp`: PyTorch Geometric's DimeNet++ on raysweep's edges.

Besides the differences listed in geometric.py:

* the layers that multiply messages are initialised smaller, as at the paper's width;
* an edge's own reverse is left out of its triplets, but not the reverse's periodic images;
* the spherical basis is evaluated by recurrences, not by formulas that sympy derives (in 40 seconds).
"""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from raysweep.data.graphs.batches import Batch
from raysweep.models.architectures.edge_forces import EdgeForces
from raysweep.models.architectures.gemnet import reverse_edges
from raysweep.models.architectures.geometric import dimenet, dimenet_utils, reset
from raysweep.models.base import Architecture, DatasetInfo, ForceField, ForceMode, Size
from raysweep.models.layers.blocks import ElementEmbedding, RadialBasis, gather, lengths_and_directions


class DimeNetPlusPlusSize(Size):
    """Knobs of `dimenetpp`: the common ones; the hidden channels are the width, interaction blocks the depth.

    As in the paper (hidden 128, triplets 64, output 256) triplets have half the width and outputs twice the width.
    """

    radial: int = Field(default=6, gt=0, description="radial basis functions")
    angular: int = Field(default=6, ge=1, description="highest degree of the Legendre polynomials of angles")
    basis: Literal["bessel"] = Field(default="bessel", description="kind of the radial basis functions")
    norm: Literal["none"] = Field(default="none", description="this network has no normalisation")
    neighbours: float = Field(default=12.0, gt=0, description="divides, as its root, the sums of direct forces only")


class DimeNetPlusPlus(ForceField):
    """DimeNet++ (arXiv 2011.14115). It enumerates triplets, so its cost is not linear in the edges."""

    triplets: ClassVar[bool] = True

    def __init__(self, size: DimeNetPlusPlusSize, forces: ForceMode, dataset: DatasetInfo) -> None:
        super().__init__(size, forces, dataset)
        width, radial, act = size.width, size.radial, nn.functional.silu
        spherical, exponent, basis_embedding = size.angular + 1, 5, 8
        self.rbf = dimenet.BesselBasisLayer(radial, size.cutoff, exponent)
        self.sbf = SphericalBasis(spherical, radial, size.cutoff)
        self.emb = dimenet.EmbeddingBlock(radial, width, act)
        self.emb.emb = ElementEmbedding(dataset.elements, width)
        self.interaction_blocks = nn.ModuleList(
            dimenet.InteractionPPBlock(width, max(1, width // 2), basis_embedding, spherical, radial, 1, 2, act)
            for _ in range(size.depth)
        )
        self.output_blocks = nn.ModuleList(
            dimenet.OutputPPBlock(radial, width, 2 * width, 1, 3, act) for _ in range(size.depth + 1)
        )
        for block in (self.emb, *self.interaction_blocks, *self.output_blocks):
            reset(block, out=block.lin if isinstance(block, dimenet.OutputPPBlock) else None)
        self._start_small()
        self.force = EdgeForces(size) if forces == "direct" else None

    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        lengths, directions = lengths_and_directions(vectors)
        kj, ji = triplets(batch, vectors)
        rbf = self.rbf(lengths.squeeze(1))
        sbf = self.sbf(lengths, cosines(vectors, kj, ji), kj)
        n = batch.numbers.shape[0]
        x = self.emb(batch.numbers, rbf, batch.receivers, batch.senders)
        energies = self.output_blocks[0](x, rbf, batch.receivers, num_nodes=n)
        for interaction, output in zip(self.interaction_blocks, list(self.output_blocks)[1:], strict=True):
            x = interaction(x, rbf, sbf, kj, ji)
            energies = energies + output(x, rbf, batch.receivers, num_nodes=n)
        return energies.squeeze(1), None if self.force is None else self.force(x, rbf, directions, batch)

    def _start_small(self) -> None:
        """Draw the layers that multiply messages by Glorot's rule at the paper's width of 128.

        At N(0, 1 / fan_in) they would be three times as large, and nothing divides the sums over edges and triplets.
        """
        for block in self.modules():
            if isinstance(block, dimenet.InteractionPPBlock):
                multipliers = [block.lin_rbf2, block.lin_sbf2]
            elif isinstance(block, dimenet.OutputPPBlock):
                multipliers = [block.lin_rbf]
            else:
                continue
            for linear in multipliers:
                nn.init.normal_(linear.weight, std=math.sqrt(2 / (linear.in_features + 128)))


class SphericalBasis(nn.Module):
    """j_l(z_ln d / cutoff) P_l(cos angle) with DimeNet's normalisation and envelope (arXiv 2003.03123, eq. 6–8).

    The same values as torch_geometric's `SphericalBasisLayer`, with its zeros z_ln of the spherical Bessel functions.
    """

    zeros: torch.Tensor
    factors: torch.Tensor

    def __init__(self, n_spherical: int, n_radial: int, cutoff: float) -> None:
        super().__init__()
        self.envelope = RadialBasis(n_radial, cutoff)
        zeros = torch.tensor(dimenet_utils.Jn_zeros(n_spherical, n_radial), dtype=torch.float64)
        orders = torch.arange(n_spherical).unsqueeze(1)
        norms = torch.tensor(dimenet_utils.Jn(zeros.numpy(), orders.numpy() + 1)).abs() * math.sqrt(0.5)
        factors = ((2 * orders + 1) / (4 * math.pi)).sqrt() / norms
        self.register_buffer("zeros", zeros.to(torch.get_default_dtype()), persistent=False)
        self.register_buffer("factors", factors.to(torch.get_default_dtype()), persistent=False)

    def forward(self, lengths: torch.Tensor, cosine: torch.Tensor, kj: torch.Tensor) -> torch.Tensor:
        """Map lengths [E, 1] (Å), cosines [T, 1] and the triplets' edges kj [T] to [T, n_spherical * n_radial]."""
        x = lengths / self.envelope.cutoff
        radial = torch.stack([self._bessel(x * zeros, l) for l, zeros in enumerate(self.zeros)], dim=1)
        radial = radial * (self.factors * (self.envelope.envelope(lengths) / x).unsqueeze(2))
        polynomials = [torch.ones_like(cosine), cosine]
        for l in range(2, len(self.zeros)):
            polynomials.append(((2 * l - 1) * cosine * polynomials[-1] - (l - 1) * polynomials[-2]) / l)
        return (gather(radial, kj) * torch.stack(polynomials, dim=1)).flatten(1)

    @staticmethod
    def _bessel(x: torch.Tensor, l: int) -> torch.Tensor:
        """The spherical Bessel function of order l, by upward recurrence."""
        lower, bessel = torch.cos(x) / x, torch.sin(x) / x
        for order in range(l):
            lower, bessel = bessel, (2 * order + 1) / x * bessel - lower
        return bessel


def triplets(batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All pairs of edges kj and ji [T] where kj ends at the atom j that ji starts from and is not its reverse."""
    n_edges, n_atoms = batch.senders.shape[0], batch.numbers.shape[0]
    order = batch.receivers.argsort(stable=True)
    degree = torch.bincount(batch.receivers, minlength=n_atoms)
    first = degree.cumsum(0) - degree
    counts = degree[batch.senders]
    ji = torch.arange(n_edges, device=counts.device).repeat_interleave(counts)
    within = torch.arange(ji.shape[0], device=counts.device) - (counts.cumsum(0) - counts)[ji]
    kj = order[first[batch.senders[ji]] + within]
    others = kj != reverse_edges(batch, vectors)[ji]
    return kj[others], ji[others]


def cosines(vectors: torch.Tensor, kj: torch.Tensor, ji: torch.Tensor) -> torch.Tensor:
    """Cosines [T, 1] of DimeNet++'s angle, between the vectors of the two edges."""
    _, directions = lengths_and_directions(vectors)
    return (gather(directions, kj) * gather(directions, ji)).sum(dim=1, keepdim=True)


ARCHITECTURE = Architecture(DimeNetPlusPlus, DimeNetPlusPlusSize, equivariant=True)
