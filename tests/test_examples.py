"""Example search spaces and notebooks run, at a small scale."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

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

SWEEPS = {"sweep_in_ten_minutes": pytest.mark.slow}
"""Notebooks that train a sweep on Ray; README's block does so in each run of the tests (see test_documents.py)."""
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


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
    for name in ("inference_flops", "md_ms_100", "md_ms_1000"):
        assert all(cost > 0 for trial_id in store.ids() for cost in store.points(trial_id)[name].to_pylist()), name


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["frontier_from_a_csv", "own_architecture", "sweep_in_ten_minutes"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells), f"run `nbstripout {path}`"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem, marks=SWEEPS.get(p.stem, ())) for p in NOTEBOOKS])
def test_a_notebook_runs_and_draws(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside copies of the files that it reads, shortened by the variable that it asks for."""
    monkeypatch.setenv("RAYSWEEP_EXAMPLES", "short")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copytree(ROOT / "search_spaces", tmp_path / "search_spaces")
    (tmp_path / "examples").mkdir()
    shutil.copy(ROOT / "examples" / "runs.csv", tmp_path / "examples")
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path / "examples")}}
    NotebookClient(notebook, timeout=580, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 1
    if path.stem == "frontier_from_a_csv":  # the law that its points were drawn from lies within what it says
        text = "".join(output.get("text", "") for output in outputs)
        low, high = map(float, re.findall(r"N\* ~ C\^a: [0-9.]+ \[([0-9.]+), ([0-9.]+)\]", text)[0])
        assert low < 0.5126 < high
