"""Workers that are killed with -9 again and again lose a point in the making each, and nothing else."""

import os
import random
import signal
import time
from collections.abc import Callable

import pyarrow.parquet as pq
import pytest
from killable import Sweep

SweepMaker = Callable[..., Sweep]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_workers_lose_at_most_a_point_each(make_sweep: SweepMaker) -> None:
    whole, killed = make_sweep("whole", tune=False), make_sweep("killed", nap=0.5, tune=False, failures=20)
    whole.finish()
    draw = random.Random(11)
    driver, kills = killed.start(), 0
    while driver.poll() is None:
        time.sleep(0.5)
        for process in killed.workers():
            if draw.random() < 0.06:  # of each worker, every half second: ten times what spot instances do in ten
                kills += _kill(process)
    output, _ = driver.communicate(timeout=30)
    assert driver.returncode == 0, output
    assert "complete=True" in output
    assert kills >= 3
    kept, expected = (pq.read_table(s.storage / "points.parquet") for s in (killed, whole))
    assert kept.num_rows == expected.num_rows == 64
    names = ["family", "params", "data", "learning_rate", "budget"]
    assert kept.select(names).equals(expected.select(names))
    assert killed.worked() <= 64 + kills


def _kill(process: int) -> int:
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:  # it has ended since
        return 0
    return 1
