# ruff: noqa: NPY002 - the global generator is what is tried
"""Networks as other people's packages add them, each with a habit that training has to bear."""

import ctypes
import random

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import register_flop_formula

from raysweep.models.base import Architecture, ForceField, Size
from raysweep.models.declared_flops import declare_flops
from raysweep.models.layers.blocks import (
    ElementEmbedding,
    Linear,
    RadialBasis,
    Readout,
    lengths_and_directions,
    scatter_sum,
)


class Pairs(ForceField):
    """Energies of pairs of atoms; the others are this one and something more."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.basis = RadialBasis(size.radial, size.cutoff, size.basis)
        self.embedding = ElementEmbedding(dataset.elements, size.width)
        self.from_edge = Linear(size.radial, size.width)
        self.energy = Readout(size.width, 1)
        self.pull = Readout(size.width, 1) if forces == "direct" else None

    def atoms(self, batch, vectors):
        lengths, directions = lengths_and_directions(vectors)
        basis, envelope = self.basis(lengths)
        h = self.embedding(batch.numbers)
        pair = self.altered(torch.tanh(self.from_edge(basis)) * h[batch.senders] * h[batch.receivers] * envelope)
        energies = self.energy(scatter_sum(pair, batch.receivers, h.shape[0])).squeeze(1)
        if self.pull is None:
            return energies, None
        return energies, scatter_sum(self.pull(pair) * directions, batch.receivers, h.shape[0])

    def altered(self, pair):
        """Return the pairs' features [E, width], changed by the habit."""
        return pair


class Noisy(Pairs):
    """Draws from every generator there is, in training and in evaluation, and where it is made."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
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

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
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

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.norm = nn.BatchNorm1d(size.width)

    def altered(self, pair):
        return self.norm(pair)


@torch.library.custom_op("rs_tests::shift", mutates_args=())
def shift(x: torch.Tensor) -> torch.Tensor:
    """Return x + 1, by an operation that nobody has a formula for."""
    return x + 1.0


@torch.library.custom_op("rs_tests::double", mutates_args=())
def double(x: torch.Tensor) -> torch.Tensor:
    """Return 2 x, by an operation with a formula."""
    return x * 2.0


for operation, slope in ((shift, 1.0), (double, 2.0)):
    operation.register_autograd(lambda ctx, gradient, slope=slope: gradient * slope)


@register_flop_formula(torch.ops.rs_tests.double)
def double_flops(x_shape: torch.Size, **_: object) -> int:
    """Return a hundred operations per element, which can be told from others."""
    return 100 * x_shape.numel()


class Custom(Pairs):
    """Uses an operation of its own without a formula."""

    def altered(self, pair):
        return shift(pair)


class Formula(Pairs):
    """Uses an operation of its own with a formula."""

    def altered(self, pair):
        return double(pair)


class _OutsideTorch(torch.autograd.Function):
    """Twice x, computed by NumPy in the forward pass and behind torch's back in the backward pass."""

    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(2 * x.detach().numpy())

    @staticmethod
    def backward(ctx, gradient):
        result = torch.empty_like(gradient)
        ctypes.memmove(result.untyped_storage().data_ptr(), (gradient * 2).untyped_storage().data_ptr(), result.nbytes)
        return result


class Outside(Pairs):
    """Computes outside of torch."""

    def altered(self, pair):
        return _OutsideTorch.apply(pair)


class _Kernel(torch.autograd.Function):
    """Twice x; the backward pass is by a kernel that torch does not see, as one of Triton."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return _OutsideTorch.backward(ctx, gradient)


class Kernel(Pairs):
    """Has a kernel of its own in the backward pass."""

    def altered(self, pair):
        return _Kernel.apply(pair)


class _Declared(torch.autograd.Function):
    """Twice x outside of torch, with the operations declared."""

    @staticmethod
    def forward(ctx, x):
        with declare_flops(7 * x.numel()):
            return _OutsideTorch.forward(ctx, x)

    @staticmethod
    def backward(ctx, gradient):
        with declare_flops(11 * gradient.numel()):
            return _OutsideTorch.backward(ctx, gradient)


class Declared(Pairs):
    """Computes outside of torch and says how much."""

    def altered(self, pair):
        return _Declared.apply(pair)


class Spectral(Pairs):
    """Uses an operation of torch's own that has no formula."""

    def altered(self, pair):
        return pair + torch.linalg.matrix_exp(pair[:, :4].view(-1, 2, 2)).sum((1, 2))[:, None]


class Quadratic(Pairs):
    """Its work grows with the square of the atoms."""

    def altered(self, pair):
        squares = pair.mean() * pair.new_ones(pair.shape[0], pair.shape[0])
        return pair + 0.0 * squares.sum()


class Frozen(Pairs):
    """Has a part that is not trained, as a pretrained one is, and a buffer."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.embedding.weight.requires_grad_(False)
        self.energy.hidden.bias.requires_grad_(False)
        self.register_buffer("steps", torch.zeros(1))

    def altered(self, pair):
        if self.training:
            self.steps += 1
        return pair


class Unused(Pairs):
    """Has parameters that get no gradient."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.spare = nn.Linear(size.width, size.width)


class Tied(Pairs):
    """Uses one matrix in two places."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.mix = nn.Linear(size.width, size.width, bias=False)
        self.energy.hidden.weight = self.mix.weight

    def altered(self, pair):
        return pair + self.mix(pair)


class Strided(Pairs):
    """Stores a weight transposed in memory."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.from_edge.weight = nn.Parameter(self.from_edge.weight.detach().t().contiguous().t())


class Double(Pairs):
    """Has one parameter in double precision."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.scale = nn.Parameter(torch.ones(size.width, dtype=torch.float64))

    def altered(self, pair):
        return pair * self.scale.to(pair)


class AllFrozen(Pairs):
    """Has nothing to train."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.requires_grad_(False)


class Lazy(Pairs):
    """Has a layer that learns its width from its first batch."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.late = nn.LazyLinear(size.width)


class Complex(Pairs):
    """Has a complex parameter."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.phase = nn.Parameter(torch.ones(size.width, dtype=torch.complex64))


class Stateful(Pairs):
    """Keeps a state that is no tensor."""

    def get_extra_state(self):
        return {"calls": 3}


class Constant(Pairs):
    """Its outputs depend on no parameter."""

    def atoms(self, batch, vectors):
        energies, forces = super().atoms(batch, vectors)
        return energies.detach(), forces.detach()


class Flat(Pairs):
    """Stores a matrix as one flat vector, as e3nn does; norm scales and biases stay what they are."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.width = size.width
        self.flat = nn.Parameter(torch.randn(size.width**2) * size.width**-0.5)
        self.gain = nn.Parameter(torch.ones(size.width))
        self.norm = nn.LayerNorm(size.width)

    def altered(self, pair):
        return self.norm(pair @ self.flat.view(self.width, self.width)) * self.gain


class FlatDeclared(Flat):
    """Says how the rate of its flat matrix falls."""

    def rate_multipliers(self, base):
        return {"flat": base.width / self.width}


NETWORKS = {
    kind.__name__.lower(): Architecture(kind, Size, equivariant=True)
    for kind in (
        Pairs, Noisy, Meddler, Counting, Custom, Formula, Outside, Kernel, Declared, Spectral, Quadratic, Frozen,
        Unused, Tied, Strided, Double, AllFrozen, Lazy, Complex, Stateful, Constant, Flat, FlatDeclared,
    )
}  # fmt: skip
