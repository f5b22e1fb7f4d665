"""Operations on tensors over edges whose derivatives, the second ones too, move no more memory than they must.

Conservative forces differentiate twice. torch's own derivatives of these are right, and slow: they fill tensors of
zeros, add up column by column, or come out transposed in memory.
"""

from collections.abc import Sequence

import torch


def join(parts: Sequence[torch.Tensor], dim: int = 1) -> torch.Tensor:
    """Return the parts one after another along a dimension, as torch.cat does, for tensors over edges.

    torch's second derivative of it makes a tensor of zeros of the whole size for every part; this one is a cut.
    """
    whole: torch.Tensor = _Join.apply(dim, *parts)  # type: ignore[no-untyped-call]
    return whole


def cut(whole: torch.Tensor, sizes: Sequence[int], dim: int = 1) -> tuple[torch.Tensor, ...]:
    """Return consecutive parts of so many along a dimension, as torch.split does; the inverse of `join`."""
    parts: tuple[torch.Tensor, ...] = _Cut.apply(whole, list(sizes), dim)  # type: ignore[no-untyped-call]
    return parts


class _Parts(torch.autograd.function.FunctionCtx):
    dim: int
    sizes: list[int]


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Parts, dim: int, *parts: torch.Tensor) -> torch.Tensor:
        ctx.dim, ctx.sizes = dim, [part.shape[dim] for part in parts]
        return torch.cat(parts, dim=dim)

    @staticmethod
    def backward(ctx: _Parts, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return (None, *cut(gradients[0], ctx.sizes, ctx.dim))


class _Cut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _Parts, whole: torch.Tensor, sizes: list[int], dim: int) -> tuple[torch.Tensor, ...]:
        ctx.dim = dim
        return torch.split(whole, sizes, dim=dim)

    @staticmethod
    def backward(ctx: _Parts, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return join(gradients, ctx.dim), None, None


class _Swap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(0, 1).contiguous()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: torch.Tensor) -> torch.Tensor:
        return swap(gradient)


def swap(x: torch.Tensor) -> torch.Tensor:
    """Return x with its first two axes exchanged, its derivatives as contiguous as itself.

    On a CPU rows of what is not contiguous take three times as long to be taken or added.
    """
    swapped: torch.Tensor = _Swap.apply(x)  # type: ignore[no-untyped-call]
    return swapped


class _Moves(torch.autograd.function.FunctionCtx):
    saved_tensors: tuple[torch.Tensor, torch.Tensor]


class _Place(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor, source: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(source, target)
        if source.shape[0] > x.shape[1]:
            x = torch.cat([x, x.new_zeros(x.shape[0], 1)], dim=1)
        return x.index_select(1, source)

    @staticmethod
    def backward(ctx: _Moves, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        source, target = ctx.saved_tensors
        return place(gradient, target, source), None, None


def place(x: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return all columns of x in other places, each in one, with zeros between; or, the way back, take them out.

    torch's own derivative of a selection adds up column by column, on a CPU ten times as slow.

    Args:
        x: [E, n].
        source: [m] int64, the column of x that goes to each place, n for a zero.
        target: [n] int64, the place of each column of x.
    """
    placed: torch.Tensor = _Place.apply(x, source, target)  # type: ignore[no-untyped-call]
    return placed


class _Pair(torch.autograd.function.FunctionCtx):
    saved_tensors: tuple[torch.Tensor, torch.Tensor]
    next_functions: tuple[tuple[torch.autograd.graph.Node | None, int], ...]


def _wanted(ctx: _Pair) -> list[bool]:
    """Return of each input whether this pass goes on to it; `needs_input_grad` does not know of `inputs=`.

    torch cannot tell for leaves: those that need gradients are taken to be wanted.
    """
    return [
        node is not None and (hasattr(node, "variable") or torch._C._will_engine_execute_node(node))
        for node, _ in ctx.next_functions
    ]


class _Turn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, frames: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(frames, x)
        return torch.bmm(frames, x)

    @staticmethod
    def backward(ctx: _Pair, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        frames, x = ctx.saved_tensors
        of_frames, of_x = _wanted(ctx)
        return outer(gradient, x) if of_frames else None, turn_back(frames, gradient) if of_x else None


class _TurnBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, frames: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(frames, x)
        return torch.bmm(frames.transpose(1, 2), x)

    @staticmethod
    def backward(ctx: _Pair, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        frames, x = ctx.saved_tensors
        of_frames, of_x = _wanted(ctx)
        return outer(x, gradient) if of_frames else None, turn(frames, gradient) if of_x else None


class _Outer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(a, b)
        return torch.bmm(a, b.transpose(1, 2))

    @staticmethod
    def backward(ctx: _Pair, gradient: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        a, b = ctx.saved_tensors
        of_a, of_b = _wanted(ctx)
        return turn(gradient, b) if of_a else None, turn_back(gradient, a) if of_b else None


def turn(frames: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return frames [E, n, k] times x [E, k, width], as torch.bmm does, for tensors over edges.

    torch's derivatives of it, the second above all, come out transposed in memory, and what adds them up takes longer
    than the product; all derivatives of this one, of `turn_back` and of `outer` lie as their tensors do.
    """
    turned: torch.Tensor = _Turn.apply(frames, x)  # type: ignore[no-untyped-call]
    return turned


def turn_back(frames: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the transposed of frames [E, n, k] times x [E, n, width]."""
    turned: torch.Tensor = _TurnBack.apply(frames, x)  # type: ignore[no-untyped-call]
    return turned


def outer(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return a [E, n, width] times the transposed of b [E, k, width]."""
    product: torch.Tensor = _Outer.apply(a, b)  # type: ignore[no-untyped-call]
    return product
