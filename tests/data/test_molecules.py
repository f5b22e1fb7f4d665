import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from raysweep.data.labels import grow_range
from raysweep.data.molecules import VALENCE, conformers, grow


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_molecules_are_small_organic_and_sound(seed: int) -> None:
    smiles = grow(np.random.default_rng(seed))
    assert smiles is not None
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
    found = [Chem.MolFromSmiles(s) for s in grow_range((0, range(2000))) if s]
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
    assert grow_range((5, range(10, 30))) == grow_range((5, range(30)))[10:]
    assert grow_range((5, range(30))) != grow_range((6, range(30)))


def test_conformers_are_reproducible_and_chemically_sound() -> None:
    first, again = conformers("CCO", 2, 17), conformers("CCO", 2, 17)
    assert not isinstance(first, str)
    assert not isinstance(again, str)
    numbers, positions = first
    assert positions.tobytes() == again[1].tobytes()
    assert sorted(numbers.tolist()) == [1] * 6 + [6, 6, 8]
    assert positions.shape == (2, 9, 3)
    distances = np.linalg.norm(positions[0, :, None] - positions[0], axis=-1)
    assert 1.35 < distances[1, 2] < 1.50  # C-O
    assert 1.45 < distances[0, 1] < 1.60  # C-C
    assert distances[~np.eye(9, dtype=bool)].min() > 0.9
