# ruff: noqa: NPY002 - the global generator is what is tried
"""Networks as other people's packages add them, each with a habit that training has to bear."""

import random

import numpy as np
import torch
from torch import nn

from raysweep.models.base import Architecture, ForceField, Size
from raysweep.models.blocks import ElementEmbedding, Linear, RadialBasis, Readout, lengths_and_directions, sum_to


class Pairs(ForceField):
    """Energies of pairs of atoms; the others are this one and something more."""

    def __init__(self, size, forces, surroundings):
        super().__init__(size, forces, surroundings)
        self.basis = RadialBasis(size.radial, size.cutoff, size.basis)
        self.embedding = ElementEmbedding(surroundings.elements, size.width)
        self.from_edge = Linear(size.radial, size.width)
        self.energy = Readout(size.width, 1)
        self.pull = Readout(size.width, 1) if forces == "direct" else None

    def atoms(self, batch, vectors):
        lengths, directions = lengths_and_directions(vectors)
        basis, envelope = self.basis(lengths)
        h = self.embedding(batch.numbers)
        pair = self.altered(torch.tanh(self.from_edge(basis)) * h[batch.senders] * h[batch.receivers] * envelope)
        energies = self.energy(sum_to(pair, batch.receivers, h.shape[0])).squeeze(1)
        if self.pull is None:
            return energies, None
        return energies, sum_to(self.pull(pair) * directions, batch.receivers, h.shape[0])

    def altered(self, pair):
        """Return the pairs' features [E, width], changed by the habit."""
        return pair


class Noisy(Pairs):
    """Draws from every generator there is, in training and in evaluation, and where it is made."""

    def __init__(self, size, forces, surroundings):
        super().__init__(size, forces, surroundings)
        self.drop = nn.Dropout(0.2)
        self.own = torch.Generator().manual_seed(1)
        self.rng, self.python = np.random.default_rng(1), random.Random(1)
        self.offset = nn.Parameter(torch.tensor([np.random.normal() + random.gauss(0, 1)]))

    def altered(self, pair):
        pair = self.drop(pair) * (1 + 0.1 * np.random.normal() + 0.1 * random.gauss(0, 1))
        pair = pair + 0.01 * torch.randn(1) + 0.01 * torch.randn(1, generator=self.own)
        return pair * (1 + 0.1 * self.rng.normal() + 0.1 * self.python.gauss(0, 1)) + 0.01 * self.offset


class Meddler(Pairs):
    """Sets what belongs to the whole process, where it is made and at every step."""

    def __init__(self, size, forces, surroundings):
        super().__init__(size, forces, surroundings)
        torch.manual_seed(7)
        torch.use_deterministic_algorithms(True, warn_only=True)

    def altered(self, pair):
        torch.set_num_threads(torch.get_num_threads() + 1)
        torch.set_default_dtype(torch.float64)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        np.random.seed(3)
        np.seterr(over="ignore")
        random.seed(3)
        if not self.training:
            torch.set_grad_enabled(True)
        return pair


class Counting(Pairs):
    """Keeps running means in buffers, as batch normalisation does."""

    def __init__(self, size, forces, surroundings):
        super().__init__(size, forces, surroundings)
        self.norm = nn.BatchNorm1d(size.width)

    def altered(self, pair):
        return self.norm(pair)


NETWORKS = {
    name: Architecture(kind, Size, equivariant=True)
    for name, kind in {"pairs": Pairs, "noisy": Noisy, "meddler": Meddler, "counting": Counting}.items()
}
