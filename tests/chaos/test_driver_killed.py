"""A driver that is killed, or told to end, loses nothing: the same command ends with the same points."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from killable import Sweep, kill

from tests.drivers import Driver

SweepMaker = Callable[..., Sweep]
WORKERS = 2


def test_kill_9_in_the_middle_of_the_grid_ends_with_the_points_of_an_uninterrupted_run(make_sweep: SweepMaker) -> None:
    whole, killed = make_sweep("whole"), make_sweep("killed")
    whole.finish()
    expected = pq.read_table(whole.storage / "points.parquet")

    driver = killed.start()
    tuning = sum(row.stage == "learning_rate" for row in whole.store.assignments())
    killed.wait(lambda: len(killed.store.ids()) >= tuning + 3, driver)
    kill(driver)
    assert len(killed.store.ids()) < len(whole.store.ids())  # in the middle
    assert (
        not (killed.storage / "points.parquet").exists() or pq.read_table(killed.storage / "points.parquet") != expected
    )

    output = killed.finish()
    assert "is dead; its sweep continues here" in output
    assert "complete=True" in output
    assert pq.read_table(killed.storage / "points.parquet").equals(expected)
    again = killed.finish()
    assert "ran=0" in again
    assert killed.worked() - whole.worked() <= 2 * WORKERS  # a point in the making by each worker, and by its orphan


@dataclass
class Told:
    """A sweep whose driver met a second one, was told to end, and was followed by a third."""

    sweep: Sweep
    first: Driver
    second: Driver
    refusal: str
    farewell: str
    seconds: float
    """That the first took to end."""
    left_lease: bool
    worked: int
    """Points when the first had ended."""
    finished: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    sweep = Sweep(tmp_path_factory.mktemp("told") / "toy", nap=0.3, tune=False, held=True)
    first = sweep.start()
    try:
        sweep.wait(lambda: sweep.worked() >= 3, first)
        sweep.hold.touch()
        second = sweep.start()
        refusal, _ = second.communicate(timeout=120)
        began = time.monotonic()
        first.send_signal(signal.SIGTERM)
        farewell, _ = first.communicate(timeout=30)
        seconds = time.monotonic() - began
    finally:
        first.kill()
    left_lease, worked = (sweep.storage / "driver.json").exists(), sweep.worked()
    sweep.hold.unlink()
    return Told(sweep, first, second, refusal, farewell, seconds, left_lease, worked, sweep.finish())


def test_sigterm_ends_within_ten_seconds_and_says_how_to_go_on(told: Told) -> None:
    assert told.seconds < 10
    assert told.first.returncode == 128 + signal.SIGTERM
    assert "run the same command again" in told.farewell
    assert not told.left_lease
    assert told.worked < 64
    assert "complete=True" in told.finished
    assert told.sweep.worked() <= 64 + 2 * WORKERS
    assert pq.read_table(told.sweep.storage / "points.parquet").num_rows == 64


def test_second_driver_is_refused_while_the_first_lives(told: Told) -> None:
    assert told.second.returncode == 1
    assert f"process {told.first.pid} on" in told.refusal
    assert "runs this sweep" in told.refusal


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_9_at_ten_random_times_ends_as_an_uninterrupted_run(tmp_path: Path) -> None:
    from benchmarks.killed_driver import measure

    found = measure(tmp_path, kills=10, nap=0.5, draw=random.Random(7))
    assert int(str(found["kills"])) >= 5  # it may come to its end before the last
    expected = {
        "points": 64, "doubled_points": 0, "same_points": True, "doubled_runs": 0, "missing_runs": 0, "running_runs": 0,
        "same_frontier": True,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected
    # A point in the making by each worker, and by those that outlive their driver for a moment.
    assert int(str(found["worked_out_twice"])) <= 2 * 2 * int(str(found["kills"]))
