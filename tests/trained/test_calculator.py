"""The ASE calculator: forces and stress are derivatives of its energy, and it refuses what the model cannot see."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS

from raysweep.core.errors import ModelError
from raysweep.trained.neighbours import SkinList
from raysweep.trained.sweeps import export_model


@pytest.fixture(scope="module")
def model(conservative):
    return conservative[1]


def crystal(seed: int = 0) -> Atoms:
    """Atoms in a small skewed cell, with several images of each pair within the cutoff."""
    rng = np.random.default_rng(seed)
    atoms = Atoms("C2H2ON", cell=[[4.2, 0.3, 0.0], [0.5, 4.0, 0.2], [0.1, -0.4, 4.4]], pbc=True)
    grid = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0.5]])
    atoms.set_scaled_positions(grid + rng.normal(scale=0.03, size=(6, 3)))
    return atoms


@pytest.mark.parametrize("atoms", [molecule("CH3CH2OH"), crystal()], ids=["molecule", "crystal"])
def test_forces_are_minus_the_finite_differences_of_the_energy(model, atoms):
    atoms.calc = model.calculator()
    assert atoms.get_forces() == pytest.approx(calculate_numerical_forces(atoms, eps=1e-4), abs=1e-6)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


def test_stress_is_the_finite_difference_of_the_energy_with_respect_to_strain(model):
    atoms = crystal()
    atoms.calc = model.calculator()
    found, expected = atoms.get_stress(), calculate_numerical_stress(atoms, eps=1e-5)
    assert found == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())
    assert np.abs(expected).max() > 1e-3


def test_energies_do_not_depend_on_where_a_crystal_is_or_how_it_is_repeated(model):
    atoms = crystal()
    atoms.calc = model.calculator()
    energy = atoms.get_potential_energy()
    moved = atoms.copy()
    moved.positions += [1e4, -3e4, 2e4]
    moved.calc = model.calculator()
    assert moved.get_potential_energy() == pytest.approx(energy, abs=1e-6)
    twice = atoms.repeat((2, 1, 1))
    twice.calc = model.calculator()
    assert twice.get_potential_energy() == pytest.approx(2 * energy, abs=1e-8)


def test_a_list_with_a_skin_has_the_pairs_of_a_new_one_and_is_searched_less_often(model):
    atoms, rng = crystal(), np.random.default_rng(1)
    kept = SkinList(5.0, 0.6)
    for _ in range(40):
        atoms.positions += rng.normal(scale=0.03, size=(6, 3))
        given = (atoms.positions, atoms.cell.array, atoms.pbc)
        found, fresh = kept.edges(*given), SkinList(5.0, 0.01).edges(*given)
        assert pairs(found) == pairs(fresh)
    assert 1 < kept.searches < 20
    atoms.set_cell(atoms.cell * 1.01, scale_atoms=True)
    before = kept.searches
    kept.edges(atoms.positions, atoms.cell.array, atoms.pbc)
    assert kept.searches == before + 1


def pairs(edges):
    return sorted(zip(edges.senders, edges.receivers, *np.round(edges.shifts, 6).T, strict=True))


def test_relaxation_nve_and_nvt_run(model):
    atoms = molecule("CH3OH")
    atoms.calc = model.calculator()
    start = atoms.get_potential_energy()
    BFGS(atoms, logfile=None).run(fmax=0.05, steps=20)
    assert atoms.get_potential_energy() < start
    speeds = np.sqrt(units.kB * 100 / atoms.get_masses())[:, None]
    atoms.set_velocities(np.random.default_rng(0).normal(size=(6, 3)) * speeds)
    total = atoms.get_total_energy()
    VelocityVerlet(atoms, timestep=0.25 * units.fs).run(50)
    assert atoms.get_total_energy() == pytest.approx(total, abs=1e-3 * len(atoms))
    bath = {"temperature_K": 100, "friction": 0.01 / units.fs, "fixcm": False, "rng": np.random.default_rng(0)}
    Langevin(atoms, timestep=0.25 * units.fs, **bath).run(5)
    assert atoms.calc.neighbours.searches < 20


def test_unknown_elements_charges_and_broken_positions_are_refused_each_time(model):
    gold = Atoms("AuH", positions=[[0, 0, 0], [1.5, 0, 0]], calculator=model.calculator())
    for _ in range(2):
        with pytest.raises(ModelError, match=r"knows H, C, N, O.* and not Au"):
            gold.get_potential_energy()
    ion = molecule("H2O")
    ion.info["charge"] = 1
    ion.calc = model.calculator()
    with pytest.raises(ModelError, match=r"atoms.info\['charge'\] is 1.*ignore_charge_and_spin"):
        ion.get_potential_energy()
    ion.info.update(charge=0, spin=1)
    energy = ion.get_potential_energy()
    ion.info.update(charge=-1, spin=2)
    ion.calc = model.calculator(ignore_charge_and_spin=True)
    assert ion.get_potential_energy() == energy
    ion.positions[0, 0] = np.nan
    with pytest.raises(ModelError, match="not all finite"):
        ion.get_forces()


def test_stress_needs_a_cell_and_conservative_forces(model, trained, store, sweep, tmp_path):
    free = molecule("H2O")
    free.calc = model.calculator()
    with pytest.raises(PropertyNotImplementedError, match="periodic along all three"):
        free.get_stress()
    spec, _ = trained(forces="direct", seed=31)
    direct = export_model(str(sweep), spec.trial_id, tmp_path / "m.rsm", data=str(store.location))
    with pytest.warns(UserWarning, match="direct, not the gradient"):
        calculator = direct.calculator()
    atoms = crystal()
    atoms.calc = calculator
    assert np.isfinite(atoms.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


@pytest.mark.parametrize("skin", [0.0, -1.0, float("nan"), float("inf")])
def test_a_skin_is_a_length(skin, model):
    with pytest.raises(ModelError, match="skin"):
        model.calculator(skin=skin)


def test_single_and_no_atoms(model):
    atom = Atoms("O", calculator=model.calculator())
    assert np.isfinite(atom.get_potential_energy())
    assert atom.get_forces() == pytest.approx(np.zeros((1, 3)))
