"""A store as Parquet: DuckDB, pandas and Polars read it, and an import of it gives the structures back."""

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from ase.io import write as ase_write
from labelled_files import labelled, stored
from pyarrow import parquet as pq

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.importing.imports import import_store
from raysweep.data.inspection import exporting
from raysweep.data.inspection.exporting import export_store
from raysweep.data.store.store import Store

CASES = Path(__file__).parents[1] / "cases"


@pytest.fixture
def periodic(tmp_path: Path) -> Store:
    ase_write(tmp_path / "x.extxyz", labelled(50))
    return import_store(tmp_path / "periodic", [tmp_path / "x.extxyz"])


def test_pandas_polars_and_duckdb_read_what_the_store_holds(
    real_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ROWS_AT_ONCE", 50)
    path = tmp_path / "out" / "s.parquet"
    export_store(real_store, path)
    everything = real_store.read(np.arange(len(real_store)))
    train = real_store.manifest.train_structures

    frame = pd.read_parquet(path)
    assert frame["energy"].tolist() == everything.energy.tolist()
    assert frame["split"].tolist() == ["train"] * train + ["validation"] * (len(everything) - train)
    positions = np.stack(frame["positions"][7])
    np.testing.assert_array_equal(positions, everything.take(np.array([7])).positions)

    atoms = pl.read_parquet(path).select(pl.col("numbers").list.len()).to_series().to_list()
    assert atoms == everything.n_atoms.tolist()

    largest, count = duckdb.sql(
        f"select max(sqrt(f[1] * f[1] + f[2] * f[2] + f[3] * f[3])), count(*) "
        f"from (select unnest(forces) as f from '{path}' where split = 'train')"
    ).fetchall()[0]
    forces = everything.head(train).forces.astype(np.float64)
    assert largest == pytest.approx(np.linalg.norm(forces, axis=1).max(), rel=1e-5)
    assert count == len(forces)
    schema = pq.read_schema(path)
    assert schema.field("forces").metadata[b"unit"].decode() == "eV/Å"
    assert schema.metadata[b"raysweep.fingerprint"].decode() == real_store.manifest.fingerprint


def test_an_export_comes_back_as_the_same_structures_and_the_same_split(periodic: Store, tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    export_store(periodic, path)
    held = duckdb.sql(f"select distinct \"group\" from '{path}' where split = 'validation'").fetchall()
    back = import_store(tmp_path / "back", [path], held_out=[name for (name,) in held])
    assert stored(back) == stored(periodic)
    assert back.manifest.validation_structures == periodic.manifest.validation_structures
    assert back.manifest.rms_force == pytest.approx(periodic.manifest.rms_force, rel=1e-6)
    ours, theirs = back.read(np.arange(50)), periodic.read(np.arange(50))
    for name in ("cell", "pbc", "charge", "spin"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert mine is not None
        order = np.argsort(ours.energy), np.argsort(theirs.energy)
        np.testing.assert_array_equal(mine[order[0]], other[order[1]])


def test_an_export_brings_its_isolated_atoms_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "ROWS_AT_ONCE", 20)
    whole = import_store(tmp_path / "s", [CASES / "isolated_atoms.xyz"])
    path = tmp_path / "s.parquet"
    export_store(whole, path)
    held = duckdb.sql(f"select distinct \"group\" from '{path}' where split = 'validation'").fetchall()
    back = import_store(tmp_path / "back", [path], held_out=[name for (name,) in held])
    ours, theirs = back.manifest, whole.manifest
    assert stored(back) == stored(whole)
    assert ours.isolated_atoms == theirs.isolated_atoms == (1, 6, 8)
    assert ours.reference_energies == theirs.reference_energies
    assert ours.binding_energies == pytest.approx(theirs.binding_energies)
    assert ours.rms_energy == pytest.approx(theirs.rms_energy)
    assert ours.rejected == {"isolated atom: gives the reference energy of its element": 3}


def test_other_columns_can_be_named_and_flat_lists_are_read(tmp_path: Path) -> None:
    frames = labelled(12, periodic=False)
    table = pa.table(
        {
            "numbers": [atoms.numbers.tolist() for atoms in frames],
            "positions": [atoms.positions.reshape(-1).tolist() for atoms in frames],
            "E_ref": [atoms.get_potential_energy() for atoms in frames],
            "F_ref": [atoms.get_forces().tolist() for atoms in frames],
            "mol": [f"m{i % 4}" for i in range(12)],
        }
    )
    pq.write_table(table, tmp_path / "p.parquet")
    names = Names(energy="E_ref", forces="F_ref", group="mol")
    store = import_store(tmp_path / "s", [tmp_path / "p.parquet"], names=names)
    found = store.read(np.arange(12))
    assert sorted(found.energy.tolist()) == sorted(atoms.get_potential_energy() for atoms in frames)
    assert set(found.group) == {"m0", "m1", "m2", "m3"}
    with pytest.raises(
        DataError, match=r"p.parquet: no key of energy, forces is known; .* It has E_ref, F_ref, mol, numbers, pos"
    ):
        import_store(tmp_path / "t", [tmp_path / "p.parquet"])


def test_bad_rows_are_named_or_counted(tmp_path: Path) -> None:
    good = {"numbers": [1, 1], "positions": [[0.0] * 3, [0.0, 0.0, 0.7]], "energy": -1.0, "forces": [[0.1] * 3] * 2}
    bad = [
        {**good, "positions": [[0.0] * 3]},
        {**good, "energy": None},
        {**good, "numbers": [0, 1]},
        {**good, "forces": None},
        {**good, "positions": [[0.0] * 3, [0.0, 0.0, float("nan")]]},
        {**good, "numbers": [], "positions": [], "forces": []},
    ]
    rows = [{**row, "group": f"g{i}"} for i, row in enumerate([good, *bad, good])]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"p.parquet, row 1: a list is null, or shapes do not match"):
        import_store(tmp_path / "s", [tmp_path / "p.parquet"])
    store = import_store(tmp_path / "s", [tmp_path / "p.parquet"], skip_bad=True)
    assert len(store) == 2
    assert sum(store.manifest.rejected.values()) == 6
    whole = (tmp_path / "p.parquet").read_bytes()
    (tmp_path / "p.parquet").write_bytes(whole[:-10])
    with pytest.raises(DataError, match=r"p.parquet: truncated, or not a Parquet file"):
        import_store(tmp_path / "t", [tmp_path / "p.parquet"])


def test_a_file_that_is_there_is_not_overwritten(real_store: Store, tmp_path: Path) -> None:
    (tmp_path / "s.parquet").write_text("precious")
    with pytest.raises(DataError, match="already exists"):
        export_store(real_store, tmp_path / "s.parquet")
    assert (tmp_path / "s.parquet").read_text() == "precious"
