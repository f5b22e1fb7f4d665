"""Networks made of what torch offers beyond linear layers, as other people's packages are."""

import warnings

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from raysweep.models.base import Architecture, Size
from tests.training.networks import Pairs

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.utils import scatter, softmax


class Layered(Pairs):
    """A pair passes through the layers that `layers` makes for a width."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.made = self.layers(size.width)

    def altered(self, pair):
        return self.made(pair)


class Norms(Layered):
    def layers(self, width):
        return nn.Sequential(
            nn.Dropout(0.1), nn.BatchNorm1d(width), nn.LayerNorm(width), nn.GroupNorm(2, width), nn.RMSNorm(width)
        )


class WeightNorm(Layered):
    def layers(self, width):
        return parametrizations.weight_norm(nn.Linear(width, width))


class SpectralNorm(Layered):
    def layers(self, width):
        return parametrizations.spectral_norm(nn.Linear(width, width))


class Orthogonal(Layered):
    def layers(self, width):
        return parametrizations.orthogonal(nn.Linear(width, width), orthogonal_map="cayley")


class Attention(Layered):
    """Attention of two tokens made of each pair, by the kernels of torch."""

    def layers(self, width):
        return nn.MultiheadAttention(width, 2, batch_first=True)

    def altered(self, pair):
        tokens = torch.stack([pair, pair.sin()], dim=1)
        return self.made(tokens, tokens, tokens, need_weights=False)[0][:, 0]


class Checkpointed(Layered):
    """Computes its layers again in the backward pass, dropout included."""

    def layers(self, width):
        return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(0.1))

    def altered(self, pair):
        return checkpoint(self.made, pair, use_reentrant=False)


class Reentrant(Checkpointed):
    def altered(self, pair):
        return checkpoint(self.made, pair, use_reentrant=True)


class Compiled(Layered):
    """Compiles a part of itself."""

    def layers(self, width):
        return torch.compile(nn.Linear(width, width), backend="aot_eager")


class Lookup(Layered):
    """Looks senders up in tables, one of them with a row for padding."""

    def layers(self, width):
        return nn.ModuleList([nn.Embedding(100, width, padding_idx=1), nn.EmbeddingBag(100, width, mode="sum")])

    def atoms(self, batch, vectors):
        self.senders = batch.numbers[batch.senders]
        return super().atoms(batch, vectors)

    def altered(self, pair):
        row, bag = self.made
        return pair * row(self.senders) + bag(self.senders[:, None])


class Softmax(Pairs):
    """Weighs edges by torch_geometric's softmax over neighbours and adds all that it reduces by."""

    def atoms(self, batch, vectors):
        self.receivers, self.n = batch.receivers, len(batch.numbers)
        return super().atoms(batch, vectors)

    def altered(self, pair):
        reduced = [scatter(pair, self.receivers, 0, self.n, reduce=by) for by in ("sum", "mean", "max", "min")]
        return pair * softmax(pair, self.receivers, num_nodes=self.n) + torch.tanh(sum(reduced))[self.receivers]


class Fourier(Pairs):
    def altered(self, pair):
        return torch.fft.irfft(torch.fft.rfft(pair, dim=1), n=pair.shape[1], dim=1)


class Contracted(Layered):
    """Contracts three tensors by one einsum."""

    def layers(self, width):
        return nn.ParameterList([torch.randn(width, width, width) / width])

    def altered(self, pair):
        return torch.einsum("ei,ej,ijk->ek", pair, pair, self.made[0])


class Complexes(Layered):
    """Complex arithmetic on real parameters."""

    def layers(self, width):
        return nn.ParameterList([torch.randn(width, 2)])

    def altered(self, pair):
        z = torch.complex(pair, pair.cos()) * torch.view_as_complex(self.made[0])
        z = torch.exp(1j * z.angle()) * z.abs()
        return z.real + z.imag + torch.polar(pair.abs() + 0.1, pair).real


class Solver(Pairs):
    """Solves small linear systems."""

    def altered(self, pair):
        rows = pair.view(-1, 2, pair.shape[1] // 2)
        gram = rows @ rows.transpose(1, 2) + torch.eye(2)
        return pair + torch.linalg.solve(gram, rows).reshape(pair.shape) + torch.linalg.cholesky(gram).sum()


class Averaging(Pairs):
    """Keeps running means in buffers, one of which is not in its state, and begins as None."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.register_buffer("mean", torch.zeros(size.width))
        self.register_buffer("aside", torch.zeros(size.width), persistent=False)
        self.register_buffer("late", None, persistent=False)
        self.register_buffer("spread", torch.ones(1).expand(size.width))

    def altered(self, pair):
        now = pair.detach().mean(0)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * now  # another tensor
            self.aside.mul_(0.9).add_(now, alpha=0.1)
            self.late = now if self.late is None else 0.5 * (self.late + now)
        return pair + self.mean + self.aside + (0 if self.late is None else self.late) * self.spread


class CountsCalls(Pairs):
    """Counts its steps in an attribute that is a plain number."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.calls, self.energy.calls = 0, 0.0

    def altered(self, pair):
        self.calls += self.training
        self.energy.calls += 0.5 * self.training
        return pair * (1 + 0.1 * self.calls + 0.1 * self.energy.calls)


class Growing(Pairs):
    """Has a buffer that grows with every step."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.register_buffer("memory", torch.zeros(0))

    def altered(self, pair):
        self.memory = torch.cat([self.memory, pair.detach().mean()[None]])
        return pair


class Late(Pairs):
    """Has a buffer that is None until its first step."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        self.register_buffer("scale", None)

    def altered(self, pair):
        if self.scale is None:
            self.scale = pair.detach().std(0)
        return pair


class Distances(Pairs):
    """Uses what has a first derivative and no second one."""

    def altered(self, pair):
        rows = pair.view(-1, 2, pair.shape[1] // 2)
        return pair + torch.cdist(rows, rows + 1).sum((1, 2))[:, None]


class OddOnly(Pairs):
    """Takes only odd widths."""

    def __init__(self, size, forces, dataset):
        super().__init__(size, forces, dataset)
        if size.width % 2 == 0:
            raise ValueError(f"width {size.width} is even")


class Misshapen(Pairs):
    """Multiplies what does not fit."""

    def altered(self, pair):
        return pair @ torch.ones(3, 3)


class Column(Pairs):
    """Returns energies as a column, and no direct forces."""

    def atoms(self, batch, vectors):
        return super().atoms(batch, vectors)[0][:, None], None


HABITS = {
    kind.__name__.lower(): Architecture(kind, Size, equivariant=False)
    for kind in (
        Norms, WeightNorm, SpectralNorm, Orthogonal, Attention, Checkpointed, Reentrant, Compiled, Lookup, Softmax,
        Fourier, Contracted, Complexes, Solver, Averaging, CountsCalls, Growing, Late, Distances, OddOnly, Misshapen,
        Column,
    )
}  # fmt: skip
