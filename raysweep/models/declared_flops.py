"""Declaration, by a network, of FLOPs that torch's dispatcher does not see."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Meter(Protocol):
    """Counts operations; `declare_flops` adds those that it does not see."""

    def pause(self) -> None:
        """Stop counting."""

    def resume(self, declared: int) -> None:
        """Resume counting, with the declared operations added."""


METERS: list[Meter] = []
"""The active meters."""


@contextmanager
def declare_flops(count: int) -> Iterator[None]:
    """Count a block as `count` floating-point operations, whatever runs inside.

    For kernels that the cost meter cannot see (Triton, C++, NumPy), in the forward pass and in the backward one of an
    autograd.Function alike. Without an active meter it does nothing.

    Args:
        count: operations of the block by the convention of docs/training.md, a multiply-add as two.
    """
    meters = list(METERS)
    for meter in meters:
        meter.pause()
    try:
        yield
    finally:
        for meter in meters:
            meter.resume(count)
