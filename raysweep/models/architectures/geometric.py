"""`schnet`, `dimenetpp` and `visnet`: PyTorch Geometric's SchNet, DimeNet++ and ViSNet on raysweep's edges.

Their building blocks are torch_geometric's own, called with our edges and vectors, so that periodic images and
conservative forces work and no neighbour search of theirs is needed. They differ from the originals in this:

* elements have a row of their embeddings each, as in raysweep's networks, instead of a hundred;
* linear layers start at N(0, 1 / fan_in) with biases of 0, and the layer of outputs at N(0, 1 / fan_in²), as muP wants;
* in DimeNet++ the layers that multiply messages start smaller, as they would at the paper's width;
* in ViSNet attention starts uniform, and what distances multiply messages by and the gate of vectors start open;
* reference energies and the readout of whole structures are raysweep's;
* in DimeNet++ an edge's own reverse is left out of its triplets, but not the reverse's periodic images;
* in ViSNet an atom's edges to its own periodic images are edges as others, and not taken for the one to itself;
* in ViSNet the bias of `s_proj` is left out: with it a message does not vanish at the cutoff, and energies jump;
* in ViSNet lengths of vectors have a floor of 1e-10 in the output, so that atoms without neighbours have gradients;
* in ViSNet the first layer has no weights on vectors, which are 0 there, and for conservative forces the output none;
* in DimeNet++ the spherical basis is evaluated by recurrences, not by formulas that sympy makes (for 40 seconds).
"""

import math
import warnings
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from raysweep.data.graphs.batches import Batch
from raysweep.models.architectures.edge_forces import EdgeForces, PairForces
from raysweep.models.architectures.gemnet import reverse_edges
from raysweep.models.base import Architecture, ForceField, ForceMode, Size, Surroundings
from raysweep.models.layers.blocks import ElementEmbedding, RadialBasis, lengths_and_directions, rows

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn.models import dimenet, dimenet_utils, schnet, visnet


LENGTH_FLOOR = 1e-10
"""Of ViSNet's vectors in its output: those of an atom without neighbours are 0."""


def reset(module: nn.Module, out: nn.Linear | None = None) -> None:
    """Draw all weights of linear layers anew from N(0, 1 / fan_in), those of `out` from N(0, 1 / fan_in²)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=layer.in_features ** (-1.0 if layer is out else -0.5))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class SchNetSize(Size):
    """Knobs of `schnet`: those of all; hidden channels and filters are the width, interactions the depth."""

    radial: int = Field(default=50, gt=1, description="radial basis functions")
    basis: Literal["gaussian"] = Field(default="gaussian", description="kind of the radial basis functions")
    norm: Literal["none"] = Field(default="none", description="this network has no normalisation")
    neighbours: float = Field(default=12.0, gt=0, description="divides, as its root, the sums of direct forces only")


class SchNet(ForceField):
    """SchNet (arXiv 1706.08566). Messages end in a cosine: energies have a continuous slope at the cutoff."""

    def __init__(self, size: SchNetSize, forces: ForceMode, surroundings: Surroundings) -> None:
        super().__init__(size, forces, surroundings)
        width = size.width
        self.network = schnet.SchNet(width, width, size.depth, size.radial, size.cutoff)
        self.network.embedding = ElementEmbedding(surroundings.elements, width)
        reset(self.network, out=self.network.lin2)
        self.force = PairForces(size) if forces == "direct" else None

    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        net = self.network
        lengths, directions = lengths_and_directions(vectors)
        edges, weight = torch.stack([batch.senders, batch.receivers]), lengths.squeeze(1)
        smeared = net.distance_expansion(weight)
        h = net.embedding(batch.numbers)
        for interaction in net.interactions:
            h = h + interaction(h, edges, weight, smeared)
        energies = net.lin2(net.act(net.lin1(h))).squeeze(1)
        return energies, None if self.force is None else self.force(h, lengths, directions, batch)


class DimeNetPlusPlusSize(Size):
    """Knobs of `dimenetpp`: those of all; the hidden channels are the width, interaction blocks the depth.

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

    def __init__(self, size: DimeNetPlusPlusSize, forces: ForceMode, surroundings: Surroundings) -> None:
        super().__init__(size, forces, surroundings)
        width, radial, act = size.width, size.radial, nn.functional.silu
        spherical, exponent, basis_embedding = size.angular + 1, 5, 8
        self.rbf = dimenet.BesselBasisLayer(radial, size.cutoff, exponent)
        self.sbf = SphericalBasis(spherical, radial, size.cutoff)
        self.emb = dimenet.EmbeddingBlock(radial, width, act)
        self.emb.emb = ElementEmbedding(surroundings.elements, width)
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
        """Return energies [A] and forces [A, 3]; see `ForceField.atoms`."""
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
        """Draw what multiplies messages as Glorot's rule does at the paper's width of 128.

        At N(0, 1 / fan_in) it would be three times as large, and nothing divides the sums over edges and triplets.
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

    The same numbers as torch_geometric's `SphericalBasisLayer`, with its zeros z_ln of the spherical Bessel functions.
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
        return (rows(radial, kj) * torch.stack(polynomials, dim=1)).flatten(1)

    @staticmethod
    def _bessel(x: torch.Tensor, l: int) -> torch.Tensor:
        """The spherical Bessel function of order l, by upward recurrence."""
        lower, bessel = torch.cos(x) / x, torch.sin(x) / x
        for order in range(l):
            lower, bessel = bessel, (2 * order + 1) / x * bessel - lower
        return bessel


def triplets(batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return edges kj and ji [T], all pairs where kj ends at the atom j from which ji comes and is not its reverse."""
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
    """Return [T, 1]: the cosine of DimeNet++'s angle, between the vectors of the two edges."""
    _, directions = lengths_and_directions(vectors)
    return (rows(directions, kj) * rows(directions, ji)).sum(dim=1, keepdim=True)


class ViSNetSize(Size):
    """Knobs of `visnet`: those of all; hidden channels are the width, layers the depth."""

    l_max: int = Field(default=1, ge=1, le=2, description="highest degree of the spherical harmonics")
    head_width: int = Field(default=8, gt=0, description="channels of an attention head; divides the width")
    radial: int = Field(default=32, gt=1, description="radial basis functions")
    basis: Literal["gaussian"] = Field(default="gaussian", description="Gaussians of exp(-distance)")
    norm: Literal["layer"] = Field(default="layer", description="this network always normalises its scalars")
    neighbours: float = Field(default=12.0, gt=0, description="not used: sums over neighbours are taken as they are")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.width % self.head_width or self.width % 2:
            raise ValueError(f"width {self.width} must be even and a multiple of head_width {self.head_width}")
        return self


class ViSNet(ForceField):
    """ViSNet (arXiv 2210.16518); direct forces are the gated vector of its output. Cosine cutoff as in SchNet.

    torch 2.13 compiles the step with conservative forces wrongly; what is traced for it is right.
    """

    compiles: ClassVar[bool] = False

    def __init__(self, size: ViSNetSize, forces: ForceMode, surroundings: Surroundings) -> None:
        super().__init__(size, forces, surroundings)
        self.network = visnet.ViSNetBlock(
            lmax=size.l_max,
            num_heads=size.width // size.head_width,
            num_layers=size.depth,
            hidden_channels=size.width,
            num_rbf=size.radial,
            cutoff=size.cutoff,
        )
        self.network.embedding = ElementEmbedding(surroundings.elements, size.width)
        self.network.neighbor_embedding.embedding = ElementEmbedding(surroundings.elements, size.width)
        for layer in self.network.vis_mp_layers:
            layer.s_proj.bias = None
        _leave_out_vectors(self.network.vis_mp_layers[0])
        self.output = visnet.EquivariantScalar(size.width)
        reset(self.network)
        for layer in self.output.output_network:
            layer.vec1_proj.register_forward_hook(_floor_lengths)
        last = self.output.output_network[-1]
        reset(self.output, out=last.update_net[-1])
        self._start_open(size)
        if forces == "conservative":
            # Only direct forces need the last vector.
            last.vec2_proj = nn.Identity()

    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        x, v = self._features(batch, vectors)
        for layer in self.output.output_network:
            x, v = layer(x, v)
        return x.squeeze(1), v[:, :3, 0] if self.forces == "direct" else None

    def _features(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scalars [A, width] and vectors [A, (l_max + 1)² - 1, width], as ViSNetBlock's forward pass does.

        It adds an edge from every atom to itself, of length 0 and no direction, that has no part in the embedding of
        neighbours. Theirs takes every edge between an atom and its own periodic image for one of them.
        """
        net = self.network
        lengths, directions = lengths_and_directions(vectors)
        n_edges, n_atoms = vectors.shape[0], batch.numbers.shape[0]
        atoms = torch.arange(n_atoms, device=vectors.device)
        edges = torch.stack([torch.cat([batch.senders, atoms]), torch.cat([batch.receivers, atoms])])
        distances = torch.cat([lengths.squeeze(1), vectors.new_zeros(n_atoms)])
        y = net.sphere(torch.cat([directions, vectors.new_zeros(n_atoms, 3)]))
        f = net.distance_expansion(distances)

        near = net.neighbor_embedding
        weights = near.distance_proj(f[:n_edges]) * near.cutoff(distances[:n_edges]).unsqueeze(1)
        around = near.propagate(edges[:, :n_edges], x=near.embedding(batch.numbers), W=weights)
        x = near.combine(torch.cat([net.embedding(batch.numbers), around], dim=1))
        v = x.new_zeros(n_atoms, y.shape[1], x.shape[1])
        f = net.edge_embedding(edges, f, x)
        for layer in net.vis_mp_layers:
            dx, dv, df = layer(x, v, edges, distances, f, y)
            x, v = x + dx, v + dv
            f = f if df is None else f + df
        return net.out_norm(x), net.vec_out_norm(v)

    def _start_open(self, size: ViSNetSize) -> None:
        """Let messages start as values times numbers that are about the same for all channels, and vectors ungated.

        A channel of a message is v dv silu(sum of q k dk). With all of these random and around 0 a few channels are far
        louder than the others, the louder the more channels there are, and grow the fastest. Queries of 0 weights are
        what arXiv 2203.03466 advises (appendix D.2); the biases make attention the same for heads of any width. What
        scalars add to vectors starts at half, so that vectors are small where their gates and lengths begin to learn.
        """
        for layer in self.network.vis_mp_layers:
            layer.s_proj.weight.data *= 0.5
            for projection in (layer.q_proj, layer.k_proj):
                nn.init.zeros_(projection.weight)
                nn.init.constant_(projection.bias, math.sqrt(2 / size.head_width))
            for projection in (layer.dk_proj, layer.dv_proj):
                nn.init.constant_(projection.bias, 0.4)
        for block in self.output.output_network[:-1]:
            nn.init.zeros_(block.update_net[-1].weight[block.out_channels :])
            nn.init.ones_(block.update_net[-1].bias[block.out_channels :])


def _floor_lengths(module: nn.Module, inputs: tuple[torch.Tensor, ...], v: torch.Tensor) -> torch.Tensor:
    """Add to v [A, n, width] a component of LENGTH_FLOOR: ViSNet takes its lengths, whose slope at 0 has no slope."""
    return torch.cat([v, v.new_full((v.shape[0], 1, v.shape[2]), LENGTH_FLOOR)], dim=1)


class _Thrice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Repeat the last axis three times."""
        return torch.cat([x, x, x], dim=-1)


def _leave_out_vectors(first: nn.Module) -> None:
    """Take from ViSNet's first layer the weights on vectors, which are all 0 there: they would never learn."""
    first.vec_proj = _Thrice()
    if not first.last_layer:
        first.f_proj = first.w_src_proj = first.w_trg_proj = nn.Identity()


SCHNET = Architecture(SchNet, SchNetSize, equivariant=True)
DIMENETPP = Architecture(DimeNetPlusPlus, DimeNetPlusPlusSize, equivariant=True)
VISNET = Architecture(ViSNet, ViSNetSize, equivariant=True)
