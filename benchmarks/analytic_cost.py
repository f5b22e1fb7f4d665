"""An independent count of the matrix products and tensor contractions of a training step, from shapes and calculus.

Only the forward pass is watched, call by call, at the level of torch's Python functions: what each product multiplies,
and whether its factors depend on the weights or on the positions. What the backward passes cost follows on paper.

For C = A · B of m x k and k x n (2mkn operations), with P(X) = 1 where X depends on weights, and so needs a gradient in
the last backward pass, and V(X) = 1 where X depends on positions:

* direct forces: 1 + P(A) + P(B);
* conservative forces: the pass that makes the forces computes V(A) [C' B^T] + V(B) [A^T C'], and the last pass
  differentiates the product and those: 1 + P(A) + P(B) + V(A) (2 + P(B)) + V(B) (2 + P(A)).

So a layer of weights on features that depend on both costs 6 times its forward product, on functions of the positions
alone 5 times, on the elements' embedding 3 times; a constant coupling of such functions costs 3 times its forward
product, of features that depend on both 4 times, a product of two of those 9 times.
"""

import contextlib
import math
from dataclasses import dataclass

import torch
from torch.overrides import TorchFunctionMode

_PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "linear", "einsum", "tensordot"}


@dataclass
class Product:
    """A product of the forward pass: its operations, and whether its factors need gradients."""

    operations: int
    left: bool
    right: bool


class _Watch(TorchFunctionMode):
    def __init__(self):
        super().__init__()
        self.products = []
        self._inside = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in _PRODUCTS and not self._inside:
            self.products.append(self._product(name, args))
            self._inside = True
            try:
                return func(*args, **(kwargs or {}))
            finally:
                self._inside = False
        return func(*args, **(kwargs or {}))

    @staticmethod
    def _product(name, args):
        if name == "einsum":
            text, *factors = args
            if len(factors) == 1 and isinstance(factors[0], list | tuple):
                factors = factors[0]
            assert len(factors) == 2, f"einsum {text} of {len(factors)} factors: split it into products of two"
            extent = {}
            for letters, factor in zip(text.replace(" ", "").split("->")[0].split(","), factors, strict=True):
                extent.update(zip(letters, factor.shape, strict=True))
            return Product(2 * math.prod(extent.values()), factors[0].requires_grad, factors[1].requires_grad)
        left, right = args[-2:] if name in ("addmm", "baddbmm") else args[:2]
        if name == "linear":
            right = right.transpose(-1, -2)
        if name == "__rmatmul__":
            left, right = right, left
        batch = math.prod(torch.broadcast_shapes(left.shape[:-2], right.shape[:-2]))
        m, k, n = left.shape[-2], left.shape[-1], right.shape[-1]
        return Product(2 * batch * m * k * n, left.requires_grad, right.requires_grad)


@contextlib.contextmanager
def _frozen(model):
    wanted = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        for weight, _ in wanted:
            weight.requires_grad_(False)
        yield
    finally:
        for weight, flag in wanted:
            weight.requires_grad_(flag)


def _watched(model, batch, positions):
    vectors = batch.vectors().detach().requires_grad_(positions)
    with torch.enable_grad(), _Watch() as watch:
        model.atoms(batch, vectors * 1.0)
    return watch.products


def count(model, batch):
    """Return the operations of all products and contractions of one training step on a batch."""
    conservative = model.forces == "conservative"
    needed = _watched(model, batch, positions=False)
    with _frozen(model):
        moved = _watched(model, batch, positions=True)
    total = 0
    for p, v in zip(needed, moved, strict=True):
        assert p.operations == v.operations
        times = 1 + p.left + p.right
        if conservative:
            times += v.left * (2 + p.right) + v.right * (2 + p.left)
        total += p.operations * times
    return total
