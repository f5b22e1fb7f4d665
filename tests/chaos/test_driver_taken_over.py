"""A driver that stands still for too long is taken over from another host, and does no harm when it wakes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from killable import HERE, TOY, Sweep

from raysweep.core.errors import TRY_AGAIN_STATUS
from raysweep.core.trial import TrialState
from raysweep.storage.layout import LEASE

_ELSEWHERE = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$0" "$@"']
"""A name of its own: all that tells two hosts apart for a driver that shares the disk with another one."""


@pytest.mark.slow
def test_driver_that_sleeps_is_taken_over_from_another_host_and_ends_when_it_wakes(
    make_sweep: Callable[..., Sweep],
) -> None:
    if subprocess.run([*_ELSEWHERE, "true"], capture_output=True).returncode != 0:
        pytest.skip("a host name of its own needs the rights of root (unshare --uts)")
    sweep = make_sweep("sleeps", nap=0.5, tune=False)
    first = sweep.start()
    until = time.monotonic() + 60
    while not any(sweep.store.state(i) == TrialState.RUNNING for i in sweep.store.ids()):
        assert time.monotonic() < until
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGSTOP)
    path = os.pathsep.join([str(TOY), os.environ.get("PYTHONPATH", "")])
    began = time.monotonic()
    second = subprocess.run(
        [*_ELSEWHERE, sys.executable, str(HERE / "drive.py"), str(sweep.yaml)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, timeout=250,
    )  # fmt: skip
    assert second.returncode == 0, second.stdout + second.stderr
    assert "waiting up to" in second.stdout
    assert "is dead; its sweep continues here" in second.stdout
    assert time.monotonic() - began > 45, "it was taken over before its lease had run out"
    points = sweep.store.table()
    os.kill(first.pid, signal.SIGCONT)
    output, _ = first.communicate(timeout=60)
    assert first.returncode == TRY_AGAIN_STATUS, output
    assert sweep.store.table().equals(points), "the first driver, or a worker of it, wrote after it was taken over"
    assert [sweep.store.state(i) for i in sweep.store.ids()] == [TrialState.DONE] * 8
    assert not (sweep.storage / LEASE).exists()
