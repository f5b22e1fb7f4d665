from dataclasses import replace

import numpy as np
import pytest

from raysweep.data.generation.labels import Grown, Labelled, label, label_molecule
from raysweep.data.generation.molecules.motion import displace
from raysweep.data.generation.presets import SMALL_ORGANICS, Displacing
from raysweep.data.physics import ATOMIC_MASS, BOHR_ANGSTROM, BOLTZMANN, HARTREE_EV, MASSES, RADII
from raysweep.data.reasons import FORCE_ABOVE_LIMIT, NO_PARAMETERS, NOT_EMBEDDED
from raysweep.data.store.store import Store

WATER = np.array([8, 1, 1], dtype=np.uint8)
WATER_POSITIONS = np.array([[[0.0, 0.0, 0.1173], [0.0, 0.7572, -0.4692], [0.0, -0.7572, -0.4692]]], dtype=np.float32)


def test_forces_are_minus_the_gradient_of_the_energy(real_store: Store) -> None:
    """Central differences of the stored structure's energy, all components of three structures."""
    structures = real_store.read(real_store.subset(3))
    step = 2.0**-9  # Å; with float32 positions below 16 Å this step and its sums are exact
    for i in range(3):
        atoms = slice(structures.offsets[i], structures.offsets[i + 1])
        numbers, positions = structures.numbers[atoms], np.round(structures.positions[atoms] * 2**16) / 2**16
        count = positions.size
        moves = np.zeros((2 * count, count), dtype=np.float32)
        moves[np.arange(count), np.arange(count)] = step
        moves[count + np.arange(count), np.arange(count)] = -step
        energies, _ = label(numbers, (positions + moves.reshape(-1, *positions.shape)).astype(np.float32))
        slopes = (energies[:count] - energies[count:]) / (2 * step)
        _, forces = label(numbers, positions[None].astype(np.float32))
        assert np.abs(forces).max() > 0.5
        # the remainder of second order is third derivative * step**2 / 6, about 1000 eV/Å**3 * 4e-6 / 6
        np.testing.assert_allclose(forces.reshape(-1), -slopes, atol=2e-3)


def test_a_stored_structure_carries_the_label_of_exactly_its_positions(real_store: Store) -> None:
    structures = real_store.read(real_store.validation(4))
    for i in range(4):
        atoms = slice(structures.offsets[i], structures.offsets[i + 1])
        energy, forces = label(structures.numbers[atoms], structures.positions[atoms][None])
        assert energy[0] == structures.energy[i]
        assert forces[0].tobytes() == structures.forces[atoms].tobytes()


def test_the_energy_of_water_is_that_of_the_method() -> None:
    """The xtb program gives -5.0705 hartree at GFN2-xTB's own minimum; 1 millihartree is left for the geometry."""
    energy, forces = label(WATER, WATER_POSITIONS)
    assert energy[0] == pytest.approx(-5.0705 * HARTREE_EV, abs=0.001 * HARTREE_EV)
    assert np.abs(forces.sum(axis=1)).max() < 1e-4


def test_units_agree_with_ase() -> None:
    """ASE has CODATA 2014."""
    from ase import units

    assert pytest.approx(units.Hartree, rel=1e-7) == HARTREE_EV
    assert pytest.approx(units.Bohr, rel=1e-7) == BOHR_ANGSTROM
    assert pytest.approx(units.kB, rel=1e-5) == BOLTZMANN / 1.602176634e-19
    assert pytest.approx(units._amu, rel=1e-6) == ATOMIC_MASS


def test_labels_do_not_depend_on_their_order() -> None:
    positions = WATER_POSITIONS + np.random.default_rng(0).normal(size=(6, 3, 3)).astype(np.float32) * 0.05
    energy, forces = label(WATER, positions)
    backwards, forces_backwards = label(WATER, positions[::-1])
    assert energy.tolist() == backwards[::-1].tolist()
    assert forces.tobytes() == forces_backwards[::-1].tobytes()
    assert len(set(energy.tolist())) == 6


def test_a_failed_label_is_nan_and_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real failure: after one iteration no SCF has converged."""
    from tblite import interface

    class Impatient(interface.Calculator):
        calls = 0

        def singlepoint(self, *arguments: object, **named: object) -> object:
            type(self).calls += 1
            self.set("max-iter", 1 if type(self).calls == 2 else 250)
            return super().singlepoint(*arguments, **named)

    positions = WATER_POSITIONS + np.random.default_rng(0).normal(size=(3, 3, 3)).astype(np.float32) * 0.05
    expected, _ = label(WATER, positions)
    monkeypatch.setattr(interface, "Calculator", Impatient)
    energy, forces = label(WATER, positions)
    assert Impatient.calls == 3
    assert np.isnan(energy[1])
    assert np.isnan(forces[1]).all()
    assert energy[[0, 2]].tolist() == expected[[0, 2]].tolist()


def test_displacements_follow_equipartition() -> None:
    """Standard deviation sqrt(k T / m) / w of each coordinate, from 2 * 3 * 20,000 draws (error 0.4 %)."""
    numbers = np.tile(np.array([1, 6], dtype=np.uint8), 20_000)
    moved = displace(numbers, np.zeros((40_000, 3)), 550.0, 2000.0, np.random.default_rng(0))
    assert moved.dtype == np.float32
    assert moved[numbers == 1].std() == pytest.approx(0.05654, rel=0.01)
    assert moved[numbers == 6].std() == pytest.approx(0.01638, rel=0.01)
    hotter = displace(numbers, np.zeros((40_000, 3)), 2200.0, 2000.0, np.random.default_rng(0))
    np.testing.assert_allclose(hotter, 2 * moved, rtol=1e-5)


def labelled(smiles: str, seed: int, k: int, left_out: dict[str, int] | None = None, **displacing: float) -> Labelled:
    preset = replace(SMALL_ORGANICS, displacing=replace(Displacing(), **displacing))
    return label_molecule(Grown(candidate=k, smiles=smiles, group=smiles, left_out=left_out or {}), seed, preset)


def test_a_molecule_is_a_function_of_seed_and_number() -> None:
    first, again = (labelled("CCO", 3, 11, structures_per_molecule=3) for _ in range(2))
    other = labelled("CCO", 3, 12, structures_per_molecule=3)
    assert first.structures.energy.tolist() == again.structures.energy.tolist()
    assert not set(first.structures.energy) & set(other.structures.energy)
    assert len(first.structures) == 3
    assert first.structures.positions.shape == first.structures.forces.shape == (3 * 9, 3)
    assert first.structures.charge is first.structures.spin is None


def test_what_is_left_out_is_counted() -> None:
    none = labelled("CCO", 0, 0, {"carried": 2}, structures_per_molecule=4, force_limit=1e-3)
    assert none.molecules[0].rejected == {FORCE_ABOVE_LIMIT: 4, "carried": 2}
    assert none.molecules[0].kept == len(none.structures) == 0
    assert labelled("C1#CC1", 0, 0).molecules[0].rejected == {NOT_EMBEDDED: 1}
    assert labelled("CB", 0, 0).molecules[0].rejected == {NO_PARAMETERS: 1}


def test_masses_and_radii_are_those_of_other_tables() -> None:
    """ASE has IUPAC's weights of 2016, RDKit its own; both have Bondi's radii for most elements."""
    from ase.data import atomic_masses
    from rdkit import Chem

    assert set(MASSES) == set(RADII)
    for z, mass in MASSES.items():
        assert atomic_masses[z] == pytest.approx(mass, rel=1e-4)
        assert Chem.GetPeriodicTable().GetRvdw(z) == pytest.approx(RADII[z], abs=0.15)


@pytest.mark.parametrize(("charge", "removed", "added"), [(1, (), ((8, 1),)), (-1, (2,), ())])
def test_ions_have_their_charge_and_the_slope_of_their_energy(
    charge: int, removed: tuple[int, ...], added: tuple[tuple[int, int], ...]
) -> None:
    """Hydronium and hydroxide: partial charges from tblite itself, forces from differences of energies."""
    from tblite.interface import Calculator

    numbers = np.delete(WATER, list(removed))
    positions = np.delete(WATER_POSITIONS, list(removed), axis=1)
    if added:
        numbers = np.append(numbers, np.uint8(1))
        positions = np.concatenate([positions, np.array([[[0.9, 0.0, 0.45]]], dtype=np.float32)], axis=1)
    energy, forces = label(numbers, positions, charge)
    calculator = Calculator("GFN2-xTB", numbers.astype(int), positions[0] / BOHR_ANGSTROM, charge=charge)
    calculator.set("verbosity", 0)
    found = calculator.singlepoint()
    assert found["charges"].sum() == pytest.approx(charge, abs=1e-6)
    assert energy[0] == pytest.approx(found["energy"] * HARTREE_EV, abs=1e-4)  # float32 and float64 positions
    step = 2.0**-9
    moves = np.eye(positions.size, dtype=np.float32).reshape(-1, *positions.shape[1:]) * step
    slopes = (label(numbers, positions + moves, charge)[0] - label(numbers, positions - moves, charge)[0]) / (2 * step)
    np.testing.assert_allclose(forces.reshape(-1), -slopes, atol=3e-3)


def test_an_open_shell_is_refused() -> None:
    with pytest.raises(AssertionError, match="open shell"):
        label(WATER, WATER_POSITIONS, 1)
