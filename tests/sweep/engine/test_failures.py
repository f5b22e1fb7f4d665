"""Why a worker died, as Ray says it, and the watchdog that ends a trial which hangs."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ray.core.generated import common_pb2
from ray.exceptions import ActorDiedError, OutOfMemoryError

from raysweep.core.errors import TRY_AGAIN_STATUS
from raysweep.sweep.engine.failures import Failure, cause_of_failure, host_of, is_out_of_memory
from raysweep.sweep.engine.watchdog import Limits, Watchdog

CRASH = (
    "Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a connection error code 2. End "
    "of file. Some common causes include: (1) the process was killed by the OOM killer due to high memory usage"
)


def actor_died(message: str) -> str:
    context = common_pb2.ActorDiedErrorContext(error_message=message, actor_id=bytes(16))
    return str(ActorDiedError(context))


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (actor_died(CRASH), Failure.FAULT),
        (actor_died("The actor died because its node has died. Node Id: 7f"), Failure.NODE),
        (
            actor_died("The actor is dead because its owner has died. Worker exit detail: Owner's node has crashed."),
            Failure.NODE,
        ),
        (actor_died("the actor's node was preempted: spot instance taken back"), Failure.NODE),
        (str(OutOfMemoryError("Task was killed due to the node running low on memory.")), Failure.MEMORY),
        ("ray::ImplicitFunc.train() MemoryError: 42 GiB", Failure.MEMORY),
    ],
)
def test_cause_of_failure_is_read_from_what_ray_says(error: str, failure: Failure) -> None:
    assert cause_of_failure(error) is failure


def test_host_of_a_worker_is_read_from_what_ray_says() -> None:
    context = common_pb2.ActorDiedErrorContext(error_message=CRASH, actor_id=bytes(16), node_ip_address="10.0.0.9")
    assert host_of(str(ActorDiedError(context))) == "10.0.0.9"
    assert host_of("ValueError: no such ip: 10.0.0.9") is None


def test_failed_allocations_of_torch_are_out_of_memory() -> None:
    import torch

    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60)
    assert is_out_of_memory(raised.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def watched(limits: Limits) -> tuple[Watchdog, list[str], threading.Event]:
    told: list[str] = []
    left = threading.Event()
    return Watchdog(limits, told.append, lambda code: left.set()), told, left


def test_trial_without_points_is_ended_and_one_with_points_is_not() -> None:
    watchdog, told, left = watched(Limits(stall=0.4))
    for _ in range(4):
        time.sleep(0.2)
        watchdog.pause()
        watchdog.go_on()
    assert not told
    watchdog.pause()
    time.sleep(0.6)  # for the driver, which is no fault of the trial
    assert not told
    watchdog.go_on()
    assert left.wait(5)
    assert "no point came for 0.4 s (resources.stall_seconds)" in told[0]
    assert "left.wait(5)" in told[0]  # where the thread that is watched was
    watchdog.stop()


def test_trial_that_takes_too_long_is_ended_and_one_that_ended_is_left_alone() -> None:
    watchdog, told, left = watched(Limits(timeout=0.3))
    assert left.wait(5)
    assert "ended after 0.3 s (resources.timeout_seconds)" in told[0]
    watchdog.stop()
    ended, told, left = watched(Limits(timeout=0.3))
    ended.stop()
    assert not left.wait(0.5)


def test_call_that_keeps_pythons_lock_is_ended_from_outside_python(tmp_path: Path) -> None:
    code = (
        "import ctypes, raysweep.sweep.engine.watchdog as w; w.GRACE_SECONDS = 0.5\n"
        "w.Watchdog(w.Limits(timeout=0.2), print)\n"
        "ctypes.PyDLL(None).sleep(60)\n"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], timeout=30, cwd=tmp_path, capture_output=True, check=False)
    assert time.monotonic() - began < 20
    assert done.returncode not in (0, TRY_AGAIN_STATUS)
