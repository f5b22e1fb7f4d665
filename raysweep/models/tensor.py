"""`tensor`: a high-order equivariant network on natural-parity irreps up to l_max, with products at the atoms.

A message carries the neighbour's scalars along the spherical harmonics of the edge, and the neighbour's tensors as
they are, both weighted by learnt functions of the distance and of both atoms' scalars. The tensor product is taken once
per atom, of the sum over neighbours with itself (correlation 2 after the atomic cluster expansion, arXiv 1803.04764,
and MACE, arXiv 2206.07697), not once per edge: with about twelve edges an atom, that is where the time went.
"""

from itertools import pairwise

import torch
from pydantic import Field
from torch import nn

from raysweep.data.batches import Batch
from raysweep.models.base import Architecture, ForceField, ForceMode, Size, Surroundings
from raysweep.models.blocks import (
    ElementEmbedding,
    Linear,
    Norm,
    NormKind,
    RadialBasis,
    Readout,
    lengths_and_directions,
    rows,
    sum_to,
)
from raysweep.models.harmonics import SphericalHarmonics, block, square_coupling, square_paths


class TensorSize(Size):
    """Knobs of `tensor`: those of all, and the tensor order."""

    depth: int = Field(default=2, gt=0, description="message-passing layers")
    l_max: int = Field(default=1, ge=0, le=4, description="highest degree of the irreps; direct forces need 1 or more")


class AtomProduct(nn.Module):
    """Couples a [A, width, (l_max + 1)²] with itself, channel by channel, and mixes the results of each degree."""

    coupling: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor

    def __init__(self, width: int, l_max: int, out_l_max: int) -> None:
        super().__init__()
        left, right, coupling = square_coupling(l_max)
        n_columns = sum(2 * l3 + 1 for _, _, l3 in square_paths(l_max) if l3 <= out_l_max)
        coupling = coupling[:, :n_columns]
        used = coupling.abs().amax(dim=1) > 0
        self.register_buffer("left", left[used], persistent=False)
        self.register_buffer("right", right[used], persistent=False)
        self.register_buffer("coupling", coupling[used].to(torch.get_default_dtype()), persistent=False)
        self.width = width
        self.paths = [sum(path[2] == l for path in square_paths(l_max)) for l in range(out_l_max + 1)]
        # Degree l mixes the sum itself with each of its products; scalars also make a gate for every higher degree.
        self.mixes = nn.ModuleList(
            Linear((self.paths[l] + 1) * width, width * (out_l_max + 1 if l == 0 else 1), bias=l == 0)
            for l in range(out_l_max + 1)
        )

    def forward(self, a: torch.Tensor) -> list[torch.Tensor]:
        """Return the mixed blocks [A, 2l + 1, width] of each degree, the scalars' block with the gates appended."""
        products = (a[:, :, self.left] * a[:, :, self.right]) @ self.coupling
        mixed, start = [], 0
        for l, mix in enumerate(self.mixes):
            n, m = self.paths[l], 2 * l + 1
            # [A, width, paths, m] to [A, m, paths, width]
            terms = products[:, :, start : start + n * m].reshape(-1, self.width, n, m).permute(0, 3, 2, 1).flatten(2)
            mixed.append(mix(torch.cat([a[:, :, block(l)].transpose(1, 2), terms], dim=2)))
            start += n * m
        return mixed


class TensorLayer(nn.Module):
    """One round of messages over features h[l] [A, 2l + 1, width]."""

    def __init__(
        self, width: int, l_in: int, l_max: int, l_out: int, n_basis: int, neighbours: float, norm: NormKind
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(Norm(norm, width, tensor=l > 0) for l in range(l_in + 1))
        self.l_in, self.l_max, self.l_out, self.width = l_in, l_max, l_out, width
        self.scale = neighbours**-0.5
        self.up = nn.ModuleList(Linear(width, width, bias=False) for _ in range(l_in + 1))
        self.from_edge = Linear(n_basis, width)
        self.from_sender = Linear(width, width, bias=False)
        self.from_receiver = Linear(width, width, bias=False)
        self.radial = Linear(width, (l_max + 1 + l_in) * width, bias=False)
        self.product = AtomProduct(width, l_max, l_out)
        self.skip = nn.ModuleList(Linear(width, width, bias=False) for _ in range(min(l_in, l_out) + 1))
        self.out = nn.ModuleList(Linear(width, width, bias=False) for _ in range(l_out + 1))

    def forward(
        self, h: list[torch.Tensor], basis: torch.Tensor, envelope: torch.Tensor, y: torch.Tensor, batch: Batch
    ) -> list[torch.Tensor]:
        """Map h to h, given the edges' radial basis [E, n_basis], envelope [E, 1] and harmonics [E, (l_max + 1)²]."""
        a = self._gather([norm(x) for norm, x in zip(self.norms, h, strict=True)], basis, envelope, y, batch)
        mixed = self.product(a)
        scalars, *gates = mixed[0].chunk(self.l_out + 1, dim=2)
        active = [nn.functional.silu(scalars)]
        active += [block_l * torch.sigmoid(gate) for block_l, gate in zip(mixed[1:], gates, strict=True)]
        result = [out(x) for out, x in zip(self.out, active, strict=True)]
        for l, skip in enumerate(self.skip):
            result[l] = result[l] + skip(h[l])
        return result

    def _gather(
        self, h: list[torch.Tensor], basis: torch.Tensor, envelope: torch.Tensor, y: torch.Tensor, batch: Batch
    ) -> torch.Tensor:
        """Return the sum over neighbours [A, width, (l_max + 1)²]."""
        h0 = h[0].squeeze(1)
        ends = rows(self.from_sender(h0), batch.senders) + rows(self.from_receiver(h0), batch.receivers)
        hidden = self.from_edge(basis) + ends
        weights = self.radial(nn.functional.silu(hidden) * (envelope * self.scale)).split(self.width, dim=1)
        sent = [up(x) for up, x in zip(self.up, h, strict=True)]
        n_atoms = len(batch.numbers)
        scalars = rows(sent[0].squeeze(1), batch.senders)
        blocks = []
        for l in range(self.l_max + 1):
            message = (scalars * weights[l]).unsqueeze(1)
            if l > 0:
                message = message * y[:, block(l)].unsqueeze(2)
                if l <= self.l_in:
                    message = torch.addcmul(message, rows(sent[l], batch.senders), weights[self.l_max + l].unsqueeze(1))
            blocks.append(sum_to(message, batch.receivers, n_atoms))
        return torch.cat(blocks, dim=1).transpose(1, 2)


class Tensor(ForceField):
    """Energies are invariant and direct forces equivariant under rotations and reflections."""

    def __init__(self, size: TensorSize, forces: ForceMode, surroundings: Surroundings) -> None:
        super().__init__(size, forces, surroundings)
        self.basis = RadialBasis(size.radial, size.cutoff, size.basis)
        self.harmonics = SphericalHarmonics(size.l_max)
        self.embedding = ElementEmbedding(surroundings.elements, size.width)
        l_last = 1 if forces == "direct" else 0
        degrees = [0] + [size.l_max] * (size.depth - 1) + [l_last]
        self.layers = nn.ModuleList(
            TensorLayer(size.width, l_in, size.l_max, l_out, size.radial, size.neighbours, size.norm)
            for l_in, l_out in pairwise(degrees)
        )
        self.norm = Norm(size.norm, size.width)
        self.energy = Readout(size.width, 1)
        self.force: nn.Module | None = None
        if forces == "direct":
            out = Linear(size.width, 1, bias=False, gain=size.width**-0.5)
            self.force = nn.Sequential(Norm(size.norm, size.width, tensor=True), out)

    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        lengths, directions = lengths_and_directions(vectors)
        basis, envelope = self.basis(lengths)
        y = self.harmonics(directions)
        h = [self.embedding(batch.numbers).unsqueeze(1)]
        for layer in self.layers:
            h = layer(h, basis, envelope, y, batch)
        energies = self.energy(self.norm(h[0].squeeze(1))).squeeze(1)
        return energies, None if self.force is None else self.force(h[1]).squeeze(2)


ARCHITECTURE = Architecture(Tensor, TensorSize, equivariant=True)
