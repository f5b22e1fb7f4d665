"""A driver that is killed again and again, against one that is not: `python benchmarks/killed_driver.py [--kills 10]`.

`raysweep run` on 8 trajectories with 8 budgets each (naps instead of training), its tracking in SQLite, killed with -9
at random times after its first trial has begun, and run once more to the end. Printed: the wall-clock of the work, from
the first trial of each driver to its death or end, over that of an uninterrupted run (at most 1.5 is wanted; what is
not in it is the start of Python and Ray, which is printed apart), points that are missing, doubled or other than those
of the uninterrupted run, runs in MLflow that are doubled or still RUNNING, and whether the frontier's table is the same
to the last digit (all but the last 0 and true are wanted).
"""

import argparse
import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

sys.path.append(str(Path(__file__).parents[1] / "tests" / "chaos"))
from killable import TOY, Sweep, kill

RAYSWEEP = str(Path(sys.executable).with_name("raysweep"))
TIMES = ("seconds", "throughput", "peak_memory")


class Drivers:
    """The drivers of one sweep, one after another, and the seconds that they spent on its trials."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep, self.starting, self.working = sweep, 0.0, 0.0
        path = os.pathsep.join([str(TOY), os.environ.get("PYTHONPATH", "")])
        self._environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def run(self, seconds: float | None) -> bool:
        """Run a driver for so long after its first trial began, None: to its end; return whether it came to that."""
        began = time.time()
        command = [RAYSWEEP, "run", str(self.sweep.yaml)]
        with self.sweep.storage.with_suffix(".log").open("a") as log:
            driver = subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True
            )
        while driver.poll() is None and not self._first_begun(began):
            time.sleep(0.02)
        first = time.time()
        self.starting += first - began
        try:
            driver.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            kill(driver)
            self.working += time.time() - first
            return False
        assert driver.returncode == 0, self.sweep.storage.with_suffix(".log").read_text()[-2000:]
        self.working += self._last_ended() - first if self._first_begun(began) else 0.0
        return True

    def _first_begun(self, since: float) -> bool:
        return any((self.sweep.store.record(i).started or 0) >= since for i in self.sweep.store.ids())

    def _last_ended(self) -> float:
        return max(self.sweep.store.record(i).ended or 0 for i in self.sweep.store.ids())

    def frontier(self) -> str:
        """Return what `raysweep frontier` prints of the sweep's MLflow."""
        command = [RAYSWEEP, "frontier", str(self.sweep.yaml), "--json"]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=True)
        return done.stdout.replace(str(self.sweep.storage), "")


def measure(folder: Path, kills: int, nap: float, draw: random.Random) -> dict[str, object]:
    """Run both sweeps, and compare them."""
    whole, killed = (Drivers(Sweep(folder / name, nap=nap, tune=False, tracked=True)) for name in ("whole", "killed"))
    assert whole.run(None)
    made = 0
    for _ in range(kills):
        made += not killed.run(draw.uniform(0.1, 1.6 * whole.working / kills))
    assert killed.run(None)
    kept, expected = (pq.read_table(d.sweep.storage / "points.parquet").drop_columns(TIMES) for d in (killed, whole))
    keys = Counter(zip(*(kept[name].to_pylist() for name in ("trial_id", "budget", "budget_kind")), strict=True))
    runs, running = mlflow_runs(killed.sweep)
    return {
        "kills": made,
        "times_the_uninterrupted": round(killed.working / whole.working, 2),
        "seconds": round(whole.working, 1),
        "seconds_to_start": round(killed.starting / (kills + 1), 1),
        "points": len(keys),
        "doubled_points": sum(keys.values()) - len(keys),
        "same_points": kept.equals(expected),
        "worked_out_twice": killed.sweep.worked() - 64,
        "doubled_runs": sum(runs.values()) - len(runs),
        "missing_runs": 8 - len(runs),
        "running_runs": running,
        "same_frontier": killed.frontier() == whole.frontier(),
    }


def mlflow_runs(sweep: Sweep) -> tuple[Counter[str], int]:
    """Return the runs in MLflow by trial id, and how many runs of any kind are RUNNING."""
    with contextlib.closing(sqlite3.connect(sweep.storage / "mlflow.db")) as book:
        ids = book.execute("select value from tags where key = 'raysweep.trial_id'").fetchall()
        ((running,),) = book.execute("select count(*) from runs where status = 'RUNNING'").fetchall()
    return Counter(trial_id for (trial_id,) in ids), int(running)


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--nap", type=float, default=1.0, help="seconds that a point takes")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), asked.kills, asked.nap, random.Random(asked.seed))))


if __name__ == "__main__":
    main()
