"""Every format is written with its own library, in its own units, from labels that tblite gave; then imported."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write as ase_write
from hypothesis import given, settings
from hypothesis import strategies as st

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.formats.fields.units import ENERGY_EV, LENGTH_ANGSTROM
from raysweep.data.importing.imports import import_store
from raysweep.data.store.store import Store

Molecule = tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""(name, numbers [n], positions [m, n, 3] Å, energies [m] eV, forces [m, n, 3] eV/Å)"""


@pytest.fixture(scope="module")
def molecules(real_store: Store) -> list[Molecule]:
    """Return the real store's structures by molecule, those of three or more structures."""
    everything = real_store.read(np.arange(len(real_store)))
    found = []
    for name in sorted(set(everything.group)):
        mine = everything.take(np.flatnonzero(everything.group == name))
        n = int(mine.n_atoms[0])
        vectors = (mine.positions.reshape(-1, n, 3), mine.forces.reshape(-1, n, 3))
        positions, forces = (v.astype(np.float64) for v in vectors)
        found.append((name, mine.numbers[:n].astype(np.int64), positions, mine.energy, forces))
    assert len(found) >= 12
    return found


def write_spice(path: Path, molecules: list[Molecule]) -> None:
    with h5py.File(path, "w") as file:
        for name, numbers, positions, energy, forces in molecules:
            group = file.create_group(name)
            group["atomic_numbers"] = numbers.astype(np.int16)
            group["conformations"] = positions / units.Bohr
            group["dft_total_energy"] = energy / units.Hartree
            group["dft_total_gradient"] = -forces / (units.Hartree / units.Bohr)
            group["conformations"].attrs["units"] = "bohr"
            group["dft_total_energy"].attrs["units"] = "hartree"
            group["dft_total_gradient"].attrs["units"] = "hartree/bohr"


def write_ani1x(path: Path, molecules: list[Molecule]) -> None:
    with h5py.File(path, "w") as file:
        for name, numbers, positions, energy, forces in molecules:
            group = file.create_group(name)
            group["atomic_numbers"] = numbers.astype(np.uint8)
            group["coordinates"] = positions.astype(np.float32)
            group["wb97x_dz.energy"] = energy / units.Hartree
            group["wb97x_dz.forces"] = (forces / units.Hartree).astype(np.float32)


def write_extxyz(path: Path, molecules: list[Molecule]) -> None:
    frames = []
    for name, numbers, positions, energy, forces in molecules:
        for x, e, f in zip(positions, energy, forces, strict=True):
            atoms = Atoms(numbers, x, info={"group": name})
            atoms.calc = SinglePointCalculator(atoms, energy=e, forces=f)
            frames.append(atoms)
    ase_write(path, frames, format="extxyz")


def write_md17(path: Path, molecule: Molecule, *, revised: bool) -> None:
    _, numbers, positions, energy, forces = molecule
    scale = units.kcal / units.mol
    if revised:
        arrays = {"nuclear_charges": numbers, "coords": positions, "energies": energy / scale, "forces": forces / scale}
        np.savez(path, **arrays, old_energies=energy * 0, old_indices=np.arange(len(energy)))
    else:
        shape = energy[:, None] / scale
        np.savez(path, z=numbers, R=positions, E=shape, F=forces / scale, name=np.array("x"), r_unit=np.array("Ang"))


def assert_same(store: Store, molecules: list[Molecule], position_tolerance: float, force_tolerance: float) -> None:
    """Find every structure of `molecules` in the store, by its group and its nearest energy."""
    found = store.read(np.arange(len(store)))
    assert len(found) == sum(len(energy) for *_, energy, _ in molecules)
    for name, numbers, positions, energy, forces in molecules:
        mine = found.take(np.flatnonzero(found.group == name))
        rows = np.array([np.abs(mine.energy - e).argmin() for e in energy])
        assert sorted(rows.tolist()) == list(range(len(energy)))
        mine = mine.take(rows)
        assert mine.numbers.reshape(len(energy), -1).tolist() == [numbers.tolist()] * len(energy)
        np.testing.assert_allclose(mine.energy, energy, rtol=1e-7)  # ASE's hartree is that of CODATA 2014
        np.testing.assert_allclose(mine.positions.reshape(positions.shape), positions, atol=position_tolerance)
        np.testing.assert_allclose(mine.forces.reshape(forces.shape), forces, atol=force_tolerance, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "write"), [("s.hdf5", write_spice), ("a.h5", write_ani1x), ("x.extxyz", write_extxyz)]
)
def test_structures_come_in_with_their_units_and_signs(
    tmp_path: Path, molecules: list[Molecule], name: str, write: Callable[[Path, list[Molecule]], None]
) -> None:
    write(tmp_path / name, molecules)
    store = import_store(tmp_path / "store", [tmp_path / name], licence="CC0-1.0")
    assert_same(store, molecules, 1e-6, 1e-5)
    assert store.manifest.licence == "CC0-1.0"
    assert store.manifest.source == f"imported from {name}"
    assert store.manifest.rejected == {}
    assert 1.0 < store.manifest.rms_force < 2.0
    assert store.read([0]).cell is None


@pytest.mark.parametrize("revised", [True, False])
def test_md17_files_are_molecules(tmp_path: Path, molecules: list[Molecule], revised: bool) -> None:
    for i, molecule in enumerate(molecules[:3]):
        write_md17(tmp_path / f"m{i}.npz", molecule, revised=revised)
    store = import_store(tmp_path / "store", [tmp_path / f"m{i}.npz" for i in range(3)])
    assert_same(store, [(f"m{i}", *molecule[1:]) for i, molecule in enumerate(molecules[:3])], 1e-6, 1e-5)


def test_one_molecule_can_only_be_split_by_structure(tmp_path: Path, molecules: list[Molecule]) -> None:
    write_md17(tmp_path / "aspirin.npz", molecules[0], revised=True)
    with pytest.raises(
        DataError, match=r"1 group\(s\) cannot be split .* group_by=\"structure\" \(--group-by structure\)"
    ):
        import_store(tmp_path / "store", [tmp_path / "aspirin.npz"])
    store = import_store(tmp_path / "store", [tmp_path / "aspirin.npz"], group_by="structure")
    assert store.manifest.validation_structures >= 1
    assert store.manifest.structures == len(molecules[0][3])


def test_groups_by_formula_keep_isomers_together(tmp_path: Path, molecules: list[Molecule]) -> None:
    first = molecules[0]
    isomer = ("another name", *first[1:])
    write_spice(tmp_path / "s.h5", [first, isomer, *molecules[1:]])
    store = import_store(tmp_path / "store", [tmp_path / "s.h5"], group_by="formula")
    groups = set(store.read(np.arange(len(store))).group)
    assert len(groups) == len({tuple(sorted(numbers.tolist())) for _, numbers, *_ in molecules})


def test_ani1x_conformations_without_a_label_are_counted_and_left_out(
    tmp_path: Path, molecules: list[Molecule]
) -> None:
    name, numbers, positions, energy, forces = molecules[0]
    energy, forces = energy.copy(), forces.copy()
    energy[0], forces[1, 0, 0] = np.nan, np.nan
    write_ani1x(tmp_path / "a.h5", [(name, numbers, positions, energy, forces), *molecules[1:]])
    store = import_store(tmp_path / "store", [tmp_path / "a.h5"])
    assert store.manifest.rejected == {"label missing": 2}
    assert_same(store, [(name, numbers, positions[2:], energy[2:], forces[2:]), *molecules[1:]], 1e-6, 1e-5)


def test_bad_records_are_named_or_counted_when_asked(tmp_path: Path, molecules: list[Molecule]) -> None:
    with_fault = [(name, numbers, x.copy(), e.copy(), f.copy()) for name, numbers, x, e, f in molecules]
    with_fault[0][2][2, 0, 0] = np.nan
    with_fault[1][3][1] = np.inf
    numbers = with_fault[2][1].copy()
    numbers[0] = 0
    with_fault[2] = (with_fault[2][0], numbers, *with_fault[2][2:])
    write_spice(tmp_path / "s.h5", with_fault)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        del file[with_fault[3][0]]["conformations"]
        file[with_fault[3][0]]["conformations"] = np.zeros((2, 3))
        del file[with_fault[4][0]]["dft_total_gradient"]
    with pytest.raises(DataError, match=r"s.h5, group .*: .*\. Leave such records out with skip_bad"):
        import_store(tmp_path / "store", [tmp_path / "s.h5"])
    assert not (tmp_path / "store").exists()
    store = import_store(tmp_path / "store", [tmp_path / "s.h5"], skip_bad=True)
    rejected = store.manifest.rejected
    sizes = [len(energy) for *_, energy, _ in molecules]
    assert rejected["positions not finite"] == rejected["energy or forces are not finite"] == 1
    assert sum(n for reason, n in rejected.items() if "outside 1 to 118" in reason) == sizes[2]
    assert sum(n for reason, n in rejected.items() if "shapes do not match" in reason) == sizes[3]
    assert sum(n for reason, n in rejected.items() if "there is no 'dft_total_gradient'" in reason) == sizes[4]
    assert len(store) == sum(sizes) - 2 - sum(sizes[2:5])


def test_units_that_the_file_states_are_those_of_the_format_or_others(
    tmp_path: Path, molecules: list[Molecule]
) -> None:
    write_spice(tmp_path / "s.h5", molecules)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        first = file[molecules[1][0]]
        first["conformations"][...] = molecules[1][2]
        first["conformations"].attrs["units"] = "angstrom"
    assert_same(import_store(tmp_path / "store", [tmp_path / "s.h5"]), molecules, 1e-6, 1e-5)
    with h5py.File(tmp_path / "s.h5", "a") as file:
        file[molecules[1][0]]["conformations"].attrs["units"] = "furlong"
    with pytest.raises(DataError, match=r"group .*conformations: unknown unit of length 'furlong'"):
        import_store(tmp_path / "other", [tmp_path / "s.h5"])


@pytest.mark.parametrize("name", ["s.h5", "m.npz", "x.extxyz"])
def test_cut_files_are_named(tmp_path: Path, molecules: list[Molecule], name: str) -> None:
    file = tmp_path / name
    if name == "s.h5":
        write_spice(file, molecules)
    elif name == "m.npz":
        write_md17(file, molecules[0], revised=True)
    else:
        write_extxyz(file, molecules)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    with pytest.raises(DataError, match=name):
        import_store(tmp_path / "store", [file])
    assert not (tmp_path / "store").exists()


@settings(max_examples=60, deadline=None)
@given(fault=st.data(), revised=st.booleans())
def test_damaged_files_give_errors_of_ours_or_structures(
    tmp_path_factory: pytest.TempPathFactory, molecules: list[Molecule], fault: st.DataObject, revised: bool
) -> None:
    """Bytes of npz and extxyz files are changed or cut off; HDF5 guards its own structure, so it is only cut."""
    folder = tmp_path_factory.mktemp("fuzz")
    kind = fault.draw(st.sampled_from(["m.npz", "x.extxyz", "s.h5"]))
    file = folder / kind
    if kind == "m.npz":
        write_md17(file, molecules[0], revised=revised)
    elif kind == "x.extxyz":
        write_extxyz(file, molecules[:2])
    else:
        write_spice(file, molecules[:2])
    content = bytearray(file.read_bytes())
    if kind != "s.h5":
        for _ in range(fault.draw(st.integers(0, 3))):
            content[fault.draw(st.integers(0, len(content) - 1))] = fault.draw(st.integers(0, 255))
    file.write_bytes(content[: fault.draw(st.integers(len(content) // 2, len(content)))])
    try:
        store = import_store(folder / "store", [file], group_by="structure", skip_bad=True)
    except DataError:
        assert not (folder / "store").exists()
    else:
        store.check()
        assert np.isfinite(store.read(np.arange(len(store))).forces).all()


def test_extxyz_keys_and_units_can_be_named(tmp_path: Path, molecules: list[Molecule]) -> None:
    frames = []
    scale = units.kcal / units.mol
    for name, numbers, positions, energy, forces in molecules:
        for x, e, f in zip(positions, energy, forces, strict=True):
            atoms = Atoms(numbers, x, info={"REF_energy": e / scale, "mol": name, "q": 0, "mult": 1})
            atoms.arrays["REF_forces"] = f / scale
            frames.append(atoms)
    ase_write(tmp_path / "x.xyz", frames, format="extxyz")
    names = Names(
        energy="REF_energy", forces="REF_forces", group="mol", charge="q", spin="mult", energy_unit="kcal/mol"
    )
    store = import_store(tmp_path / "store", [tmp_path / "x.xyz"], names=names)
    assert_same(store, molecules, 1e-6, 1e-5)
    structures = store.read(store.subset(5))
    assert structures.charge is not None
    assert structures.spin is not None
    assert structures.charge.tolist() == [0] * 5
    assert structures.spin.tolist() == [1] * 5
    with pytest.raises(DataError, match=r"frame 0: no energy: there is no 'E'; the frame has .*REF_energy"):
        import_store(tmp_path / "other", [tmp_path / "x.xyz"], names=Names(energy="E", forces="REF_forces"))
    with pytest.raises(DataError, match="unknown unit of energy 'furlong'"):
        import_store(tmp_path / "other", [tmp_path / "x.xyz"], names=Names(energy_unit="furlong"))


def test_periodic_frames_keep_cell_and_pbc_beside_isolated_ones(tmp_path: Path) -> None:
    from ase.build import bulk, molecule

    frames = [molecule("CH4"), *(bulk(name, cubic=True) for name in ("Cu", "Al", "Ag"))]
    for i, atoms in enumerate(frames):
        atoms.calc = SinglePointCalculator(atoms, energy=-1.0 - i, forces=np.full((len(atoms), 3), 0.5))
    ase_write(tmp_path / "x.extxyz", frames)
    store = import_store(tmp_path / "store", [tmp_path / "x.extxyz"], seed=1)
    structures = store.read(np.arange(4))
    for i in range(4):
        source = frames[round(-float(structures.energy[i])) - 1]
        assert structures.cell is not None
        assert structures.pbc is not None
        assert structures.pbc[i].tolist() == source.pbc.tolist()
        np.testing.assert_allclose(structures.cell[i], source.cell.array, atol=1e-6)


def test_the_same_import_is_not_done_again_and_another_is_refused(tmp_path: Path, molecules: list[Molecule]) -> None:
    write_spice(tmp_path / "s.h5", molecules)
    first = import_store(tmp_path / "store", [tmp_path / "s.h5"])
    assert import_store(tmp_path / "store", [tmp_path / "s.h5"]).manifest == first.manifest
    with pytest.raises(DataError, match=r"another recipe made it .*force_limit"):
        import_store(tmp_path / "store", [tmp_path / "s.h5"], force_limit=10.0)


def test_a_force_limit_is_applied_and_counted(tmp_path: Path, molecules: list[Molecule]) -> None:
    write_spice(tmp_path / "s.h5", molecules)
    store = import_store(tmp_path / "store", [tmp_path / "s.h5"], force_limit=4.0)
    above = sum(int((np.linalg.norm(forces, axis=2).max(axis=1) > 4.0).sum()) for *_, forces in molecules)
    assert above > 10
    assert store.manifest.rejected == {"structure: force above limit": above}
    assert len(store) == sum(len(energy) for *_, energy, _ in molecules) - above


def test_units_are_those_of_ase() -> None:
    """An independent table; its constants are of CODATA 2014."""
    for name, value in (
        ("hartree", units.Hartree),
        ("kcal/mol", units.kcal / units.mol),
        ("kJ/mol", units.kJ / units.mol),
    ):
        assert ENERGY_EV[name] == pytest.approx(value, rel=1e-7)
    assert LENGTH_ANGSTROM["bohr"] == pytest.approx(units.Bohr, rel=1e-7)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file: .*nowhere.npz"):
        import_store(tmp_path / "store", [tmp_path / "nowhere.npz"])
    np.savez(tmp_path / "x.npz", a=np.zeros(2))
    with pytest.raises(DataError, match=r"x.npz: no key of numbers, positions, energy, forces is known; .* It has a"):
        import_store(tmp_path / "store", [tmp_path / "x.npz"])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("g")
    with pytest.raises(DataError, match=r"x.h5, group g: an empty group"):
        import_store(tmp_path / "store", [tmp_path / "x.h5"])
    with pytest.raises(DataError, match="format is 'mp3'; known are aselmdb, extxyz, md17, spice, ani1x, mptrj"):
        import_store(tmp_path / "store", [tmp_path / "x.h5"], format="mp3")  # type: ignore[arg-type]
