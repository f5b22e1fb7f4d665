"""The floating-point precision of training steps."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

from raysweep.core.errors import SpaceError

Precision = Literal["float32", "float64", "tf32", "bf16"]


def weight_dtype(precision: Precision) -> torch.dtype:
    """The type of weights, optimizer state and evaluations."""
    return torch.float64 if precision == "float64" else torch.float32


def check_precision(precision: Precision, device: torch.device) -> None:
    """Refuse a precision that the device does not support."""
    if precision == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise SpaceError(
            f"training.precision: tf32 needs an NVIDIA GPU of compute capability 8.0 or higher, and the device is "
            f"{device.type}; use float32 or bf16."
        )


@contextmanager
def tf32_products(precision: Precision) -> Iterator[None]:
    """Compute matrix products, backward ones too, in tf32 for the block, if that is the precision."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    if precision == "tf32":
        matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        if precision == "tf32":
            matmul.fp32_precision = before


def mixed(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Compute the products of a forward pass in bf16, if that is the precision; backward passes follow."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
