"""What a local Ray is made of dies in the middle of a sweep: it ends with a line that says what, and goes on later."""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from killable import Sweep, child

from raysweep.core.trial import TrialState
from raysweep.sweep.cluster.watch import GRACE_SECONDS

SERVICES = ("raylet", "gcs_server")


@dataclass
class End:
    """How a sweep ended that lost a service of Ray."""

    sweep: Sweep
    pid: int
    status: int
    output: str
    seconds: float


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, End]]:
    """Both sweeps at once: most of their time is waited."""
    sweeps = {name: Sweep(tmp_path_factory.mktemp(name) / "toy", nap=0.5, tune=False, failures=0) for name in SERVICES}
    drivers = {name: sweep.start() for name, sweep in sweeps.items()}
    killed, found = {}, {}
    try:
        for name, sweep in sweeps.items():
            sweep.wait(lambda sweep=sweep: sweep.worked() >= 2, drivers[name], 200)
            pid = child(drivers[name].pid, name)
            os.kill(pid, signal.SIGKILL)
            killed[name] = (pid, time.monotonic())
        for name, driver in drivers.items():
            output, _ = driver.communicate(timeout=120)
            pid, since = killed[name]
            found[name] = End(sweeps[name], pid, driver.returncode, output, time.monotonic() - since)
        yield found
    finally:
        for driver in drivers.values():
            driver.kill()


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.timeout(400)
def test_sweep_ends_with_a_line_that_names_the_process_its_log_and_how_to_go_on(
    ends: dict[str, End], name: str
) -> None:
    end = ends[name]
    assert end.status == 75, end.output
    assert end.seconds < 90
    (line,) = [line for line in end.output.splitlines() if "the local Ray died" in line]
    assert f"the local Ray died ({name}, process {end.pid}); its log is " in line
    log = line.partition("its log is ")[2].partition(". What was saved is kept; run the same command again")[0]
    assert Path(log).is_file()
    assert "Traceback" not in end.output
    # No trial has failed for it, though none may (`max_failures: 0`), and the sweep is given back.
    states = {end.sweep.store.record(trial_id).state for trial_id in end.sweep.store.ids()}
    assert states <= {TrialState.CANCELLED, TrialState.DONE, TrialState.RUNNING}
    if end.seconds < GRACE_SECONDS:  # otherwise the driver was ended at once, and its lease is that of a dead process
        assert not (end.sweep.storage / "driver.json").exists()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_six_random_kills_end_or_go_on_with_a_line_and_the_same_points(tmp_path: Path) -> None:
    from benchmarks.random_kills import measure

    kills = measure(tmp_path, sweeps=6, seed=5)
    assert len(kills) == 6
    assert [kill for kill in kills if not kill.good] == []
    assert max(kill.seconds for kill in kills) < 90
