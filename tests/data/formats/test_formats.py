"""Formats that are read without the library that wrote them: each file is written by that library, and read back."""

import json
import zlib
from collections.abc import Callable
from pathlib import Path

import ase_db_backends  # noqa: F401  (registers .aselmdb with ASE)
import lmdb
import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import iread
from ase.io import write as ase_write
from labelled_files import labelled, write_aselmdb, write_mptrj

from raysweep.core.errors import DataError
from raysweep.data.formats import mptrj
from raysweep.data.formats.ase import aselmdb
from raysweep.data.formats.fields.blocks import Bad, Block, Names, Torn
from raysweep.data.formats.xyz import atoms as xyz_atoms
from raysweep.data.formats.xyz import extxyz
from raysweep.data.formats.xyz.fixed_width import fixed_columns
from raysweep.data.importing.imports import import_store
from raysweep.data.structures import Structures, concatenate


def read_all(module: object, path: Path, names: Names | None = None) -> Structures:
    parts = []
    for span in module.spans(path, names or Names()):  # type: ignore[attr-defined]
        assert not isinstance(span, Bad), span
        for chunk in module.read(path, span, names or Names()):  # type: ignore[attr-defined]
            assert isinstance(chunk, Block), chunk
            parts.append(chunk.structures)
    return concatenate(parts)


def assert_equal(found: Structures, frames: list[Atoms], *, with_cell: bool = True) -> None:
    """Compare structures whatever their order; all energies differ."""
    found = found.take(np.argsort(found.energy))
    frames = sorted(frames, key=lambda atoms: float(atoms.get_potential_energy()))
    assert found.n_atoms.tolist() == [len(atoms) for atoms in frames]
    assert found.numbers.tolist() == [z for atoms in frames for z in atoms.numbers.tolist()]
    np.testing.assert_allclose(found.energy, [atoms.get_potential_energy() for atoms in frames], rtol=1e-12)
    np.testing.assert_allclose(found.positions, np.concatenate([atoms.positions for atoms in frames]), atol=1e-6)
    np.testing.assert_allclose(found.forces, np.concatenate([atoms.get_forces() for atoms in frames]), atol=1e-6)
    if with_cell:
        assert found.cell is not None
        assert found.pbc is not None
        np.testing.assert_allclose(found.cell, np.stack([atoms.cell.array for atoms in frames]), atol=1e-6)
        assert found.pbc.tolist() == [atoms.pbc.tolist() for atoms in frames]


def test_aselmdb_records_come_in_with_cell_charge_spin_group_and_source(tmp_path: Path) -> None:
    frames = labelled()
    write_aselmdb(tmp_path / "a.aselmdb", frames)
    found = read_all(aselmdb, tmp_path / "a.aselmdb")
    assert_equal(found, frames)
    assert found.charge is not None
    assert found.spin is not None
    assert found.charge.tolist() == [i % 3 - 1 for i in range(24)]
    assert found.spin.tolist() == [1 + i % 2 for i in range(24)]
    assert found.group.tolist() == [f"g{i % 8}" for i in range(24)]
    (span,) = aselmdb.spans(tmp_path / "a.aselmdb", Names())
    assert not isinstance(span, Bad)
    (part,) = aselmdb.read(tmp_path / "a.aselmdb", span, Names())
    assert isinstance(part, Block)
    assert part.source is not None
    assert part.source.tolist() == [f"part{i % 2}" for i in range(24)]


def test_deleted_records_are_left_out_and_missing_ones_are_bad(tmp_path: Path) -> None:
    frames = labelled(6)
    path = tmp_path / "a.aselmdb"
    write_aselmdb(path, frames)
    database = connect(str(path), type="aselmdb")
    database.delete([2, 5])
    database.close()
    kept = [frames[i] for i in (0, 2, 3, 5)]
    assert_equal(read_all(aselmdb, path), kept)
    with lmdb.open(str(path), subdir=False, map_size=2**30) as environment, environment.begin(write=True) as change:
        change.delete(b"3")
        change.put(b"4", zlib.compress(b'{"numbers": [1'))
        row = json.loads(zlib.decompress(bytes(change.get(b"1"))))
        row["forces"]["__ndarray__"][2][0] = "none"
        change.put(b"1", zlib.compress(json.dumps(row).encode()))
        row["forces"]["__ndarray__"][2].pop()
        change.put(b"6", zlib.compress(json.dumps(row).encode()))
    (span,) = aselmdb.spans(path, Names())
    assert not isinstance(span, Bad)
    bad = [chunk for chunk in aselmdb.read(path, span, Names()) if isinstance(chunk, Bad)]
    assert [one.where.rsplit(", ")[1] for one in bad] == ["record 3", "record 4", "record 6", "record 1"]
    assert bad[0].reason == "the record is missing"
    assert "cannot be read" in bad[1].reason
    assert "shapes do not match: 4 atoms, and 12 numbers of positions, 11 of forces" in bad[2].reason
    assert "not numbers" in bad[3].reason


def test_a_cut_aselmdb_is_named_and_never_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "a.aselmdb"
    write_aselmdb(path, labelled(200))
    whole = path.read_bytes()
    for share in (0.9, 0.5, 0.2, 0.01):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(Torn, match=r"a.aselmdb: torn"):
            list(aselmdb.spans(path, Names()))
    path.write_bytes(b"not an LMDB" * 1000)
    with pytest.raises(Torn, match=r"a.aselmdb: torn, or not an LMDB file"):
        list(aselmdb.spans(path, Names()))


def test_mptrj_frames_come_in_with_the_uncorrected_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [atoms for atoms in labelled(60) if atoms.pbc.all()]
    path = tmp_path / "MPtrj.json"
    write_mptrj(path, frames)
    assert mptrj.looks_like_it(path)
    by_material = [atoms for k in range(5) for atoms in frames[k::5]]
    assert_equal(read_all(mptrj, path), by_material)
    monkeypatch.setattr(mptrj, "SPAN_BYTES", 1000)
    spans = list(mptrj.spans(path, Names()))
    assert len(spans) == 5
    assert_equal(read_all(mptrj, path), by_material)
    corrected = read_all(mptrj, path, Names(energy="corrected_total_energy"))
    expected = [atoms.get_potential_energy() - 3.0 for atoms in by_material]
    np.testing.assert_allclose(corrected.energy, expected, rtol=1e-12)


def test_mptrj_reads_corrected_energies_only_where_they_are_named(tmp_path: Path) -> None:
    frames = [atoms for atoms in labelled(9) if atoms.pbc.all()]
    path = tmp_path / "MPtrj.json"
    write_mptrj(path, frames)
    content = json.loads(path.read_text())
    first = next(iter(content["mp-0"].values()))
    del first["uncorrected_total_energy"]
    path.write_text(json.dumps(content, indent=2))
    with pytest.raises(DataError, match=r"mp-0, frame mp-0-0-0: .*there is no 'uncorrected_total_energy'"):
        import_store(tmp_path / "s", [path])
    store = import_store(tmp_path / "s", [path], skip_bad=True, group_by="structure")
    assert len(store) == len(frames) - 1
    assert sum(store.manifest.rejected.values()) == 1
    raw = sorted(atoms.get_potential_energy() for atoms in frames)
    np.testing.assert_allclose(sorted(store.read(np.arange(len(store))).energy), sorted(raw)[1:], rtol=1e-12)
    found = read_all(mptrj, path, Names(energy="energy_per_atom"))
    np.testing.assert_allclose(sorted(found.energy), np.array(raw) - 3.0, rtol=1e-12)


def test_a_cut_mptrj_is_named_and_its_whole_materials_can_be_kept(tmp_path: Path) -> None:
    frames = [atoms for atoms in labelled(30) if atoms.pbc.all()]
    path = tmp_path / "MPtrj.json"
    write_mptrj(path, frames)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"MPtrj.json, material 4: the file ends within this material"):
        import_store(tmp_path / "s", [path])
    store = import_store(tmp_path / "s", [path], skip_bad=True)
    assert len(store) == 8
    assert sum(store.manifest.rejected.values()) == 1


@pytest.mark.parametrize("layout", ["plain", "mask", "numbers"])
def test_extxyz_is_read_as_ase_reads_it(tmp_path: Path, layout: str) -> None:
    frames = labelled()
    path = tmp_path / "x.extxyz"
    ase_write(path, frames, columns=["symbols", "positions", "move_mask", "forces"] if layout == "mask" else None)
    if layout == "numbers":
        text = path.read_text().replace("species:S:1", "Z:I:1")
        path.write_text(text.replace("\nAr ", "\n18 ").replace("\nCu ", "\n29 "))
    found = read_all(extxyz, path)
    assert_equal(found, list(iread(path)))
    assert found.charge is not None
    assert sorted(found.charge.tolist()) == sorted(i % 3 - 1 for i in range(24))
    assert sorted(found.group.tolist()) == sorted(f"g{i % 8}" for i in range(24))


def test_lines_of_one_width_are_read_to_the_bit_as_words_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs, zeros, large and small numbers; and lines that only look alike are left to the general way."""
    rng = np.random.default_rng(0)
    atoms = Atoms("HHeCu8", rng.normal(size=(10, 3)) * 10.0 ** rng.integers(-8, 6, size=(10, 1)))
    atoms.positions[0] = [0.0, -1e-9, 999999.99999999]
    forces = rng.normal(size=(10, 3)) * 1e3
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=forces)
    ase_write(tmp_path / "x.extxyz", [atoms] * 3)
    body = (tmp_path / "x.extxyz").read_bytes().split(b"\n", 2)[2].rsplit(b"\n10\n")[0].split(b"\n10\n")[0] + b"\n"
    columns = {b"species": (0, 1, b"S"), b"pos": (1, 3, b"R"), b"forces": (4, 3, b"R")}
    fixed = fixed_columns(body, columns, b"forces")
    assert fixed is not None
    monkeypatch.setattr(xyz_atoms, "fixed_columns", lambda *_: None)
    general = xyz_atoms.table(body, columns, b"forces", 10)
    for name in ("numbers", "positions", "forces"):
        assert fixed[name].tobytes() == general[name].tobytes()
    for old, new in ((b"999999.9", b"999e99.9"), (b".", b" "), (b"H ", b"H1"), (b" -", b"--"), (b"0.0", b"0 0")):
        assert fixed_columns(body.replace(old, new, 1), columns, b"forces") is None or old == b"H "


def test_spans_of_extxyz_cover_all_frames_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = labelled(40)
    path = tmp_path / "x.extxyz"
    ase_write(path, frames)
    monkeypatch.setattr(extxyz, "SPAN_BYTES", 2000)
    spans = [span for span in extxyz.spans(path, Names()) if not isinstance(span, Bad)]
    assert len(spans) > 5
    assert [span.stop for span in spans[:-1]] == [span.start for span in spans[1:]]
    assert spans[-1].stop == path.stat().st_size
    assert_equal(read_all(extxyz, path), list(iread(path)))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text.replace("Ar ", "Qq ", 1), r"frame 0: cannot be read \('Qq' is not the symbol of an element"),
        (lambda text: text.replace("Ar ", "Ar nan ", 1), r"frame 0: cannot be read"),
        (lambda text: text.replace("energy=-", "energy=--", 1), "frame 0: energy is '--1.*', not a number"),
        (lambda text: "0\n\n" + text, "frame 0: no "),
        (lambda text: text[: len(text) - 100], "ends within this frame|cannot be read"),
        (lambda text: text + "hello\n", "'hello' is not a number of atoms"),
        (lambda text: text.replace('pbc="T T T"', 'pbc="T T"', 1), "frame 0: .*pbc is 'T T', not three"),
        (lambda text: text.replace('Lattice="5.3', 'Lattice="0.0', 1), "frame 0: periodic, but the cell has no volume"),
    ],
)
def test_bad_frames_of_extxyz_are_named_or_the_rest_is_kept(
    tmp_path: Path, damage: Callable[[str], str], reason: str
) -> None:
    path = tmp_path / "x.extxyz"
    ase_write(path, labelled())
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=f"x.extxyz, .*({reason})"):
        import_store(tmp_path / "s", [path])
    store = import_store(tmp_path / "s", [path], skip_bad=True)
    assert len(store) in (23, 24)
    assert sum(store.manifest.rejected.values()) == 1


@pytest.mark.parametrize("write", [write_aselmdb, write_mptrj])
def test_forces_are_minus_the_gradient_of_the_energy_after_import(
    tmp_path: Path, write: Callable[[Path, list[Atoms]], None]
) -> None:
    """Central differences over displaced copies in the file: units and signs together."""
    base = labelled(1)[0]
    step, frames = 1e-3, [base]
    for atom, axis in ((0, 0), (1, 2), (3, 1)):
        for sign in (1, -1):
            moved = base.copy()
            moved.positions[atom, axis] += sign * step
            moved.calc = LennardJones(sigma=3.0, epsilon=0.05, rc=6.0, smooth=True)
            energy, forces = moved.get_potential_energy(), moved.get_forces()
            moved.calc = SinglePointCalculator(moved, energy=energy - 1e4, forces=forces)
            frames.append(moved)
    path = tmp_path / ("a.aselmdb" if write is write_aselmdb else "MPtrj.json")
    write(path, [*frames, *labelled(3)[:1]])
    store = import_store(tmp_path / "s", [path], group_by="structure", validation_fraction=0.2)
    everything = store.read(np.arange(len(store)))
    n = len(base)
    x = everything.positions.reshape(-1, n, 3).astype(np.float64)
    origin = int(np.abs(x - base.positions).max(axis=(1, 2)).argmin())
    for atom, axis in ((0, 0), (1, 2), (3, 1)):
        away = x[:, atom, axis] - base.positions[atom, axis]
        up, down = int(away.argmax()), int(away.argmin())
        assert (away[up], away[down]) == pytest.approx((step, -step), abs=1e-6)
        slope = (everything.energy[up] - everything.energy[down]) / (2 * step)
        assert -slope == pytest.approx(float(everything.forces.reshape(-1, n, 3)[origin, atom, axis]), abs=2e-5)


def test_named_units_of_aselmdb_are_converted(tmp_path: Path) -> None:
    frames = labelled(6)
    write_aselmdb(tmp_path / "a.aselmdb", frames)
    plain = read_all(aselmdb, tmp_path / "a.aselmdb")
    scaled = []
    for span in aselmdb.spans(tmp_path / "a.aselmdb", names := Names(energy_unit="hartree", length_unit="bohr")):
        assert not isinstance(span, Bad)
        scaled += [chunk.structures for chunk in aselmdb.read(tmp_path / "a.aselmdb", span, names)]  # type: ignore[union-attr]
    found = concatenate(scaled)
    np.testing.assert_allclose(found.energy, plain.energy * units.Hartree, rtol=1e-7)
    np.testing.assert_allclose(found.forces, plain.forces * (units.Hartree / units.Bohr), rtol=1e-5, atol=1e-6)
    assert found.cell is not None
    assert plain.cell is not None
    np.testing.assert_allclose(found.cell, plain.cell * units.Bohr, rtol=1e-5)
    with pytest.raises(DataError, match="unknown unit of energy 'furlong'"):
        list(aselmdb.spans(tmp_path / "a.aselmdb", Names(energy_unit="furlong")))
