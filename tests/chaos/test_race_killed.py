"""A race across families that is killed again and again ends with the verdict and the runs of one that was not."""

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from killable import Sweep, kill

from raysweep.storage.race_records import RaceRecord

TIMES = ("seconds", "throughput", "peak_memory")
KILLS = 10


def race_sweep(folder: Path) -> Sweep:
    """A sweep whose `run` is a race of two families that are hard to tell apart."""
    sweep = Sweep(folder, tune=False)
    families = {
        label: {
            "architecture": f"toy-{label}",
            "fixed": {"factor": factor, "nap": 0.05},
            "sizes": {"width": [2, 4, 8, 16]},
        }
        for label, factor in (("a", 1.0), ("b", 1.02))
    }
    race = {"enabled": True, "at_flops": 1e9, "delta": 0.001, "budget": "1.6e8 FLOP"}
    content = yaml.safe_load(sweep.yaml.read_text())
    grid = {"structures": [100, 200, 400, 800, 1600, 3200]}
    sweep.yaml.write_text(yaml.safe_dump({**content, "families": families, "grid": grid, "race": race}))
    return sweep


def record_of(sweep: Sweep) -> RaceRecord:
    (record,) = sweep.store.races()
    return record


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_race_killed_ten_times_ends_with_the_same_verdict_and_the_same_runs(tmp_path: Path) -> None:
    whole, killed = race_sweep(tmp_path / "whole"), race_sweep(tmp_path / "killed")
    whole.finish()
    expected = record_of(whole)
    assert len(expected.looks) >= 3
    draw, most = random.Random(7), whole.worked() // KILLS
    made = 0
    for _ in range(KILLS):
        driver = killed.start()
        target = killed.worked() + draw.randint(1, most)
        killed.wait(lambda target=target: killed.worked() >= target, driver, seconds=200)  # type: ignore[misc]
        kill(driver)
        made += 1
    assert made == KILLS
    assert "complete=True" in killed.finish()
    found = record_of(killed)
    assert (found.looks, found.verdicts, found.ended) == (expected.looks, expected.verdicts, expected.ended)
    assert found.seconds > expected.seconds, "time counts over all interruptions"
    assert killed.store.ids() == whole.store.ids()
    kept, wanted = (pq.read_table(s.storage / "points.parquet").drop_columns(TIMES) for s in (killed, whole))
    assert kept.equals(wanted)
    assert "ran=0" in killed.finish()
