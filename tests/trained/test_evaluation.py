"""`evaluate`: errors on files equal those of the point where the structures are its own, and sum up over parts."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from typer.testing import CliRunner

from raysweep.cli.app import app
from raysweep.core.errors import ModelError
from raysweep.trained.evaluation import evaluate_files


@pytest.fixture(scope="module")
def validation(store, tmp_path_factory):
    """The validation structures of `trained`'s trajectories as extxyz, of two sources."""
    structures = store.read(store.validation(8))
    path = tmp_path_factory.mktemp("evaluation") / "validation.extxyz"
    for i in range(8):
        own = slice(structures.offsets[i], structures.offsets[i + 1])
        atoms = Atoms(numbers=structures.numbers[own], positions=structures.positions[own])
        atoms.info["data_id"] = "even" if i % 2 == 0 else "odd"
        atoms.calc = SinglePointCalculator(
            atoms, energy=float(structures.energy[i]), forces=structures.forces[own].astype(float)
        )
        write(path, atoms, append=True)
    return path


def test_the_errors_on_the_points_own_structures_are_the_points(conservative, validation):
    found = evaluate_files(conservative[1], [validation])
    point = conservative[1].record.origin.point
    assert found.overall.energy.mae == pytest.approx(1000 * point["energy_mae"], rel=1e-5)
    lengths = np.linalg.norm(found.predicted_forces - found.forces, axis=1)
    assert lengths.mean() == pytest.approx(point["force_l2"], rel=1e-5)
    assert found.overall.energy.rmse >= found.overall.energy.mae


def test_parts_add_up_to_the_whole(conservative, validation):
    found = evaluate_files(conservative[1], [validation])
    assert set(found.by_source) == {"even", "odd"}
    for parts in (found.by_source, found.by_element):
        forces = [part.forces for part in parts.values()]
        total = sum(one.count for one in forces)
        assert total == found.overall.forces.count == found.forces.size
        assert sum(one.count * one.mae for one in forces) / total == pytest.approx(found.overall.forces.mae)
    assert sum(part.energy.count for part in found.by_source.values()) == 8


def test_unknown_elements_are_refused_or_counted(conservative, validation, tmp_path):
    path = tmp_path / "gold.extxyz"
    gold = Atoms("AuH", positions=[[0, 0, 0], [1.5, 0, 0]])
    gold.calc = SinglePointCalculator(gold, energy=-1.0, forces=np.zeros((2, 3)))
    write(path, gold)
    with pytest.raises(ModelError, match="not Au"):
        evaluate_files(conservative[1], [path])
    found = evaluate_files(conservative[1], [validation, path], skip_bad=True)
    assert found.rejected == {"element that the model does not know": 1}
    assert found.overall.energy.count == 8
    with pytest.raises(ModelError, match=r"no structures to evaluate on \(left out: 1: element that"):
        evaluate_files(conservative[1], [path], skip_bad=True)


def test_the_command_prints_json_and_draws(conservative, validation, tmp_path):
    given = ["evaluate", str(conservative[0]), str(validation), "--out", str(tmp_path / "figures")]
    done = CliRunner().invoke(app, [*given, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    whole = evaluate_files(conservative[1], [validation])
    assert found["overall"]["forces"]["mae"] == whole.overall.forces.mae
    assert found["units"] == {"energy": "meV/atom", "forces": "meV/Å"}
    for name in ("parity.png", "errors_by_size.png"):
        assert (tmp_path / "figures" / name).read_bytes().startswith(b"\x89PNG")
    table = CliRunner().invoke(app, given).stdout
    assert "even" in table
    assert "RMSE" in table
