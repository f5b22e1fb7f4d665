"""Model files of every version are read, with the energies that they had."""

import json
from pathlib import Path

import pytest
from ase.build import molecule

from raysweep.trained.model import load
from raysweep.trained.model_file import VERSION

FILES = Path(__file__).with_name("files")
ENERGIES = json.loads((FILES / "energies.json").read_text())


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_file_of_each_version_gives_its_energies(version):
    model = load(FILES / f"v{version}.rsm")
    atoms = molecule("CH3CH2OH")
    atoms.calc = model.calculator()
    assert atoms.get_potential_energy() == pytest.approx(ENERGIES[f"v{version}"], abs=1e-5)
    assert model.record.origin.trial_id
