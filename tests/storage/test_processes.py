"""A process is told from a later one of the same number, on any system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.storage import processes


@pytest.fixture
def ended() -> int:
    """Return the number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_start_of_a_live_process_is_that_of_the_system_and_a_dead_one_has_none(ended: int) -> None:
    stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    assert (
        processes.started(os.getpid()) == stat[19]
    )  # field 22 of proc_pid_stat(5), as drivers of all versions keep it
    assert processes.started(ended) is None


def test_a_process_that_nobody_has_waited_for_is_dead() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read()  # until it has ended
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert processes.started(process.pid) is None
    process.wait()
    process.stdout.close()


def test_without_proc_a_process_is_alive_or_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ended: int) -> None:
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    assert processes.started(os.getpid()) == "alive"
    assert processes.started(ended) is None
