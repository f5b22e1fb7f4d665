"""FLOP formulas of operations whose cost follows from their shapes and for which torch has none.

Leading terms, as the literature counts them: products and factorisations of dense matrices by LAPACK Working Note 41
(Blackford and Dongarra, appendix C), Fourier transforms of length N as 5 N log2 N, half of that for real ones (FFTW's
convention, fftw.org/speed). Iterative algorithms (eigenvalues, singular values, exponentials of matrices) have no
formula.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

PRODUCTS: dict[str, Callable[..., int]] = {
    "mv": lambda a, x: 2 * a.numel(),
    "dot": lambda x, y: 2 * x.numel(),
    "vdot": lambda x, y: 2 * x.numel(),
    "addmv": lambda base, a, x: 2 * a.numel() + base.numel(),
    "addr": lambda base, x, y: 2 * x.numel() * y.numel(),
    "addmm": lambda base, a, b: 2 * a.numel() * b.shape[-1],
    "baddbmm": lambda base, a, b: 2 * a.numel() * b.shape[-1],
    "addbmm": lambda base, a, b: 2 * a.numel() * b.shape[-1] + base.numel(),
    "_cdist_forward": lambda a, b: 3 * a.numel() * b.shape[-2],
    "_cdist_backward": lambda gradient, a, b, distance: 4 * a.numel() * b.shape[-2],
    "_scaled_dot_product_flash_attention_for_cpu": (
        lambda q, k, v, *_: sdpa_flop_count(q.shape, k.shape, v.shape)  # type: ignore[no-untyped-call]
    ),
    "_scaled_dot_product_flash_attention_for_cpu_backward": (
        lambda g, q, k, v, *_: sdpa_backward_flop_count(g.shape, q.shape, k.shape, v.shape)  # type: ignore[no-untyped-call]
    ),
    "linalg_lu_factor_ex": lambda a: _per_matrix(a, _lu),
    "linalg_lu": lambda a: _per_matrix(a, _lu),
    "_linalg_det": lambda a: _per_matrix(a, _lu),
    "_linalg_slogdet": lambda a: _per_matrix(a, _lu),
    "linalg_inv_ex": lambda a: _per_matrix(a, lambda n, _: 2 * n**3),
    "linalg_cholesky_ex": lambda a: _per_matrix(a, lambda n, _: n**3 / 3),
    "linalg_qr": lambda a: _per_matrix(a, _qr),
    "_linalg_solve_ex": lambda a, b: _per_matrix(a, _lu) + 2 * a.shape[-1] * b.numel(),
    "linalg_lu_solve": lambda lu, pivots, b: 2 * lu.shape[-1] * b.numel(),
    "linalg_solve_triangular": lambda a, b: a.shape[-1] * b.numel(),
    "cholesky_solve": lambda b, a: 2 * a.shape[-1] * b.numel(),
    "_cholesky_solve_helper": lambda b, a: 2 * a.shape[-1] * b.numel(),
}
"""Formulas of products and factorisations of real matrices; they take the tensors in the order of the arguments."""


def _per_matrix(of: torch.Tensor, count: Callable[[int, int], float]) -> int:
    """The count for a matrix, rounded, times the number of matrices [..., m, n]."""
    m, n = of.shape[-2:]
    return round(count(m, n)) * math.prod(of.shape[:-2])


def _lu(m: int, n: int) -> float:
    least = min(m, n)
    return 2 * m * n * least - (m + n) * least**2 + 2 * least**3 / 3


def _qr(m: int, n: int) -> float:
    """Operations of R, and of Q from its reflectors, in the reduced form."""
    k = min(m, n)
    return 2 * _lu(m, n) + 2 * m * k**2 - 2 * k**3 / 3


def _fourier(real: bool) -> Callable[..., int]:
    def count(args: Sequence[object], out: torch.Tensor) -> int:
        given, dims = args[0], args[1]
        assert isinstance(given, torch.Tensor)
        assert isinstance(dims, Sequence)
        whole = out if not out.is_complex() else given  # the side that holds all N numbers
        length = math.prod(whole.shape[dim] for dim in dims)
        each = (2.5 if real else 5.0) * length * math.log2(max(length, 1))
        return round(each) * (whole.numel() // max(length, 1))

    return count


def _bag(args: Sequence[object], out: torch.Tensor) -> int:
    rows, indices = args[0], args[1]
    assert isinstance(rows, torch.Tensor)
    assert isinstance(indices, torch.Tensor)
    return indices.numel() * rows.shape[-1]


def _trilinear(args: Sequence[object], out: torch.Tensor) -> int:
    factors, added = args[:3], args[3:6]
    shapes = []
    for factor, dims in zip(factors, added, strict=True):
        assert isinstance(factor, torch.Tensor)
        assert isinstance(dims, Sequence)
        for dim in sorted(dims):
            factor = factor.unsqueeze(dim)
        shapes.append(tuple(factor.shape))
    return 3 * math.prod(np.broadcast_shapes(*shapes))


OTHERS: dict[str, Callable[[Sequence[object], torch.Tensor], int]] = {
    "_fft_c2c": _fourier(real=False),
    "_fft_r2c": _fourier(real=True),
    "_fft_c2r": _fourier(real=True),
    "_embedding_bag": _bag,
    "_embedding_bag_forward_only": _bag,
    "_embedding_bag_backward": _bag,
    "_embedding_bag_dense_backward": _bag,
    "_trilinear": _trilinear,
}
"""Formulas of everything but products of matrices; they take all arguments and the first result."""
