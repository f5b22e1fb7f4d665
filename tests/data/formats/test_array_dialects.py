"""npz, HDF5 and Parquet files in the layouts that people write: the right values in eV and Å, or a refusal by name."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet as pq

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.importing.imports import import_store
from raysweep.data.store.store import Store
from raysweep.data.structures import Structures

KCAL, HARTREE, BOHR = 0.0433641042418, 27.211386245988, 0.529177210903
ENERGY = {
    "eV": 1.0, "ev": 1.0, "meV": 1e-3, "hartree": HARTREE, "Ha": HARTREE, "a.u.": HARTREE, "Hartrees": HARTREE,
    "kcal/mol": KCAL, "kcal mol^-1": KCAL, "kJ/mol": KCAL / 4.184, "Rydberg": HARTREE / 2,
}  # fmt: skip
LENGTH = {"Ang": 1.0, "Å": 1.0, "angstroms": 1.0, "\u212b": 1.0, "bohr": BOHR, "a0": BOHR, "nm": 10.0}
FORCES = {
    "eV/Å": 1.0, "eV/Ang": 1.0, "Hartree/Bohr": HARTREE / BOHR, "kcal/(mol*Å)": KCAL, "kcal mol⁻¹ Å⁻¹": KCAL,
    "kJ/mol/nm": KCAL / 41.84, "ha bohr^-1": HARTREE / BOHR,
}  # fmt: skip
SYMBOLS = {1: "H", 6: "C", 8: "O", 17: "Cl"}


@dataclass(frozen=True)
class Truth:
    """Structures in eV and Å; `numbers` has a row for each."""

    numbers: list[np.ndarray]
    positions: list[np.ndarray]
    forces: list[np.ndarray]
    energy: np.ndarray
    cell: np.ndarray | None = None
    pbc: np.ndarray | None = None
    charge: np.ndarray | None = None
    group: list[str] | None = None


def truth(seed: int, frames: int, *, one_molecule: bool, periodic: bool, charged: bool = False) -> Truth:
    rng = np.random.default_rng(seed)
    sizes = [4] * frames if one_molecule else rng.integers(2, 6, size=frames).tolist()
    first = rng.choice([1, 6, 8, 17], size=4)
    cell = np.eye(3) * rng.uniform(6, 9, size=(frames, 1, 3)) + np.tril(rng.uniform(0.1, 1, size=(frames, 3, 3)), -1)
    return Truth(
        numbers=[first if one_molecule else rng.choice([1, 6, 8, 17], size=n) for n in sizes],
        positions=[rng.normal(size=(n, 3)) * 3 for n in sizes],
        forces=[rng.normal(size=(n, 3)) for n in sizes],
        energy=rng.normal(size=frames) * 10 - 100,
        cell=cell if periodic else None,
        pbc=rng.random((frames, 3)) < 0.7 if periodic else None,
        charge=rng.integers(-2, 3, size=frames) if charged else None,
    )


def imported(path: Path, names: Names | None = None, **how: Any) -> tuple[Structures, Store]:
    """Return the structures of a file, those of lower energy first."""
    store = import_store(path.parent / "store", [path], names=names, group_by="structure", workers=1, **how)
    found = store.read(np.arange(len(store)))
    return found.take(np.argsort(found.energy)), store


def assert_right(found: Structures, expected: Truth) -> None:
    order = np.argsort(expected.energy)
    assert found.n_atoms.tolist() == [len(expected.numbers[i]) for i in order]
    assert found.numbers.tolist() == [z for i in order for z in expected.numbers[i]]
    np.testing.assert_allclose(found.energy, expected.energy[order], rtol=1e-6)
    np.testing.assert_allclose(found.positions, np.concatenate([expected.positions[i] for i in order]), 1e-6, 1e-6)
    np.testing.assert_allclose(found.forces, np.concatenate([expected.forces[i] for i in order]), 1e-6, 1e-6)
    if expected.cell is None or expected.pbc is None or not expected.pbc.any():
        assert found.pbc is None or not found.pbc.any()
    else:
        assert found.cell is not None
        assert found.pbc is not None
        assert found.pbc.tolist() == expected.pbc[order].tolist()
        within = expected.pbc[order].any(axis=1)  # a cell means nothing where nothing is periodic
        np.testing.assert_allclose(found.cell[within], expected.cell[order][within], rtol=1e-6, atol=1e-6)
    assert (found.charge is None) == (expected.charge is None)
    if expected.charge is not None:
        assert found.charge is not None
        assert found.charge.tolist() == expected.charge[order].tolist()


def folder(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("dialect")


@st.composite
def keys(draw: st.DrawFn) -> tuple[dict[str, str], Names | dict[str, str]]:
    """Return keys that are known, or any others that are named; a gradient is one by its key."""
    known = {
        "numbers": draw(st.sampled_from(["z", "Z", "numbers", "atomic_numbers", "nuclear_charges", "species"])),
        "positions": draw(st.sampled_from(["R", "coords", "coordinates", "positions", "pos", "geometries"])),
        "energy": draw(st.sampled_from(["E", "energy", "energies", "total_energy"])),
        "forces": draw(st.sampled_from(["F", "forces", "force", "gradient", "gradients"])),
    }
    if draw(st.booleans()):
        return known, {}
    named = {
        "numbers": "what",
        "positions": "where",
        "energy": "level2.E_tot",
        "forces": draw(st.sampled_from(["level2_f", "level2_grad"])),
    }
    return named, named


@st.composite
def scaled(draw: st.DrawFn, true: Truth, gradient: bool) -> tuple[dict[str, Any], dict[str, str], dict[str, str]]:
    """Return energies, positions, forces and cells in some units, the units as stated, and as named instead."""
    units = {
        "energy": draw(st.sampled_from(sorted(ENERGY))),
        "length": draw(st.sampled_from(sorted(LENGTH))),
    }
    per = draw(st.sampled_from([None, *sorted(FORCES)]))
    energy, length = ENERGY[units["energy"]], LENGTH[units["length"]]
    force = energy / length if per is None else FORCES[per]
    if per is not None:
        units["forces"] = per
    arrays = {
        "energy": true.energy / energy,
        "positions": [x / length for x in true.positions],
        "forces": [f / force * (-1 if gradient else 1) for f in true.forces],
        "cell": None if true.cell is None else true.cell / length,
    }
    named = draw(st.booleans())
    return arrays, {} if named else units, units if named else {}


def laid_out(draw: st.DrawFn, true: Truth, arrays: dict[str, Any]) -> dict[str, Any]:
    """Return arrays over frames in one of their shapes, types and paddings."""
    frames = len(true.energy)
    shape = draw(st.sampled_from(["plain", "flat rows", "all flat", "per frame"]))
    uniform = len({len(z) for z in true.numbers}) == 1
    found: dict[str, Any] = {"energy": arrays["energy"]}
    if uniform:
        same = all((z == true.numbers[0]).all() for z in true.numbers)
        found["numbers"] = true.numbers[0] if same and shape != "per frame" else np.stack(true.numbers)
        for name in ("positions", "forces"):
            stacked = np.stack(arrays[name])
            shapes = {"flat rows": (frames, -1), "all flat": (-1,)}
            found[name] = stacked.reshape(shapes.get(shape, stacked.shape))
    elif draw(st.booleans()):
        size = max(len(z) for z in true.numbers) + 1
        fill = draw(st.sampled_from([0, -1]))
        blank = draw(st.sampled_from([0.0, np.nan]))
        found["numbers"] = np.stack([np.pad(z, (0, size - len(z)), constant_values=fill) for z in true.numbers])
        for name in ("positions", "forces"):
            padded = [np.pad(x, ((0, size - len(x)), (0, 0)), constant_values=blank) for x in arrays[name]]
            found[name] = np.stack(padded)
        if draw(st.booleans()):
            found["n_atoms"] = np.array([len(z) for z in true.numbers], dtype=np.uint8)
    else:
        for name, values in (("numbers", true.numbers), *((k, arrays[k]) for k in ("positions", "forces"))):
            found[name] = np.concatenate(values)
        found["n_atoms"] = np.array([len(z) for z in true.numbers], dtype=np.uint8)
    if draw(st.booleans()):
        found["energy"] = found["energy"][:, None]
    if draw(st.booleans()) and (found["numbers"] > 0).all():
        found["numbers"] = np.vectorize(SYMBOLS.get)(found["numbers"])
    else:
        found["numbers"] = found["numbers"].astype(draw(st.sampled_from(["i1", ">i4", "f4", "i8"])))
    order = draw(st.sampled_from(["C", "F"]))
    swapped = draw(st.sampled_from([">f8", "<f8"]))
    for name in ("energy", "positions", "forces"):
        found[name] = np.asarray(found[name], dtype=swapped, order=order)  # type: ignore[call-overload]
    if true.cell is not None:
        flat = draw(st.booleans())
        found["cell"] = arrays["cell"].reshape(frames, 9) if flat else arrays["cell"]
        assert true.pbc is not None
        found["pbc"] = true.pbc.astype(draw(st.sampled_from(["?", "i1", "f8"])))
    if true.charge is not None:
        found["charge"] = true.charge.astype(draw(st.sampled_from(["i8", "f4"])))
    return found


@st.composite
def dialects(draw: st.DrawFn) -> tuple[Truth, dict[str, Any], dict[str, str], Names]:
    """Return structures, the arrays of a file by key, the units that it states, and what is named in the import."""
    true = truth(
        draw(st.integers(0, 99)), draw(st.integers(4, 7)), one_molecule=draw(st.booleans()),
        periodic=draw(st.booleans()), charged=draw(st.booleans()),
    )  # fmt: skip
    own, named = draw(keys())
    arrays, stated, asked = draw(scaled(true, "grad" in own["forces"]))
    found = {own.get(name, name): values for name, values in laid_out(draw, true, arrays).items()}
    units = {f"{name}_unit": unit for name, unit in asked.items()}
    return true, found, stated, Names(**named, **units)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(dialect=dialects())
def test_npz_of_any_layout_is_read_as_it_is_meant(
    tmp_path_factory: pytest.TempPathFactory, dialect: tuple[Truth, dict[str, Any], dict[str, str], Names]
) -> None:
    true, arrays, stated, names = dialect
    said = {{"energy": "e_unit", "length": "r_unit", "forces": "forces_unit"}[name]: u for name, u in stated.items()}
    path = folder(tmp_path_factory) / "x.npz"
    np.savez(path, **arrays, **{name: np.array(unit) for name, unit in said.items()})  # type: ignore[arg-type]
    assert_right(imported(path, names)[0], true)


@settings(max_examples=25, deadline=None)
@given(dialect=dialects(), place=st.sampled_from(["", "m", "data/C2/rxn1"]), at=st.sampled_from(["array", "root"]))
def test_hdf5_of_any_layout_is_read_as_it_is_meant(
    tmp_path_factory: pytest.TempPathFactory,
    dialect: tuple[Truth, dict[str, Any], dict[str, str], Names],
    place: str,
    at: str,
) -> None:
    true, arrays, stated, names = dialect
    path = folder(tmp_path_factory) / "x.h5"
    with h5py.File(path, "w") as file:
        group = file.require_group(place) if place else file
        for key, values in arrays.items():
            text = values.dtype.kind == "U"
            if key in ("pbc", "charge") and at == "root":
                group.attrs[key] = values
            else:
                group.create_dataset(key, data=values.astype(object) if text else values,
                                     dtype=h5py.string_dtype() if text else None)  # fmt: skip
        own = {"energy": ENERGY, "length": LENGTH, "forces": FORCES}
        for quantity in own:
            if quantity in stated:
                if at == "root":
                    file.attrs[f"{quantity}_units"] = stated[quantity]
                else:
                    key = next(k for k in arrays if k in of_quantity(quantity, names))
                    group[key].attrs["units"] = stated[quantity]
    assert_right(imported(path, names)[0], true)


@pytest.mark.parametrize("positions", ["coordinates", "conformations"])
def test_hdf5_is_of_a_known_data_set_by_its_labels_and_not_by_a_key_that_others_use(tmp_path: Path, positions: str):
    arrays = plain()
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for key, values in {"z": arrays["z"], positions: arrays["R"], "E": arrays["E"], "F": arrays["F"]}.items():
            file.create_dataset(f"m/{key}", data=values)
    with pytest.raises(DataError, match="no unit of energy is stated for 'E'"):
        imported(tmp_path / "x.h5")
    found, _ = imported(tmp_path / "x.h5", Names(energy_unit="eV", length_unit="Å"))
    assert found.energy.tolist() == sorted(arrays["E"].tolist())


def of_quantity(quantity: str, names: Names) -> list[str]:
    known = {
        "energy": ["E", "energy", "energies", "total_energy"],
        "length": ["R", "coords", "coordinates", "positions", "pos", "geometries"],
        "forces": ["F", "forces", "force", "gradient", "gradients"],
    }[quantity]
    named = {"energy": names.energy, "length": names.positions, "forces": names.forces}[quantity]
    return [named] if named else known


@st.composite
def tables(draw: st.DrawFn) -> tuple[Truth, pa.Table, Names]:
    """Return structures, and a table of them in some of Arrow's types."""
    true = truth(
        draw(st.integers(0, 99)), draw(st.integers(4, 7)), one_molecule=draw(st.booleans()),
        periodic=draw(st.booleans()), charged=draw(st.booleans()),
    )  # fmt: skip
    own, named = draw(keys())
    arrays, stated, asked = draw(scaled(true, "grad" in own["forces"]))
    listing = draw(st.sampled_from([pa.list_, pa.large_list]))
    number = draw(st.sampled_from([pa.float64(), pa.decimal128(38, 20)]))
    triple = draw(st.sampled_from([listing(number), pa.list_(number, 3), None]))

    def vectors(values: list[np.ndarray]) -> pa.Array:
        rows = [v.reshape(-1).tolist() if triple is None else v.tolist() for v in values]
        plain = pa.array(rows, type=listing(pa.float64() if triple is None else listing(pa.float64())))
        return (
            plain.cast(listing(pa.float64() if triple is None else triple), safe=False)
            if number == pa.float64()
            else plain
        )

    numbers = [[SYMBOLS[z] for z in row] for row in true.numbers] if draw(st.booleans()) else true.numbers
    columns = {
        own["numbers"]: pa.array([list(row) for row in numbers]),
        own["positions"]: vectors(arrays["positions"]),
        own["forces"]: vectors(arrays["forces"]),
        own["energy"]: pa.array(arrays["energy"], type=draw(st.sampled_from([pa.float64()]))),
        "group": pa.array([f"{i:03d}" for i in range(len(true.energy))]).dictionary_encode(),
    }
    if true.cell is not None:
        assert true.pbc is not None
        flat = draw(st.booleans())
        columns["cell"] = pa.array([c.reshape(-1).tolist() if flat else c.tolist() for c in arrays["cell"]])
        columns["pbc"] = pa.array(true.pbc.tolist(), type=pa.list_(pa.bool_(), draw(st.sampled_from([-1, 3]))))
    if true.charge is not None:
        columns["charge"] = pa.array(true.charge, type=draw(st.sampled_from([pa.int8(), pa.float32()])))
    table = pa.table(columns)
    at = draw(st.sampled_from(["field", "schema", "pandas"]))
    quantity = {"energy": own["energy"], "length": own["positions"], "forces": own["forces"]}
    if at == "field":
        fields = {key: table.schema.field(key) for key in table.schema.names}
        for name, unit in stated.items():
            fields[quantity[name]] = fields[quantity[name]].with_metadata({"unit": unit})
        table = table.cast(pa.schema(list(fields.values())))
    elif at == "schema":
        table = table.replace_schema_metadata({f"{name}_unit": unit for name, unit in stated.items()})
    else:
        about = {"attributes": {"units": stated}, "columns": [], "index_columns": []}
        table = table.replace_schema_metadata({"pandas": json.dumps(about)})
    # Parquet is in eV and Å where nothing is stated
    units = {f"{name}_unit": unit for name, unit in asked.items()}
    return true, table, Names(**named, **units)  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(dialect=tables(), rows=st.sampled_from([2, 100]))
def test_parquet_of_any_types_is_read_as_it_is_meant(
    tmp_path_factory: pytest.TempPathFactory, dialect: tuple[Truth, pa.Table, Names], rows: int
) -> None:
    true, table, names = dialect
    path = folder(tmp_path_factory) / "x.parquet"
    pq.write_table(table, path, row_group_size=rows)
    assert_right(imported(path, names)[0], true)


def plain(frames: int = 6) -> dict[str, Any]:
    """Return MD17's arrays, of one molecule of three atoms."""
    rng = np.random.default_rng(0)
    return {
        "z": np.array([8, 1, 1]), "R": rng.normal(size=(frames, 3, 3)), "E": rng.normal(size=frames) - 50,
        "F": rng.normal(size=(frames, 3, 3)),
    }  # fmt: skip


FAULTS: list[tuple[Callable[[dict[str, Any]], dict[str, Any]], dict[str, Any], str]] = [
    (lambda a: {**a, "F": a["F"][:, :2]}, {}, r"shapes do not match: 3 atomic numbers .* forces \[6, 2, 3\]"),
    (lambda a: {**a, "R": a["R"].transpose(0, 2, 1)[:, :, :2]}, {}, "shapes do not match"),
    (lambda a: {**a, "E": np.stack([a["E"]] * 2, axis=1)}, {}, r"shapes do not match.*energies \[6, 2\]"),
    (lambda a: {**a, "z": np.array([8, 1, 119])}, {}, "outside 1 to 118"),
    (lambda a: {**a, "z": np.array([8, 1, 0])}, {}, "atomic numbers 0 to 0, outside 1 to 118"),
    (lambda a: {**a, "z": np.array([8, 1, 1.5])}, {}, "unknown elements"),
    (lambda a: {**a, "z": np.array([300, 257, 257])}, {}, "outside 1 to 118"),
    (lambda a: {**a, "E": a["E"].astype(object)}, {}, "'E' is an array of Python objects"),
    (lambda a: {**a, "E": a["E"].astype(complex)}, {}, "of type complex128, not numbers"),
    (lambda a: {**a, "e_unit": np.array("furlong")}, {}, "e_unit: unknown unit of energy 'furlong'"),
    (lambda a: {**a, "e_unit": np.array("eV", dtype=object)}, {}, "e_unit is a pickled Python object"),
    (lambda a: {**a, "e_unit": np.array("eV"), "E_unit": np.array("hartree")}, {}, "'e_unit' states 'eV'.* 'hartree'"),
    (lambda a: {**a, "e_unit": np.array("eV")}, {"energy_unit": "kcal/mol"}, "energy_unit is 'kcal/mol', but .* 'eV'"),
    (lambda a: {**a, "supercell": np.eye(3) * 9}, {}, "supercell may be a cell; name it with --cell-key"),
    (lambda a: {**a, "pbc": np.array([True] * 3)}, {}, "periodic, but the cell has no volume"),
    (lambda a: {**a, "cell": np.eye(3)[:2]}, {}, "a cell of shape|2 cells, but 6 energies"),
    (lambda a: {**a, "cell": np.eye(3) * 9, "pbc": np.array([2, 0, 1])}, {}, "pbc has values other than true"),
    (lambda a: {**a, "charge": np.zeros(3)}, {}, "'charge' has 3 values for 6 structures; .*--charge-key ''"),
    (lambda a: {**a, "charge": np.full(6, 200)}, {}, "charge is not a small whole number"),
    (lambda a: {**a, "N": np.full(6, 2)}, {}, "'N' says other numbers of atoms"),
    (lambda a: {("positions" if k == "R" else k): v for k, v in a.items()}, {}, "no unit of energy is stated for 'E'"),
    (lambda a: a, {"energy": "Energy"}, r": there is no 'Energy' \(--energy-key\)"),
    (lambda a: a, {"energy": "E", "forces": "forc"}, r"there is no 'forc' \(--forces-key\).* It has E, F, R, z"),
    (lambda a: a, {"positions": "RR"}, r"there is no 'RR' \(--positions-key\)"),
    (lambda a: a, {"numbers": "zz"}, r"there is no 'zz' \(--numbers-key\)"),
    (lambda a: a, {"cell": "lat"}, r"there is no 'lat' \(--cell-key\)"),
    (lambda a: a, {"group": "mol"}, r"there is no 'mol' \(--group-key\)"),
    (lambda a: a, {"charge": "q"}, r"there is no 'q' \(--charge-key\)"),
    (lambda a: a, {"energy_unit": "furlong"}, "unknown unit of energy 'furlong'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "named", "said"), FAULTS, ids=[said[:40] for _, _, said in FAULTS])
def test_npz_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], named: dict[str, Any], said: str
) -> None:
    np.savez(tmp_path / "x.npz", **change(plain()))
    with pytest.raises(DataError, match=f"x.npz.*({said})"):
        imported(tmp_path / "x.npz", Names(**named))
    assert not (tmp_path / "store").exists()
