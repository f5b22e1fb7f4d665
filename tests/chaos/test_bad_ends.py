"""One sweep whose trials end in every bad way: the command line and MLflow tell each by its name."""

import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest
import yaml
from killable import TOY

from tests.drivers import RAYSWEEP, run, shared_ray

WAYS = {
    "good": "well",
    "bug": "raise",
    "dead": "exit",
    "nan": "nan",
    "big": "memory",
    "stuck": "hang",
}
STATES = {
    "good": ("done", "FINISHED"),
    "bug": ("failed", "FAILED"),
    "dead": ("failed", "FAILED"),
    "nan": ("diverged", "KILLED"),
    "big": ("out_of_memory", "FAILED"),
    "stuck": ("timed_out", "FAILED"),
}


def raysweep(*words: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(TOY), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **shared_ray()}
    return run([RAYSWEEP, *words], environment=environment)


@pytest.mark.timeout(300)
def test_each_bad_end_is_told_by_exit_status_summary_status_and_mlflow(tmp_path: Path) -> None:
    space = tmp_path / "ends.yaml"
    content = {
        "name": "ends",
        "storage": str(tmp_path / "sweep"),
        "entrypoint": "toy_trials:train",
        "families": {k: {"architecture": "toy", "sizes": [{"width": 8, "how": how}]} for k, how in WAYS.items()},
        "grid": {"structures": [100, 200, 400]},
        "learning_rate": {"rates": dict.fromkeys(WAYS, 0.02)},
        "resources": {"max_failures": 0, "stall_seconds": 10},
    }
    space.write_text(yaml.safe_dump(content))
    done = raysweep("run", str(space))
    assert done.returncode == 1, done.stderr
    assert "the sweep is not complete: trials 2 failed, 1 out of memory, 1 timed out" in done.stderr

    shown = raysweep("status", str(space)).stdout
    assert "1 diverged, 1 done, 2 failed, 1 out_of_memory, 1 timed_out" in shown
    assert "ValueError: a bug in the training" in shown
    assert "MemoryError: 42 GiB" in shown

    with contextlib.closing(sqlite3.connect(tmp_path / "sweep" / "mlflow.db")) as book:
        rows = book.execute("select t.run_uuid, t.key, t.value, r.status from tags t join runs r using (run_uuid)")
        runs: dict[str, dict[str, str]] = {}
        for run, key, value, status in rows:
            runs.setdefault(run, {"status": status})[key] = value
    trials = [tags for tags in runs.values() if "raysweep.trial_id" in tags]
    assert {t["raysweep.family"]: (t["raysweep.state"], t["status"]) for t in trials} == STATES
