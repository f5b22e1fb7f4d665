"""Isolated atoms give reference energies; they are never structures to learn from or to be measured on."""

from pathlib import Path

import numpy as np
import pytest

from raysweep.core.errors import DataError
from raysweep.data.importing.imports import import_store
from raysweep.data.inspection.summary import summarise
from raysweep.data.store.store import Store

CASES = Path(__file__).parents[1] / "cases"
MOLECULE = (
    "3\nProperties=species:S:1:pos:R:3:forces:R:3 energy={} {}\n"
    "O 0 0 0 0.5 0 0\nH 0.97 0 0 -0.5 0 0\nH 0 0.97 0 0 0 0\n"
)
ATOM = "1\nProperties=species:S:1:pos:R:3:forces:R:3 energy={} {}\n{} 0 0 0 0 0 0\n"
REASON = "isolated atom: gives the reference energy of its element"


def molecules(count: int = 8, said: str = "") -> str:
    return "".join(MOLECULE.format(-2079.0 - 0.1 * i, said) for i in range(count))


def imported(folder: Path, text: str) -> Store:
    (folder / "x.xyz").write_text(text)
    return import_store(folder / "s", [folder / "x.xyz"], group_by="structure")


def test_isolated_atoms_are_reference_energies_and_do_not_set_the_scale_of_the_loss(tmp_path: Path) -> None:
    store = import_store(tmp_path / "s", [CASES / "isolated_atoms.xyz"], group_by="structure")
    assert len(store) == 60
    assert store.manifest.rejected == {REASON: 3}
    assert store.manifest.reference_energies == {1: -13.587, 6: -1029.49, 8: -2041.84}
    assert store.manifest.isolated_atoms == (1, 6, 8)
    everything = store.read(np.arange(60))
    assert everything.n_atoms.min() > 1
    rms = float(np.sqrt(np.mean(np.square(everything.residual / everything.n_atoms))))
    assert rms == pytest.approx(0.026, abs=0.003)
    assert store.manifest.rms_energy == pytest.approx(rms, rel=0.1)
    bound = sum(store.manifest.binding_energies[z] for z in everything.numbers.tolist()) / len(everything.numbers)
    assert bound == pytest.approx(-4.0, abs=0.1)
    table = {z: store.manifest.reference_energies[z] + store.manifest.binding_energies[z] for z in (1, 6, 8)}
    said = np.add.reduceat([table[z] for z in everything.numbers.tolist()], everything.offsets[:-1])
    np.testing.assert_allclose(everything.residual, everything.energy - said, atol=1e-5)
    assert summarise(store).warnings == ()


def test_the_scale_of_the_loss_is_that_of_the_structures_without_their_isolated_atoms(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = "".join(MOLECULE.format(-2079.0 + rng.normal(), "") for _ in range(20))
    found = []
    for i, atoms in enumerate(("", ATOM.format(-13.6, "", "H") + ATOM.format(-2043.0, "", "O"))):
        (tmp_path / str(i)).mkdir()
        found.append(imported(tmp_path / str(i), atoms + text))
    scales = [store.manifest.rms_energy for store in found]
    assert scales[0] == pytest.approx(scales[1], rel=1e-5)
    assert found[0].manifest.binding_energies == {}


def test_elements_without_an_isolated_atom_keep_fitted_reference_energies(tmp_path: Path) -> None:
    store = imported(tmp_path, ATOM.format(-13.6, "", "H") + molecules())
    references = store.manifest.reference_energies
    assert references[1] == -13.6
    train = store.read(store.subset(store.manifest.train_structures))
    assert references[8] == pytest.approx(float(np.mean(train.energy)) + 2 * 13.6, abs=1e-9)
    assert store.manifest.isolated_atoms == (1,)


def test_stores_with_other_reference_energies_are_other_stores(tmp_path: Path) -> None:
    found = set()
    for i, atom in enumerate(("", ATOM.format(-13.6, "", "H"), ATOM.format(-13.5, "", "H"))):
        (tmp_path / str(i)).mkdir()
        found.add(imported(tmp_path / str(i), atom + molecules()).manifest.fingerprint)
    assert len(found) == 3


def test_the_lowest_neutral_atom_counts_and_ions_give_none(tmp_path: Path) -> None:
    atoms = [
        ATOM.format(-2041.0, "charge=0 spin=1", "O"), ATOM.format(-2043.0, "charge=0 spin=3", "O"),
        ATOM.format(-2044.5, "charge=-1 spin=2", "O"), ATOM.format(0.0, "charge=1 spin=1", "H"),
    ]  # fmt: skip
    store = imported(tmp_path, "".join(atoms) + molecules(said="charge=0 spin=1"))
    assert store.manifest.reference_energies[8] == -2043.0
    assert store.manifest.isolated_atoms == (8,)
    assert store.manifest.rejected == {REASON: 2, "isolated ion: gives no reference energy": 2}


@pytest.mark.parametrize(
    ("said", "alone"),
    [
        ("", True),
        ('Lattice="12 0 0 0 12 0 0 0 12"', True),
        ('Lattice="2.5 0 0 0 2.5 0 0 0 2.5"', False),
        ('Lattice="12 0 0 0 12 0 11.5 12 3"', False),
        ('Lattice="2.5 0 0 0 12 0 0 0 12" pbc="F T T"', True),
        ('Lattice="2.5 0 0 0 2.5 0 0 0 2.5" config_type=IsolatedAtom', True),
        ('Lattice="2.5 0 0 0 2.5 0 0 0 2.5" config_type="isolated_atom"', True),
        ('Lattice="2.5 0 0 0 2.5 0 0 0 2.5" config_type=bulk', False),
    ],
)
def test_one_atom_is_isolated_where_no_image_of_it_is_near(tmp_path: Path, said: str, alone: bool) -> None:
    store = imported(tmp_path, ATOM.format(-13.6, said, "H") + molecules())
    assert len(store) == (8 if alone else 9)
    assert store.manifest.rejected == ({REASON: 1} if alone else {})


def test_an_isolated_atom_needs_no_forces_and_neither_charge_nor_spin(tmp_path: Path) -> None:
    atom = "1\nProperties=species:S:1:pos:R:3 energy=-13.6 config_type=IsolatedAtom\nH 0 0 0\n"
    store = imported(tmp_path, atom + molecules(said="charge=0 spin=1"))
    assert store.manifest.reference_energies[1] == -13.6
    assert len(store) == 8


def test_isolated_atoms_alone_are_no_store(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x.xyz: only isolated atoms \(2\), .* there is nothing to train on"):
        imported(tmp_path, ATOM.format(-13.6, "", "H") + ATOM.format(-2043.0, "", "O"))


def test_isolated_atoms_of_another_method_are_named(tmp_path: Path) -> None:
    store = imported(tmp_path, ATOM.format(0.0, "", "H") + ATOM.format(0.0, "", "O") + molecules())
    assert any("are the isolated atoms of the same method" in warning for warning in summarise(store).warnings)


def test_isolated_atoms_count_whatever_part_of_whatever_file_they_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raysweep.data.formats.xyz import extxyz

    monkeypatch.setattr(extxyz, "SPAN_BYTES", 400)
    (tmp_path / "atoms.xyz").write_text(ATOM.format(-13.6, "", "H") + ATOM.format(-2043.0, "", "O"))
    (tmp_path / "x.xyz").write_text(molecules())
    store = import_store(tmp_path / "s", [tmp_path / "atoms.xyz", tmp_path / "x.xyz"], group_by="structure")
    assert store.manifest.reference_energies == {1: -13.6, 8: -2043.0}
    assert len(store) == 8
