"""Files that were not written for raysweep: right values, no molecule on both sides of the split, or one clear line."""

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
from ase import Atoms
from ase.db import connect
from pyarrow import parquet as pq

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.formats.fields.units import Quantity, factor_of
from raysweep.data.importing.imports import import_store
from raysweep.data.store.store import Store
from raysweep.data.structures import Structures

HARTREE, BOHR, KCAL = 27.211386245988, 0.529177210903, 0.0433641042418
METHANE, WATER = np.array([6, 1, 1, 1, 1]), np.array([8, 1, 1])


def vectors(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(*shape, 3))


def everything(store: Store) -> Structures:
    return store.read(np.arange(len(store)))


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"numbers": "species", "positions": "coordinates", "energy": "energies", "forces": "forces"}, {}),
        (
            {"numbers": "atomic_numbers", "positions": "coordinates", "energy": "mp2.e", "forces": "mp2.f"},
            {"energy": "mp2.e", "forces": "mp2.f"},
        ),
        ({"numbers": "atomic_numbers", "positions": "conformations", "energy": "energy", "forces": "forces"}, {}),
    ],
)
def test_hdf5_that_shares_only_positions_with_a_known_set_has_no_units_of_it(
    tmp_path: Path, keys: dict[str, str], named: dict[str, str]
) -> None:
    """ANI-2x's groups by size, for one: hartree was taken for granted, or `species` not looked for."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for name, numbers in (("003", WATER), ("005", METHANE)):
            group = file.create_group(name)
            group[keys["numbers"]] = np.tile(numbers, (4, 1))
            group[keys["positions"]], group[keys["forces"]] = vectors(4, len(numbers)), vectors(4, len(numbers), seed=1)
            group[keys["energy"]] = -np.arange(4.0) - len(numbers)
    with pytest.raises(DataError, match=r"group 003: no unit of energy is stated for .* Name it with --energy-unit"):
        import_store(tmp_path / "s", [path], names=Names(**named))
    names = Names(**named, energy_unit="kcal/mol", length_unit="bohr")
    found = everything(import_store(tmp_path / "s", [path], names=names))
    np.testing.assert_allclose(np.sort(found.energy), np.sort([-3, -4, -5, -6, -5, -6, -7, -8]) * KCAL)
    assert np.abs(found.positions).max() == pytest.approx(np.abs(vectors(4, 5)).max() * BOHR, rel=1e-6)


def test_what_stands_in_a_reaction_is_of_that_reaction(tmp_path: Path) -> None:
    """Transition1x: reactants and products beside the path that leads from one to the other."""
    path = tmp_path / "t1x.h5"
    with h5py.File(path, "w") as file:
        file.attrs["units"] = "eV, Å"
        for i in range(6):
            reaction = file.create_group(f"data/CH4/rxn{i:04d}")
            parts = [(reaction, 3), *((reaction.create_group(name), 1) for name in ("product", "reactant"))]
            for group, frames in parts:
                group["atomic_numbers"], group["positions"] = METHANE, vectors(frames, 5, seed=i)
                group["energy"], group["forces"] = -1.0 * i - np.arange(frames), vectors(frames, 5, seed=9 + i)
    found = everything(import_store(tmp_path / "s", [path]))
    assert sorted(set(found.group)) == [f"data/CH4/rxn{i:04d}" for i in range(6)]
    assert len(found) == 30


def test_coordinates_that_single_precision_does_not_hold_are_refused(tmp_path: Path) -> None:
    """They were moved by up to 0.03 Å, or stacked on one point, in silence."""
    near, far = 9000.0, 1e6
    text = "".join(
        f"2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-{i}\nH {x} 0 0 .1 0 0\nH {x + 0.74} 0 0 -.1 0 0\n"
        for i, x in enumerate((0.0, near, far, -far))
    )
    (tmp_path / "x.xyz").write_text(text)
    said = r"x.xyz, frame 2: coordinates up to 1e\+06 Å, beyond 10000 Å, where single precision is coarser than 0.001 Å"
    with pytest.raises(DataError, match=said):
        import_store(tmp_path / "s", [tmp_path / "x.xyz"], group_by="structure")
    store = import_store(tmp_path / "s", [tmp_path / "x.xyz"], group_by="structure", skip_bad=True)
    x = everything(store).positions[:, 0].reshape(2, 2)
    np.testing.assert_allclose(np.ptp(x, axis=1), 0.74, atol=1e-3)
    assert list(store.manifest.rejected.values()) == [2]


PLAIN = "2\n-1.0\nH 0 0 0 0 0 0\nH 0 0 0.74 0 0 0\n"
TEXTS = {"numbers": "[1, 1]", "positions": "[[0, 0, 0], [0, 0, 0.74]]", "forces": json.dumps([[0.1] * 3] * 2)}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "md22.xyz",
            "x/md22.xyz, frame 0: no Properties in the header, .*: write the header as Properties=species:S:1",
        ),
        ("utf16.xyz", "x/utf16.xyz, frame 0: '.*2.*' is not a number of atoms"),
        ("npz.zip", "x/npz.zip, frame 0: neither raysweep nor ASE knows this kind of file .zip.. Unpack archives"),
        ("coord.npy", "x/coord.npy, frame 0: neither raysweep nor ASE knows this kind of file"),
        ("texts.parquet", "x/texts.parquet, row 0: positions is text, not numbers: convert it first"),
        ("other.db", "x/other.db, record 1: .*no energy: none is recognised, name it with --energy-key; .* U0,"),
        ("one.xyz", "1 structure cannot be split; at least 2 are needed"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_remedy(tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / "x" / name
    path.parent.mkdir()
    match name:
        case "md22.xyz":
            path.write_text(PLAIN * 3)
        case "utf16.xyz":
            path.write_text(PLAIN, encoding="utf-16")
        case "npz.zip":
            with zipfile.ZipFile(path, "w") as file:
                file.writestr("a.npz", b"")
        case "coord.npy":
            np.save(path, vectors(3, 2))
        case "texts.parquet":
            pq.write_table(pa.Table.from_pylist([{**TEXTS, "energy": -1.0}] * 2), path)
        case "other.db":
            with connect(path) as database:
                database.write(Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]), data={"U0": -1.0, "f": np.ones((2, 3))})
        case _:
            path.write_text(PLAIN.replace("-1.0", "Properties=species:S:1:pos:R:3:forces:R:3 energy=-1"))
            path.write_text(path.read_text().replace("0 0 0\nH", "0.1 0 0\nH"))
    with pytest.raises(DataError, match=said):
        import_store(tmp_path / "s", [path], group_by="structure")


@pytest.mark.parametrize(
    ("unit", "quantity", "factor"),
    [
        ("mHa", "energy", HARTREE / 1e3), ("mRy", "energy", HARTREE / 2e3), ("electron volts", "energy", 1.0),
        ("Ry/au", "forces", HARTREE / 2 / BOHR), ("Ry/a.u.", "forces", HARTREE / 2 / BOHR), ("a₀", "length", BOHR),
        ("E_h/a_0", "forces", HARTREE / BOHR), ("eV per Angstrom", "forces", 1.0), ("a.u.", "length", BOHR),
        ("a.u.", "forces", HARTREE / BOHR), ("meV/Å", "forces", 1e-3), ("kcal/mol/a.u.", "forces", KCAL / BOHR),
    ],
)  # fmt: skip
def test_units_are_known_in_the_spellings_of_programs(unit: str, quantity: Quantity, factor: float) -> None:
    """Quantum ESPRESSO prints forces in Ry/au."""
    assert factor_of(unit, quantity) == (pytest.approx(factor, rel=1e-9), False)


@pytest.mark.parametrize("unit", ["MeV", "keV", "au/Å", "eV au", "1.0 eV", "Hartree/particle"])
def test_other_units_are_refused(unit: str) -> None:
    with pytest.raises(DataError, match=f"unknown unit of forces '{unit}'"):
        factor_of(unit, "forces")
