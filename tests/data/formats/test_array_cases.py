"""Files of arrays, tables and databases as people have them: units, keys, periodicity, charges and levels of theory."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
from ase.db import connect
from ase.io import write as ase_write
from labelled_files import labelled, write_aselmdb, write_mptrj
from pyarrow import parquet as pq
from test_array_dialects import BOHR, HARTREE, KCAL, assert_right, imported, plain, truth

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.importing.imports import import_store

CASES = Path(__file__).parents[1] / "cases"


def case(tmp_path: Path, name: str, names: Names | None = None, **how: Any) -> Any:
    store = import_store(tmp_path / "store", [CASES / name], names=names, group_by="structure", **how)
    return store.read(np.arange(len(store))), store


@pytest.mark.parametrize("unit", [None, "eV"])
def test_units_that_an_npz_states_are_read_and_may_be_named_as_well(tmp_path: Path, unit: str | None) -> None:
    found, _ = case(tmp_path, "units_stated.npz", Names(energy_unit=unit))
    assert np.sqrt((found.forces**2).mean()) == pytest.approx(0.986, abs=1e-3)
    assert found.energy.mean() == pytest.approx(-2080, abs=0.1)
    with pytest.raises(DataError, match=r"energy_unit is 'kcal/mol', but the file states 'eV' \('e_unit'\)"):
        case(tmp_path / "b", "units_stated.npz", Names(energy_unit="kcal/mol"))


@pytest.mark.parametrize(("unit", "factor"), [(None, KCAL), ("eV", 1.0), ("kcal/mol", KCAL)])
def test_a_unit_that_is_named_holds_though_it_is_the_default_of_others(
    tmp_path: Path, unit: str | None, factor: float
) -> None:
    arrays = plain()
    np.savez(tmp_path / "m.npz", **arrays)
    found, _ = imported(tmp_path / "m.npz", Names(energy_unit=unit))
    np.testing.assert_allclose(found.energy, np.sort(arrays["E"]) * factor, rtol=1e-6)


def test_levels_of_theory_are_those_that_are_named_and_never_mixed(tmp_path: Path) -> None:
    found, _ = case(tmp_path, "two_levels.h5", Names(energy="wb97x_tz.energy"))
    both, _ = case(tmp_path / "b", "two_levels.h5", Names(energy="wb97x_tz.energy", forces="wb97x_tz.forces"))
    default, _ = case(tmp_path / "c", "two_levels.h5")
    assert found.energy.mean() == pytest.approx(-76.5 * HARTREE, abs=1)
    assert both.energy.tolist() == found.energy.tolist()
    assert both.forces.tobytes() == found.forces.tobytes() != default.forces.tobytes()
    with pytest.raises(DataError, match=r"H2O1: there is no 'wb97x_qz.energy' .*near it: wb97x_tz.energy"):
        case(tmp_path / "d", "two_levels.h5", Names(energy="wb97x_qz.energy", forces="wb97x_tz.forces"))
    with pytest.raises(DataError, match=r"its forces could be any of wb97x_dz.forces, wb97x_tz"):
        case(tmp_path / "d", "two_levels.h5", Names(energy="ccsd(t)_cbs.energy"))


def test_the_list_of_sizes_beside_shards_is_no_data(tmp_path: Path) -> None:
    found, store = case(tmp_path, "omol_like")
    assert len(found) == 12
    assert found.charge.tolist() == [0] * 12
    assert found.spin.tolist() == [1] * 12
    assert [reason for reason in store.manifest.rejected if "metadata.npz" in reason]


def test_cells_without_flags_are_periodic(tmp_path: Path) -> None:
    found, _ = case(tmp_path, "cell_without_pbc.parquet")
    assert found.pbc.all()
    assert found.cell[0].tolist() == (np.eye(3) * 5).tolist()


def test_frames_without_an_uncorrected_energy_are_refused_or_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"frame mp-3-0-1: .*there is no 'uncorrected_total_energy'"):
        case(tmp_path, "mixed_corrections.json")
    found, store = case(tmp_path, "mixed_corrections.json", skip_bad=True)
    assert len(found) == 27
    assert sum(store.manifest.rejected.values()) == 5
    assert found.energy.max() == -10.0
    corrected, _ = case(tmp_path / "b", "mixed_corrections.json", Names(energy="corrected_total_energy"))
    assert len(corrected) == 32
    assert corrected.energy.max() == -10.6


def test_disordered_sites_and_lattices_that_are_not_periodic(tmp_path: Path) -> None:
    frames = [atoms for atoms in labelled(18) if atoms.pbc.all()]
    write_mptrj(tmp_path / "m.json", frames)
    content = json.loads((tmp_path / "m.json").read_text())
    structures = [frame["structure"] for material in content.values() for frame in material.values()]
    structures[0]["sites"][0]["species"] = [{"element": "Ar", "occu": 0.5}, {"element": "Cu", "occu": 0.5}]
    structures[1]["sites"][0]["species"][0]["occu"] = 0.9
    structures[2]["lattice"]["pbc"] = [True, True, False]
    (tmp_path / "m.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"a disordered site \(Ar 0.5, Cu 0.5\)"):
        imported(tmp_path / "m.json")
    found, store = imported(tmp_path / "m.json", skip_bad=True)
    assert sum(store.manifest.rejected.values()) == 2
    assert found.pbc is not None
    assert len(found) == len(frames) - 2
    assert found.pbc.sum() == 3 * len(found) - 1


@pytest.mark.parametrize("name", ["a.db", "a.json", "a.aselmdb"])
def test_databases_of_ase_keep_charge_and_spin_and_the_units_they_state(tmp_path: Path, name: str) -> None:
    frames = labelled(6)
    with connect(tmp_path / name, use_lock_file=False) as database:
        for i, atoms in enumerate(frames):
            pairs = {"charge": int(atoms.info["charge"])} if i % 2 else {}
            database.write(atoms, key_value_pairs=pairs, data={**atoms.info, "mol": f"{i // 2:03d}"})
        if name != "a.json":
            database.metadata = {"_property_unit_dict": {"energy": "kcal/mol", "forces": "kcal/mol/Ang"},
                                 "_distance_unit": "Bohr"}  # fmt: skip
    store = import_store(tmp_path / "s", [tmp_path / name], names=Names(group="mol"), validation_fraction=0.4)
    found = store.read(np.arange(len(store)))
    order = np.argsort(found.energy)
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    energy, length = (1.0, 1.0) if name == "a.json" else (KCAL, BOHR)
    np.testing.assert_allclose(found.energy[order], np.sort(energies) * energy, rtol=1e-6)
    assert found.charge is not None
    assert found.spin is not None
    assert found.pbc is not None
    assert found.charge[order].tolist() == [frames[i].info["charge"] for i in np.argsort(energies)]
    assert found.spin[order].tolist() == [frames[i].info["spin"] for i in np.argsort(energies)]
    assert sorted(set(found.group)) == ["000", "001", "002"]
    assert sorted(found.pbc.sum(axis=1).tolist()) == sorted(int(atoms.pbc.sum()) for atoms in frames)
    assert np.abs(found.positions).max() == pytest.approx(
        max(np.abs(atoms.positions).max() for atoms in frames) * length, rel=1e-6
    )
    with pytest.raises(DataError, match=r"record 1: .*there is no 'q' \(--charge-key\).* It has charge"):
        import_store(tmp_path / "t", [tmp_path / name], names=Names(charge="q"))


def test_a_database_that_is_not_of_ase_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "other.db"
    with sqlite3.connect(path) as database:
        database.execute("create table t (x int)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"other.db: .*no table 'systems'"):
        import_store(tmp_path / "s", [path])
    assert path.read_bytes() == before


def write_groups(path: Path) -> Any:
    """Write a group of each of two molecules with a cell; return what they are."""
    true = truth(1, 8, one_molecule=True, periodic=True)
    with h5py.File(path, "w") as file:
        file.attrs["units"] = "eV, Å"
        for name, rows in (("a", slice(0, 4)), ("b", slice(4, 8))):
            group = file.create_group(name)
            group["numbers"], group["energy"] = true.numbers[0], true.energy[rows]
            group["positions"], group["forces"] = np.stack(true.positions[rows]), np.stack(true.forces[rows])
            group["lattice"], group["pbc"] = true.cell[rows], true.pbc[rows]  # type: ignore[index]
    return true


def test_links_within_an_hdf5_file_are_followed_and_those_out_of_it_refused(tmp_path: Path) -> None:
    true = write_groups(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file["b/numbers"]
        file["b/numbers"] = h5py.SoftLink("/a/numbers")
        file["alias"] = h5py.SoftLink("/a")
        file["again"] = file["a"]
    assert_right(imported(tmp_path / "x.h5")[0], true)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["energy"] = np.zeros(4)
    with h5py.File(tmp_path / "x.h5", "a") as file:
        file["c"] = h5py.ExternalLink("secret.h5", "/")
    with pytest.raises(DataError, match=r"x.h5, c: an external link to another file, which is not followed"):
        import_store(tmp_path / "t", [tmp_path / "x.h5"])
    (tmp_path / "secret.h5").unlink()
    store = import_store(tmp_path / "t", [tmp_path / "x.h5"], skip_bad=True, group_by="structure")
    assert len(store) == 4  # the soft link of b might lead out, too
    assert sum(store.manifest.rejected.values()) == 5


def test_values_of_an_hdf5_file_that_are_elsewhere_are_not_opened(tmp_path: Path) -> None:
    write_groups(tmp_path / "x.h5")
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "energy", shape=(4,))
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file["a/energy"], file["b/forces"]
        file["a"].create_virtual_dataset("energy", layout)
        file["b"].create_dataset("forces", (4, 4, 3), "f8", external=[(str(tmp_path / "raw.bin"), 0, 384)])
    with pytest.raises(DataError, match=r"group a, .*a/energy: its values are in other files, which are not read"):
        import_store(tmp_path / "s", [tmp_path / "x.h5"])
    with pytest.raises(DataError, match=r"no usable structures .*b/forces: its values are in other files"):
        import_store(tmp_path / "s", [tmp_path / "x.h5"], skip_bad=True)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("energy", np.zeros(4, dtype=[("x", "f8")]), "energy: of type .*not numbers"),
        ("energy", np.zeros((4, 2)), r"shapes do not match: .*energies \[4, 2\]"),
        ("numbers", np.array(["C", "H", "H", "Xx"], dtype="S2"), "unknown elements"),
        ("lattice", np.zeros((4, 2)), "a cell of shape"),
        ("lattice", np.zeros((4, 3, 3)), "periodic, but the cell has no volume"),
        ("pbc", np.full(4, 7), "pbc has values other than true and false"),
        ("forces", None, "no key of forces is known"),
    ],
)
def test_one_group_of_hdf5_that_cannot_be_read_leaves_the_others(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    write_groups(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file[f"a/{key}"]
        if value is not None:
            file[f"a/{key}"] = value
        file.create_group("empty")
        del file["b/pbc"]
        file["b"].attrs["pbc"] = True
    with pytest.raises(DataError, match="group empty: an empty group"):
        import_store(tmp_path / "s", [tmp_path / "x.h5"])
    with h5py.File(tmp_path / "x.h5", "a") as file:
        del file["empty"]
    with pytest.raises(DataError, match=f"x.h5, group a.*({said})"):
        import_store(tmp_path / "s", [tmp_path / "x.h5"])
    found, store = imported(tmp_path / "x.h5", skip_bad=True)
    assert found.pbc is not None
    assert len(found) >= 4
    assert found.pbc[-4:].all() or found.pbc[:4].all()
    assert sum(store.manifest.rejected.values()) == 8 - len(found)


def test_lengths_angles_and_columns_of_cells(tmp_path: Path) -> None:
    from ase.geometry import cellpar_to_cell

    arrays = {**plain(), "e_unit": np.array("eV"), "r_unit": np.array("Ang")}
    parameters = np.array([8.0, 9.0, 7.0, 80.0, 95.0, 100.0])
    matrix = cellpar_to_cell(parameters)  # type: ignore[no-untyped-call]
    given = {"cell": parameters, "lattice": matrix.T, "box": np.tile(parameters, (6, 1)), "cells": matrix.reshape(9)}
    for key, value in given.items():  # sGDML's lattice has the vectors in its columns
        (tmp_path / key).mkdir()
        np.savez(tmp_path / key / "x.npz", **{**arrays, key: value})
        found, _ = imported(tmp_path / key / "x.npz")
        assert found.cell is not None
        assert found.pbc is not None
        assert found.pbc.all()
        np.testing.assert_allclose(found.cell, np.tile(matrix, (6, 1, 1)), atol=1e-5)
    np.savez(tmp_path / "x.npz", **arrays, cell=[8.0, 9.0, 7.0, 1.4, 1.5, 1.6])
    with pytest.raises(DataError, match="cell has no volume"):
        imported(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", **arrays, cell=parameters)
    assert imported(tmp_path / "x.npz", Names(cell=""))[0].pbc is None


def test_energies_per_atom_are_told_by_their_unit_or_key(tmp_path: Path) -> None:
    arrays = plain()
    for name, key, unit in (("a", "E", "eV/atom"), ("b", "energy_per_atom", "eV")):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "x.npz", **{k if k != "E" else key: v for k, v in arrays.items()})
        names = Names(energy=key, energy_unit=unit, length_unit="Å")
        found, _ = imported(tmp_path / name / "x.npz", names)
        np.testing.assert_allclose(found.energy, np.sort(arrays["E"]) * 3, rtol=1e-6)


GOOD = {"numbers": [8, 1], "positions": [[0.0] * 3, [0.0, 0.0, 0.9]], "energy": -1.5, "forces": [[0.1] * 3] * 2,
        "cell": [5.0, 5.0, 5.0], "pbc": True}  # fmt: skip


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"positions": [[0.0] * 3, [0.0, 0.9]]}, "shapes do not match"),
        ({"positions": [[0.0] * 3, None]}, "a list is null, or shapes do not match"),
        ({"numbers": [8, None]}, "unknown elements"),
        ({"energy": None}, "energy is null"),
        ({"cell": [5.0, 5.0]}, "cell is neither 3 x 3"),
        ({"cell": None}, "periodic, but the cell has no volume"),
        ({"forces": [[0.1] * 3] * 3}, "shapes do not match"),
    ],
)
def test_one_row_of_parquet_that_cannot_be_read_leaves_the_others(
    tmp_path: Path, row: dict[str, Any], said: str
) -> None:
    rows = [{**GOOD, "energy": -1.0}, {**GOOD, **row}, GOOD, {**GOOD, "energy": -3.0, "pbc": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    with pytest.raises(DataError, match=f"p.parquet, row 1: .*({said})"):
        imported(tmp_path / "p.parquet")
    found, store = imported(tmp_path / "p.parquet", skip_bad=True)
    assert found.energy.tolist() == [-3.0, -1.5, -1.0]
    assert found.pbc is not None
    assert found.pbc.all()
    assert sum(store.manifest.rejected.values()) == 1


def test_frames_of_text_lack_no_key_that_was_named(tmp_path: Path) -> None:
    ase_write(tmp_path / "x.extxyz", labelled(6))
    with pytest.raises(DataError, match=r"frame 0.*there is no 'mol' \(--group-key\)"):
        import_store(tmp_path / "s", [tmp_path / "x.extxyz"], names=Names(group="mol"))
    with pytest.raises(DataError, match=r"x.extxyz: the format extxyz has a fixed place for its positions"):
        import_store(tmp_path / "s", [tmp_path / "x.extxyz"], names=Names(positions="r"))
    found, _ = imported(tmp_path / "x.extxyz", Names(forces_unit="hartree/bohr"))
    frames = sorted(labelled(6), key=lambda atoms: float(atoms.get_potential_energy()))
    expected = np.concatenate([atoms.get_forces() for atoms in frames]) * HARTREE / BOHR
    np.testing.assert_allclose(found.forces, expected, rtol=1e-5, atol=1e-5)


def test_shards_with_other_units_in_their_metadata_contradict_what_is_named(tmp_path: Path) -> None:
    write_aselmdb(tmp_path / "a.aselmdb", labelled(3))
    with connect(tmp_path / "a.aselmdb", type="aselmdb") as database:
        database.metadata = {"energy_unit": "hartree"}
    with pytest.raises(DataError, match="energy_unit is 'eV', but the file states 'hartree'"):
        import_store(tmp_path / "s", [tmp_path / "a.aselmdb"], names=Names(energy_unit="eV"))
