"""The memory of a training process: its peak, and the reuse of freed memory on a CPU."""

import ctypes
import functools
import resource

import torch

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""Names of glibc's settings (malloc.h)."""


def peak_memory(device: torch.device) -> int:
    """Peak memory in bytes: on a GPU of tensors since the trajectory began, on a CPU of the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB


@functools.cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory for the rest of this process; True if it does.

    Otherwise every step returns its large tensors to the system and gets them back page by page: 5 to 20 % of the time
    (benchmarks/training_speed.py). Does nothing without glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # The largest values that glibc accepts: 32 MiB, an int.
    return bool(mallopt(_MMAP_THRESHOLD, 2**25) and mallopt(_TRIM_THRESHOLD, 2**31 - 1) and mallopt(_TOP_PAD, 2**26))
