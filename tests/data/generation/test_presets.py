"""Stores of the presets: what they hold, checked with tblite and RDKit by themselves."""

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from raysweep.core.errors import DataError
from raysweep.data.generation.labels import label
from raysweep.data.generation.presets import PRESETS, Displacing
from raysweep.data.generation.xtb import make_store
from raysweep.data.physics import BOHR_ANGSTROM, HARTREE_EV
from raysweep.data.store.store import Store, open_store
from tests.kept_workers import KeptWorkers


@pytest.fixture(scope="module")
def diverse(tmp_path_factory: pytest.TempPathFactory, kept_workers: KeptWorkers) -> Store:
    location = tmp_path_factory.mktemp("diverse") / "store"
    few = Displacing(structures_per_molecule=4, conformers_per_molecule=1)
    return make_store(location, structures=200, preset="diverse", seed=1, pool=kept_workers, displacing=few)


def test_charge_and_spin_are_columns_that_hold_for_the_electrons(diverse: Store) -> None:
    assert diverse.manifest.recipe["preset"] == "diverse"
    found = diverse.read(np.arange(200))
    assert found.charge is not None
    assert found.spin is not None
    assert set(found.charge.tolist()) == {-1, 0, 1}
    assert set(found.spin.tolist()) == {1}
    electrons = np.add.reduceat(found.numbers.astype(int), found.offsets[:-1]) - found.charge
    assert not np.any(electrons % 2)
    sides = [
        set(found.group[: diverse.manifest.train_structures]),
        set(found.group[diverse.manifest.train_structures :]),
    ]
    assert not sides[0] & sides[1]
    for group in sides[0] | sides[1]:
        assert Chem.GetFormalCharge(Chem.MolFromSmiles(group)) == 0


def test_ions_in_a_store_have_their_labels_by_tblite_and_their_charge(diverse: Store) -> None:
    from tblite.interface import Calculator

    found = diverse.read(np.arange(200))
    assert found.charge is not None
    for i in [int(np.flatnonzero(found.charge == q)[0]) for q in (-1, 0, 1)]:
        atoms, charge = slice(found.offsets[i], found.offsets[i + 1]), int(found.charge[i])
        numbers, positions = found.numbers[atoms], found.positions[atoms]
        calculator = Calculator(
            "GFN2-xTB", numbers.astype(int), positions.astype(float) / BOHR_ANGSTROM, charge=charge, uhf=0
        )
        calculator.set("verbosity", 0)
        result = calculator.singlepoint()
        assert result["energy"] * HARTREE_EV == pytest.approx(found.energy[i], abs=1e-9)
        assert result["charges"].sum() == pytest.approx(charge, abs=1e-6)
        step, largest = 2.0**-9, int(np.abs(found.forces[atoms]).argmax())
        moves = np.zeros((2, *positions.shape), dtype=np.float32)
        moves[0].reshape(-1)[largest], moves[1].reshape(-1)[largest] = step, -step
        exact = np.round(positions * 2**16) / 2**16
        ahead, behind = label(numbers, (exact + moves).astype(np.float32), charge)[0]
        assert found.forces[atoms].reshape(-1)[largest] == pytest.approx(-(ahead - behind) / (2 * step), abs=5e-3)


def test_reference_energies_are_those_of_atoms_less_their_share_of_the_bonds(diverse: Store) -> None:
    """GFN2-xTB's free atoms lie above what the fit gives, by a share of the bonds (charge is in no reference)."""
    from tblite.interface import Calculator

    unpaired = {1: 1, 5: 1, 6: 2, 7: 3, 8: 2, 9: 1, 14: 2, 15: 3, 16: 2, 17: 1, 35: 1}
    assert set(diverse.manifest.elements) <= set(unpaired)
    assert len(diverse.manifest.elements) >= 9
    for z, energy in diverse.manifest.reference_energies.items():
        calculator = Calculator("GFN2-xTB", np.array([z]), np.zeros((1, 3)), uhf=unpaired[z])
        calculator.set("verbosity", 0)
        atom = float(calculator.singlepoint()["energy"]) * HARTREE_EV
        assert -12 < energy - atom < 3, (z, energy, atom)


def test_presets_do_not_depend_on_the_number_of_workers(diverse: Store, tmp_path: Path) -> None:
    few = Displacing(structures_per_molecule=4, conformers_per_molecule=1)
    alone = make_store(tmp_path / "s", structures=200, preset="diverse", seed=1, workers=1, displacing=few)
    assert alone.manifest.fingerprint == diverse.manifest.fingerprint
    assert open_store(tmp_path / "s").read([0]).charge is not None


@pytest.mark.parametrize("name", ["organics", "reactive"])
def test_other_presets_make_stores_of_their_elements(name: str, tmp_path: Path, kept_workers: KeptWorkers) -> None:
    few = Displacing(structures_per_molecule=5, conformers_per_molecule=1, force_limit=50.0)
    store = make_store(tmp_path / "s", structures=40, preset=name, pool=kept_workers, displacing=few)
    assert set(store.manifest.elements) <= {1, *PRESETS[name].growing.elements}
    assert 0.5 < store.manifest.rms_force < 4


@pytest.mark.slow
def test_large_molecules_are_large(tmp_path: Path) -> None:
    found = make_store(tmp_path / "s", structures=12, preset="large-organics", workers=2)
    structures = found.read(np.arange(12))
    heavy = np.add.reduceat(structures.numbers > 1, structures.offsets[:-1])
    assert heavy.min() >= 15
    assert heavy.max() <= 30


def test_a_store_of_another_preset_is_refused(diverse: Store) -> None:
    with pytest.raises(DataError, match=r"another recipe made it \(.*preset is 'diverse', asked for None"):
        make_store(diverse.location, structures=200, seed=1)
