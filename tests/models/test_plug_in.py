"""Architectures of other packages: the one that docs/models.md shows, and what can be wrong with one."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from raysweep.core.errors import SpaceError
from raysweep.models import registry

ROOT = Path(__file__).parents[2]

USE = """
import json, torch
from raysweep.data.graphs.batches import Batch
from raysweep.models.base import DatasetInfo
from raysweep.models.registry import check_size, create, names

pairs = torch.tensor([(i, j) for i in range(4) for j in range(4) if i != j])
batch = Batch(
    numbers=torch.tensor([6, 1, 1, 8]), positions=torch.randn(4, 3), structure=torch.zeros(4, dtype=torch.int64),
    n_atoms=torch.tensor([4.0]), receivers=pairs[:, 0], senders=pairs[:, 1], shifts=None,
    energy=torch.zeros(1), forces=torch.zeros(4, 3),
)
found = {"names": names(), "sharpness": check_size("pairnet", {"width": 8}).sharpness}
for forces in ("direct", "conservative"):
    model = create("pairnet", {"width": 8}, forces, DatasetInfo(elements=(1, 6, 8), scale=1.0), seed=0).eval()
    prediction = model(batch)
    found[forces] = [list(prediction.energy.shape), *prediction.forces.tolist()]
print(json.dumps(found))
"""


def install(folder, module, source, entry_points):
    """Lay out a package as pip does: a module and a folder with its metadata."""
    (folder / f"{module}.py").write_text(source)
    metadata = folder / f"{module}-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0.1\n")
    lines = [f"{name} = {target}" for name, target in entry_points.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{registry.GROUP}]", *lines]) + "\n")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package for this process, and forgets it afterwards."""

    def forget():
        registry._plug_ins.cache_clear()
        registry.architecture.cache_clear()

    def add(module, source, entry_points):
        install(tmp_path, module, source, entry_points)
        monkeypatch.syspath_prepend(tmp_path)
        forget()

    yield add
    monkeypatch.undo()
    forget()


def test_the_documented_package_works_by_name(tmp_path):
    found = re.findall(r"```(python|toml)\n(.*?)```", (ROOT / "docs/models.md").read_text(), re.DOTALL)
    blocks = dict(reversed(found))  # the first of each kind is the package; others show single lines
    project = tomllib.loads(blocks["toml"])["project"]
    install(tmp_path, project["name"], blocks["python"], project["entry-points"][registry.GROUP])
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE], env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "pairnet" in found["names"]
    assert found["sharpness"] == 1.0
    for forces in ("direct", "conservative"):
        energy_shape, *rows = found[forces]
        assert energy_shape == [1]
        assert [len(row) for row in rows] == [3, 3, 3, 3]
        assert max(abs(value) for row in rows for value in row) > 1e-4


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_module\n", "cannot be loaded.*no_such_module"),
        ("OTHER = 1\n", "cannot be loaded.*ARCHITECTURE"),
        ("ARCHITECTURE = 'a word'\n", "is a str, not a raysweep.models.base.Architecture"),
    ],
)
def test_a_broken_entry_point_is_named_with_its_reason(installed, source, words):
    module = f"broken_{abs(hash(source))}"
    installed(module, source, {"broken": f"{module}:ARCHITECTURE"})
    assert "broken" in registry.names()
    with pytest.raises(SpaceError, match=f"'broken'.*{module}.*{words}"):
        registry.check_size("broken", {"width": 8})


def test_a_name_that_raysweep_has_is_refused(installed):
    installed("taken", "ARCHITECTURE = None\n", {"egnn": "taken:ARCHITECTURE"})
    with pytest.raises(SpaceError, match=r"two architectures are named 'egnn'.*taken:ARCHITECTURE.*raysweep itself"):
        registry.names()


def test_a_name_that_two_packages_have_is_refused(installed):
    for module in ("first_package", "second_package"):
        installed(module, "ARCHITECTURE = None\n", {"ournet": f"{module}:ARCHITECTURE"})
    with pytest.raises(SpaceError, match=r"'ournet'.*_package:ARCHITECTURE.*_package:ARCHITECTURE"):
        registry.names()
