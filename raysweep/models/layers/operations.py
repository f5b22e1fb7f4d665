"""Operations on tensors over edges whose first and second derivatives move as little memory as possible.

Conservative forces differentiate twice. torch's own derivatives of these are correct but slow: they fill tensors with
zeros, accumulate column by column, or come out transposed in memory.
"""

from collections.abc import Sequence

import torch


def concatenate(parts: Sequence[torch.Tensor], dim: int = 1) -> torch.Tensor:
    """Concatenate tensors over edges along a dimension, as torch.cat does.

    torch's second derivative of it allocates a tensor of zeros of the full size for every part; this one is a split.
    """
    whole: torch.Tensor = _Concatenate.apply(dim, *parts)  # type: ignore[no-untyped-call]
    return whole


def split(whole: torch.Tensor, sizes: Sequence[int], dim: int = 1) -> tuple[torch.Tensor, ...]:
    """Split a tensor into parts of the given sizes, as torch.split does; the inverse of `concatenate`."""
    parts: tuple[torch.Tensor, ...] = _Split.apply(whole, list(sizes), dim)  # type: ignore[no-untyped-call]
    return parts


class _SplitContext(torch.autograd.function.FunctionCtx):
    dim: int
    sizes: list[int]


class _Concatenate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _SplitContext, dim: int, *parts: torch.Tensor) -> torch.Tensor:
        ctx.dim, ctx.sizes = dim, [part.shape[dim] for part in parts]
        return torch.cat(parts, dim=dim)

    @staticmethod
    def backward(ctx: _SplitContext, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return (None, *split(gradients[0], ctx.sizes, ctx.dim))


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _SplitContext, whole: torch.Tensor, sizes: list[int], dim: int) -> tuple[torch.Tensor, ...]:
        ctx.dim = dim
        return torch.split(whole, sizes, dim=dim)

    @staticmethod
    def backward(ctx: _SplitContext, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return concatenate(gradients, ctx.dim), None, None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(0, 1).contiguous()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> torch.Tensor:
        return transposed(gradient)


def transposed(x: torch.Tensor) -> torch.Tensor:
    """Transpose the first two axes; the result and its derivatives are contiguous.

    On a CPU, gathering or scattering rows takes three times as long if they are not contiguous.
    """
    swapped: torch.Tensor = _Transposed.apply(x)  # type: ignore[no-untyped-call]
    return swapped


class _ScatterContext(torch.autograd.function.FunctionCtx):
    saved_tensors: tuple[torch.Tensor, torch.Tensor]


class _ScatterColumns(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor, source: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(source, target)
        if source.shape[0] > x.shape[1]:
            x = torch.cat([x, x.new_zeros(x.shape[0], 1)], dim=1)
        return x.index_select(1, source)

    @staticmethod
    def backward(ctx: _ScatterContext, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        source, target = ctx.saved_tensors
        return scatter_columns(gradient, target, source), None, None


def scatter_columns(x: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Scatter the columns of x, each to one position, with zeros elsewhere; or, inversely, gather them.

    torch's own derivative of a selection accumulates column by column, ten times as slow on a CPU.

    Args:
        x: [E, n].
        source: [m] int64, the column of x that each position receives, n for a zero.
        target: [n] int64, the position of each column of x.
    """
    placed: torch.Tensor = _ScatterColumns.apply(x, source, target)  # type: ignore[no-untyped-call]
    return placed


class _PairContext(torch.autograd.function.FunctionCtx):
    saved_tensors: tuple[torch.Tensor, torch.Tensor]
    next_functions: tuple[tuple[torch.autograd.graph.Node | None, int], ...]


def _wanted(ctx: _PairContext) -> list[bool]:
    """Whether this backward pass needs the gradient of each input; `needs_input_grad` ignores `inputs=`.

    For leaves torch does not say: all that require gradients count as needed.
    """
    return [
        node is not None and (hasattr(node, "variable") or torch._C._will_engine_execute_node(node))
        for node, _ in ctx.next_functions
    ]


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, frames: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(frames, x)
        return torch.bmm(frames, x)

    @staticmethod
    def backward(ctx: _PairContext, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        frames, x = ctx.saved_tensors
        of_frames, of_x = _wanted(ctx)
        return outer(gradient, x) if of_frames else None, rotate_back(frames, gradient) if of_x else None


class _RotateBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, frames: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(frames, x)
        return torch.bmm(frames.transpose(1, 2), x)

    @staticmethod
    def backward(ctx: _PairContext, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        frames, x = ctx.saved_tensors
        of_frames, of_x = _wanted(ctx)
        return outer(x, gradient) if of_frames else None, rotate(frames, gradient) if of_x else None


class _Outer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(a, b)
        return torch.bmm(a, b.transpose(1, 2))

    @staticmethod
    def backward(ctx: _PairContext, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        a, b = ctx.saved_tensors
        of_a, of_b = _wanted(ctx)
        return rotate(gradient, b) if of_a else None, rotate_back(gradient, a) if of_b else None


def rotate(frames: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Rotate x [E, k, width] by frames [E, n, k], as torch.bmm does, for tensors over edges.

    torch's derivatives of it, the second above all, come out transposed in memory, and accumulating them takes longer
    than the product; all derivatives of this one, of `rotate_back` and of `outer` have their tensors' memory layout.
    """
    rotated: torch.Tensor = _Rotate.apply(frames, x)  # type: ignore[no-untyped-call]
    return rotated


def rotate_back(frames: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Rotate x [E, n, width] by the transpose of frames [E, n, k]."""
    rotated: torch.Tensor = _RotateBack.apply(frames, x)  # type: ignore[no-untyped-call]
    return rotated


def outer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Multiply a [E, n, width] by the transpose of b [E, k, width]."""
    product: torch.Tensor = _Outer.apply(a, b)  # type: ignore[no-untyped-call]
    return product
