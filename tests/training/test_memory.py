"""A training process keeps the memory that it has once had."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from raysweep.training.memory import keep_freed_memory

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
    told = subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True)
    return int(told.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's settings")
def test_freed_memory_is_kept():
    # 40 MB a step, 4 KiB a page.
    assert faults(keep=False) > 5000
    assert faults(keep=True) < 500
