"""Example search spaces run, at a small scale."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.data.store.store import open_store
from raysweep.storage.trial_store import TrialStore

ROOT = Path(__file__).parents[1]
SMALLER = [
    "storage=sweep", "data.store=data", "data.make.structures=300", "data.validation_structures=8",
    "families.mpnn.sizes={width: [8]}", "families.mpnn.base.width=8",
    "families.egnn.sizes={width: [4]}", "families.egnn.base.width=4",
    "families.tensor-l2.sizes={width: [2]}", "families.tensor-l2.base.width=2",
    "grid.structures=[50, 100]", "learning_rate.structures=50",
    "learning_rate.rates={mpnn: 0.01, egnn: 0.01, tensor-l2: 0.01}",
    "training.optimizer.warmup_steps=2", "tracking.enabled=false",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_diverse_makes_its_data_and_trains_on_ions_and_all_elements(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "raysweep"), "run", str(ROOT / "search_spaces" / "diverse.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *SMALLER], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=580
    )
    assert done.returncode == 0, done.stderr
    manifest = open_store(tmp_path / "data").manifest
    assert manifest.recipe["preset"] == "diverse"
    assert len(manifest.elements) >= 8
    store = TrialStore(str(tmp_path / "sweep"))
    assert len(store.ids()) == 3
    losses = [loss for trial_id in store.ids() for loss in store.points(trial_id)["loss"].to_pylist()]
    assert len(losses) == 6
    assert all(0 < loss < 10 for loss in losses)
