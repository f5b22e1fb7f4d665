"""A training process keeps the memory that it has once had."""

import os
import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from raysweep.training.device.memory import keep_freed_memory

if {keep}:
    assert keep_freed_memory()
def step():
    tensors = [torch.ones(500_000) for _ in range(20)]
    return sum(tensors).sum()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep):
    # Left alone, glibc raises this threshold by what it has seen: what it then keeps depends on the order of things.
    told = subprocess.run(
        [sys.executable, "-c", FAULTS.format(keep=keep)],
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(told.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's settings")
def test_freed_memory_is_kept():
    # 40 MB a step: 10,000 pages of 4 KiB.
    given_back = faults(keep=False)
    assert given_back > 2000
    assert faults(keep=True) < given_back / 10
