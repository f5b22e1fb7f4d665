"""`visnet`: PyTorch Geometric's ViSNet on raysweep's edges.

Besides the differences listed in geometric.py:

* attention starts uniform, and the filters of distances and the gates of vectors start open;
* an atom's edges to its own periodic images are ordinary edges, not mistaken for its self-loop;
* the bias of `s_proj` is left out: with it a message does not vanish at the cutoff, and energies jump;
* lengths of vectors have a floor of 1e-10 in the output, so that atoms without neighbours have gradients;
* the first layer, whose vectors are 0, has no weights on vectors, nor has the output for conservative forces.
"""

import math
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from raysweep.data.graphs.batches import Batch
from raysweep.models.architectures.geometric import reset, visnet
from raysweep.models.base import Architecture, DatasetInfo, ForceField, ForceMode, Size
from raysweep.models.layers.blocks import ElementEmbedding, lengths_and_directions

LENGTH_FLOOR = 1e-10
"""Floor of the lengths of ViSNet's vectors in its output: those of an atom without neighbours are 0."""


class ViSNetSize(Size):
    """Knobs of `visnet`: the common ones; hidden channels are the width, layers the depth."""

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

    torch 2.13 miscompiles the step with conservative forces; the traced step is right.
    """

    compiles: ClassVar[bool] = False

    def __init__(self, size: ViSNetSize, forces: ForceMode, dataset: DatasetInfo) -> None:
        super().__init__(size, forces, dataset)
        self.network = visnet.ViSNetBlock(
            lmax=size.l_max,
            num_heads=size.width // size.head_width,
            num_layers=size.depth,
            hidden_channels=size.width,
            num_rbf=size.radial,
            cutoff=size.cutoff,
        )
        self.network.embedding = ElementEmbedding(dataset.elements, size.width)
        self.network.neighbor_embedding.embedding = ElementEmbedding(dataset.elements, size.width)
        for layer in self.network.vis_mp_layers:
            layer.s_proj.bias = None
        _remove_vector_weights(self.network.vis_mp_layers[0])
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
        """Compute energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        x, v = self._features(batch, vectors)
        for layer in self.output.output_network:
            x, v = layer(x, v)
        return x.squeeze(1), v[:, :3, 0] if self.forces == "direct" else None

    def _features(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute scalars [A, width] and vectors [A, (l_max + 1)² - 1, width], as ViSNetBlock's forward does.

        It adds a self-loop of length 0 and no direction to every atom, which the embedding of neighbours ignores.
        The original treats every edge between an atom and its own periodic image as a self-loop.
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
        """Initialise messages as values times factors that are similar for all channels, and vectors ungated.

        A channel of a message is v dv silu(sum of q k dk). With all of these random and around 0 a few channels are far
        larger than the others, the more so the more channels there are, and grow fastest. Query weights of 0 follow
        arXiv 2203.03466 (appendix D.2); the biases make attention the same for heads of any width. What scalars add
        to vectors starts at half, so that vectors are small while their gates and lengths begin to learn.
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
    """Add a component of LENGTH_FLOOR to v [A, n, width]: ViSNet takes its lengths, which have no derivative at 0."""
    return torch.cat([v, v.new_full((v.shape[0], 1, v.shape[2]), LENGTH_FLOOR)], dim=1)


class _Thrice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Repeat the last axis three times."""
        return torch.cat([x, x, x], dim=-1)


def _remove_vector_weights(first: nn.Module) -> None:
    """Remove the weights on vectors from ViSNet's first layer, where vectors are 0: they would never train."""
    first.vec_proj = _Thrice()
    if not first.last_layer:
        first.f_proj = first.w_src_proj = first.w_trg_proj = nn.Identity()


ARCHITECTURE = Architecture(ViSNet, ViSNetSize, equivariant=True)
