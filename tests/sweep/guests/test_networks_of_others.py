"""Networks of other packages at the command line: what cannot be counted or scaled is refused before any training."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from raysweep.core.trial import TrialState
from raysweep.data.generation.xtb import make_store
from raysweep.models.registry import GROUP
from raysweep.storage.trial_store import TrialStore
from tests.drivers import RAYSWEEP, run
from tests.kept_workers import KeptWorkers

ROOT = Path(__file__).parents[3]
MODULE = """
from tests.training.networks import NETWORKS
locals().update({name.upper(): network for name, network in NETWORKS.items()})
"""
NAMES = ("custom", "spectral", "outside", "formula", "flat", "flatdeclared")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, kept_workers: KeptWorkers) -> Path:
    """Structures for the sweeps of all tests."""
    location = tmp_path_factory.mktemp("others") / "data"
    make_store(location, structures=200, pool=kept_workers)
    return location


@pytest.fixture
def folder(tmp_path: Path, data: Path) -> Path:
    """A folder with an installed package of networks."""
    (tmp_path / "others.py").write_text(MODULE)
    metadata = tmp_path / "others-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 0.1\n")
    entries = [f"{name} = others:{name.upper()}" for name in NAMES]
    (tmp_path / "data").symlink_to(data)
    (metadata / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *entries]) + "\n")
    return tmp_path


def called(folder: Path, command: str, network: str, **changes: object) -> "subprocess.CompletedProcess[str]":
    content = {
        "name": "others",
        "storage": "sweep",
        "data": {"store": "data", "make": {"structures": 200}, "validation_structures": 20},
        "families": {network: {"architecture": network, "sizes": {"width": [4, 8]}}},
        "grid": {"structures": [40, 80]},
        "learning_rate": {"rates": {network: 0.02}, "transfer": "per_size"},
        "tracking": {"enabled": False},
        **changes,
    }
    (folder / "others.yaml").write_text(yaml.safe_dump(content))
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return run([RAYSWEEP, command, "others.yaml"], folder=folder, environment={**os.environ, "PYTHONPATH": path})


@pytest.mark.parametrize(
    ("command", "network", "operation"),
    [
        ("run", "custom", "rs_tests.shift"),
        ("plan", "spectral", "aten.linalg_matrix_exp"),
        ("plan", "outside", "outside of torch"),
    ],
)
def test_an_operation_without_a_formula_is_refused_before_any_training(
    folder: Path, command: str, network: str, operation: str
) -> None:
    done = called(folder, command, network)
    assert done.returncode == 1
    assert f"architecture {network!r}" in done.stderr
    assert operation in done.stderr
    assert "register_flop_formula" in done.stderr
    assert "declare_flops" in done.stderr
    assert "Traceback" not in done.stderr
    assert TrialStore(str(folder / "sweep")).ids() == []


@pytest.mark.slow
def test_operations_with_a_formula_train_to_the_end(folder: Path) -> None:
    done = called(folder, "run", "formula")
    assert done.returncode == 0, done.stderr
    store = TrialStore(str(folder / "sweep"))
    assert [store.state(trial_id) for trial_id in store.ids()] == [TrialState.DONE] * 2
    assert all(flops > 0 for flops in store.table()["flops"].to_pylist())


@pytest.mark.parametrize("command", ["plan", "run"])
def test_mup_that_would_do_nothing_is_refused_before_any_training(folder: Path, command: str) -> None:
    done = called(
        folder,
        command,
        "flat",
        learning_rate={"low": 1e-3, "high": 1e-1, "trials": 3, "structures": 40, "transfer": "mup"},
    )
    assert done.returncode == 1
    assert "others.yaml" in done.stderr
    assert "architecture 'flat'" in done.stderr
    assert "rate_multipliers" in done.stderr
    assert "Traceback" not in done.stderr
    assert TrialStore(str(folder / "sweep")).ids() == []


def test_a_network_that_declares_how_its_rates_fall_is_planned(folder: Path) -> None:
    planned = called(folder, "plan", "flatdeclared", learning_rate={"rates": {"flatdeclared": 0.02}})
    assert planned.returncode == 0, planned.stderr
