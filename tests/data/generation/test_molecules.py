import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from raysweep.data.generation.labels import grow_range
from raysweep.data.generation.molecules.conformers import conformers
from raysweep.data.generation.molecules.growth import VALENCE, grow
from raysweep.data.generation.presets import PRESETS, SMALL_ORGANICS, Preset


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_molecules_are_small_organic_and_sound(seed: int) -> None:
    grown = grow(np.random.default_rng(seed))
    assert grown is not None
    smiles, neutral = grown
    assert smiles == neutral
    molecule = Chem.MolFromSmiles(smiles)
    assert Chem.MolToSmiles(molecule) == smiles
    assert "." not in smiles
    assert 3 <= molecule.GetNumHeavyAtoms() <= 9
    for atom in molecule.GetAtoms():
        assert atom.GetAtomicNum() in VALENCE
        assert atom.GetFormalCharge() == atom.GetNumRadicalElectrons() == 0
        assert atom.GetTotalValence() == VALENCE[atom.GetAtomicNum()]
    for bond in molecule.GetBonds():
        assert 6 in (bond.GetBeginAtom().GetAtomicNum(), bond.GetEndAtom().GetAtomicNum())
        assert not (bond.GetBondType() == Chem.BondType.TRIPLE and bond.IsInRing())


def test_candidates_vary_in_size_elements_rings_and_bonds() -> None:
    found = [Chem.MolFromSmiles(one[0]) for one in grow_range((0, range(2000), SMALL_ORGANICS)) if one]
    heavy = np.array([molecule.GetNumHeavyAtoms() for molecule in found])
    assert len(found) == 2000
    assert set(heavy.tolist()) == {3, 4, 5, 6, 7, 8, 9}
    assert 4.3 < heavy.mean() < 4.6
    rings = np.array([molecule.GetRingInfo().NumRings() for molecule in found])
    assert 0.25 < (rings > 0).mean() < 0.45
    assert 0.02 < (rings > 1).mean() < 0.15
    text = [Chem.MolToSmiles(molecule) for molecule in found]
    assert 0.1 < np.mean(["F" in s for s in text]) < 0.4
    assert 0.02 < np.mean(["#" in s for s in text]) < 0.3
    assert 0.3 < np.mean(["=" in s for s in text]) < 0.9
    assert len(set(text)) > 700


def test_a_candidate_is_a_function_of_seed_and_number() -> None:
    for preset in PRESETS.values():
        assert grow_range((5, range(10, 20), preset)) == grow_range((5, range(20), preset))[10:]
        assert grow_range((5, range(20), preset)) != grow_range((6, range(20), preset))


def test_the_first_preset_grows_what_it_always_has() -> None:
    text = "\n".join(one[0] for one in grow_range((0, range(400), SMALL_ORGANICS)) if one)
    assert hashlib.sha256(text.encode()).hexdigest().startswith("90573ce3b0ec4338")


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_presets_grow_closed_shells_of_their_elements_and_sizes(preset: Preset) -> None:
    growing = preset.growing
    found = [one for one in grow_range((1, range(600 if preset.name != "large-organics" else 100), preset)) if one]
    assert len(found) >= 100
    elements, charges = set(), []
    for smiles, neutral in found:
        molecule, parent = Chem.MolFromSmiles(smiles), Chem.MolFromSmiles(neutral)
        assert Chem.GetFormalCharge(parent) == 0
        charges.append(Chem.GetFormalCharge(molecule))
        assert (smiles == neutral) == (charges[-1] == 0)
        whole = Chem.AddHs(molecule)
        numbers = [atom.GetAtomicNum() for atom in whole.GetAtoms()]
        assert (sum(numbers) - charges[-1]) % 2 == 0
        assert not any(atom.GetNumRadicalElectrons() for atom in whole.GetAtoms())
        assert "." not in smiles
        assert molecule.GetNumHeavyAtoms() <= growing.heavy_atoms[-1] + 2 * sum(z in (15, 16) for z in numbers)
        for bond in molecule.GetBonds():
            pair = sorted((bond.GetBeginAtom().GetAtomicNum(), bond.GetEndAtom().GetAtomicNum()))
            oxide = pair[0] == 8 and pair[1] in (15, 16)
            assert 6 in pair or tuple(pair) in growing.heteropairs or (oxide and growing.oxidised)
        for atom in molecule.GetAtoms():
            usual = {VALENCE[atom.GetAtomicNum()] + atom.GetFormalCharge()}
            oxidised = {15: {5, 6}, 16: {4, 6}}.get(atom.GetAtomicNum(), set()) if growing.oxidised else set()
            assert atom.GetTotalValence() in usual | oxidised
        elements |= set(numbers)
    assert elements == {1, *growing.elements}
    share = np.mean(np.abs(charges))
    assert set(charges) == ({-1, 0, 1} if growing.charged else {0})
    assert 0.6 * growing.charged <= share <= 1.4 * growing.charged


def test_ions_of_one_molecule_share_its_group() -> None:
    charged = replace(PRESETS["diverse"].growing, charged=1.0)
    plain = replace(charged, charged=0.0)
    for seed in range(60):
        ion, neutral = grow(np.random.default_rng(seed), charged) or ("", "")
        same = grow(np.random.default_rng(seed), plain)
        assert same == (neutral, neutral)
        parts = [Chem.AddHs(Chem.MolFromSmiles(s)) for s in (ion, neutral)]
        charge = Chem.GetFormalCharge(parts[0])
        assert parts[0].GetNumAtoms() - parts[1].GetNumAtoms() == charge  # a proton each


def test_conformers_are_reproducible_and_chemically_sound() -> None:
    first, again = conformers("CCO", 2, 17), conformers("CCO", 2, 17)
    assert not isinstance(first, str)
    assert not isinstance(again, str)
    numbers, positions = first.numbers, first.positions
    assert positions.tobytes() == again.positions.tobytes()
    assert sorted(numbers.tolist()) == [1] * 6 + [6, 6, 8]
    assert positions.shape == (2, 9, 3)
    distances = np.linalg.norm(positions[0, :, None] - positions[0], axis=-1)
    assert 1.35 < distances[1, 2] < 1.50  # C-O
    assert 1.45 < distances[0, 1] < 1.60  # C-C
    assert distances[~np.eye(9, dtype=bool)].min() > 0.9


def test_the_force_field_gives_the_slope_of_where_it_is_asked_not_of_where_it_was() -> None:
    for smiles in ("CCO", "CB(O)N"):  # MMFF94, UFF
        molecule = conformers(smiles, 1, 3, any_field=True)
        assert not isinstance(molecule, str)
        moved = molecule.positions[0] + np.random.default_rng(0).normal(size=molecule.positions[0].shape) * 0.05
        field = molecule.force_field()
        assert np.abs(field(molecule.positions[0])).max() < 0.02  # relaxed
        again = field(moved)
        assert np.abs(again).max() > 0.3
        np.testing.assert_allclose(again, molecule.force_field()(moved), rtol=1e-10)
