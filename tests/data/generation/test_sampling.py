"""The kinds of structures are what they say, on molecules for which it can be told."""

import numpy as np
import numpy.typing as npt
import pytest

from raysweep.data.generation.molecules.conformers import Conformers, conformers
from raysweep.data.generation.molecules.deform import STRETCHES, scan, stretch
from raysweep.data.generation.molecules.motion import dynamics, langevin
from raysweep.data.generation.molecules.pairs import CLOSENESS, pair, transfer
from raysweep.data.generation.molecules.sampling import sample
from raysweep.data.generation.presets import PRESETS, Displacing
from raysweep.data.physics import BOLTZMANN, ELEMENTARY_CHARGE, RADII

STIFF = Displacing(wavenumber=1e9, structures_per_molecule=12)
"""Without thermal motion."""


def molecule(smiles: str) -> Conformers:
    found = conformers(smiles, 2, 5, any_field=True)
    assert not isinstance(found, str)
    return found


def distances(positions: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return np.linalg.norm(positions[..., :, None, :].astype(float) - positions[..., None, :, :], axis=-1)


def bond_lengths(of: Conformers, positions: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    first, second = ([getattr(bond, end) for bond in of.bonds] for end in ("first", "second"))
    return np.linalg.norm(positions[..., first, :].astype(float) - positions[..., second, :], axis=-1)


def test_dynamics_keep_the_temperature_and_the_place_of_oscillators() -> None:
    """Of 3 * 400 oscillators of 1 eV/Å² each: <x²> = k T / stiffness whatever the mass (error 2 %, step included)."""
    masses = np.tile([1.008, 15.999], 200)
    frames = langevin(
        lambda x: 1.0 * x, np.zeros((400, 3)), masses, 500.0, 20, np.random.default_rng(0), before=2000, between=200
    )
    expected = BOLTZMANN / ELEMENTARY_CHARGE * 500.0
    assert frames.shape == (20, 400, 3)
    assert np.mean(frames[:, ::2] ** 2) == pytest.approx(expected, rel=0.05)
    assert np.mean(frames[:, 1::2] ** 2) == pytest.approx(expected, rel=0.05)


def test_dynamics_break_no_bond_and_move_atoms_together() -> None:
    ethanol = molecule("CCO")
    numbers, frames = dynamics(ethanol, 20, STIFF, np.random.default_rng(1))
    assert numbers.tolist() == ethanol.numbers.tolist()
    lengths, rest = bond_lengths(ethanol, frames), bond_lengths(ethanol, ethanol.positions[0])
    assert frames.shape == (20, 9, 3)
    assert np.abs(lengths / rest - 1).max() < 0.35
    assert 0.01 < (lengths / rest - 1).std() < 0.1


def test_a_scan_turns_one_bond_in_even_steps_and_changes_no_length() -> None:
    peroxide = molecule("OO")
    numbers, positions = scan(peroxide, 12, STIFF, np.random.default_rng(2)) or pytest.fail("no bond that turns")
    np.testing.assert_allclose(bond_lengths(peroxide, positions).std(axis=0), 0, atol=1e-5)
    assert numbers.tolist() == [8, 8, 1, 1]
    axis = positions[:, 1] - positions[:, 0]
    first, second = (
        v - axis * ((v * axis).sum(1) / (axis**2).sum(1))[:, None]
        for v in (positions[:, 2] - positions[:, 0], positions[:, 3] - positions[:, 1])
    )
    sine = (np.cross(first, second) * axis).sum(1) / np.linalg.norm(axis, axis=1)
    angles = np.sort(np.arctan2(sine, (first * second).sum(1)) % (2 * np.pi))
    np.testing.assert_allclose(np.diff(angles), 2 * np.pi / 12, atol=1e-4)


def test_what_has_no_bond_that_turns_or_no_proton_to_give_has_thermal_structures_instead() -> None:
    assert scan(molecule("C1CO1"), 3, STIFF, np.random.default_rng(0)) is None
    assert transfer(molecule("CF"), 3, STIFF, np.random.default_rng(0)) is None
    ensembles = sample({"torsion": 0.5, "transfer": 0.5}, molecule("C1CO1"), STIFF, np.random.default_rng(0))
    assert sum(len(positions) for _, positions in ensembles) == 12
    assert all(len(numbers) == 7 for numbers, _ in ensembles)


def test_a_stretch_changes_one_bond_by_a_factor_within_the_range() -> None:
    ethanol = molecule("CCO")
    _, positions = stretch(ethanol, 60, STIFF, np.random.default_rng(3)) or pytest.fail("no bond")
    ratios = bond_lengths(ethanol, positions)[:, None] / bond_lengths(ethanol, ethanol.positions)[None]
    changed = (np.abs(ratios - 1) > 1e-4).sum(axis=2).min(axis=1)
    assert set(changed.tolist()) == {1}
    extreme = ratios.max(), ratios.min()
    assert STRETCHES[0] <= extreme[1] < 0.85
    assert 1.6 < extreme[0] <= STRETCHES[1]


def test_pairs_touch_as_near_as_they_are_asked_to_and_stay_rigid_and_neutral() -> None:
    acid = molecule("CC(=O)[O-]")
    numbers, positions = pair(acid, 40, STIFF, np.random.default_rng(4))
    n = len(acid.numbers)
    assert numbers[:n].tolist() == acid.numbers.tolist()
    assert (numbers[n:].sum(dtype=int)) % 2 == 0  # the partner is neutral, a closed shell
    inside = distances(positions[:, :n])[:, None] - distances(acid.positions)[None]
    assert np.abs(inside).max(axis=(2, 3)).min(axis=1).max() < 1e-4
    radii = np.array([RADII[int(z)] for z in numbers])
    ratio = (distances(positions)[:, :n, n:] / (radii[:n, None] + radii[n:])).min(axis=(1, 2))
    assert CLOSENESS[0] - 1e-4 <= ratio.min()
    assert ratio.max() <= CLOSENESS[1] + 1e-4
    assert ratio.std() > 0.1


def test_a_transferred_proton_lies_on_the_line_between_its_two_atoms() -> None:
    water = molecule("CO")
    numbers, positions = transfer(water, 30, STIFF, np.random.default_rng(6)) or pytest.fail("no proton")
    n, oxygen = len(water.numbers), int(np.flatnonzero(water.numbers == 8)[0])
    proton = next(b.second if b.first == oxygen else b.first for b in water.bonds
                  if oxygen in (b.first, b.second) and 1 in water.numbers[[b.first, b.second]])  # fmt: skip
    far = distances(positions)
    acceptors = n + np.flatnonzero(np.isin(numbers[n:], (7, 8)))
    bent = far[:, oxygen, proton][:, None] + far[:, proton][:, acceptors] - far[:, oxygen][:, acceptors]
    assert np.abs(bent).min(axis=1).max() < 1e-4
    along = far[:, oxygen, proton]
    assert along.min() > 0.9
    assert along.max() > 1.4
    assert far[:, proton, n:].min() > 0.9


def test_shares_are_drawn_per_molecule_and_sum_up() -> None:
    preset = PRESETS["reactive"]
    counts = [sum(len(p) for _, p in sample(preset.kinds, molecule("NCCO"), STIFF, np.random.default_rng(i)))
              for i in range(5)]  # fmt: skip
    assert counts == [12] * 5
    for known in PRESETS.values():
        assert sum(known.kinds.values()) == pytest.approx(1)
        assert sum(known.growing.heavy_weights) == pytest.approx(1)
        assert sum(known.growing.element_weights) == pytest.approx(1)
