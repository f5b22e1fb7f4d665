"""The memory of a training process: how much it took at most, and that a CPU's stays where it is."""

import ctypes
import functools
import resource

import torch

_MMAP_THRESHOLD, _TRIM_THRESHOLD, _TOP_PAD = -3, -1, -2
"""Names of glibc's settings (malloc.h)."""


def peak_memory(device: torch.device) -> int:
    """Return bytes: the most that tensors held on a GPU since its trajectory began, or the process on a CPU, ever."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB


@functools.cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep freed memory for this process, for good, and return whether it does.

    Else every step gives its large tensors back to the system and gets them anew, page by page: 5 to 20 % of the time
    (benchmarks/training_speed.py). Elsewhere than on glibc nothing is done.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # The greatest values that glibc takes: 32 MiB, an int.
    return bool(mallopt(_MMAP_THRESHOLD, 2**25) and mallopt(_TRIM_THRESHOLD, 2**31 - 1) and mallopt(_TOP_PAD, 2**26))
