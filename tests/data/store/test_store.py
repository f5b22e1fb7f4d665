import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from invented import invent

from raysweep.core.errors import DataError
from raysweep.data.store.manifest import Provenance
from raysweep.data.store.splitting import split
from raysweep.data.store.store import Store, open_store
from raysweep.data.store.writing import write_store
from raysweep.data.structures import Structures

INVENTED = Provenance(source="invented", licence="none")


def write(location: Path, structures: Structures, *, seed: int = 0, per_shard: int = 7, share: float = 0.25) -> Store:
    return write_store(
        location, structures, INVENTED, validation_fraction=share, seed=seed, structures_per_shard=per_shard
    )


def rows_of(structures: Structures) -> list[tuple[object, ...]]:
    """Return each structure as a tuple of bytes, so that equality is equality of bits."""
    offsets = structures.offsets
    rows = []
    for i in range(len(structures)):
        atoms = slice(offsets[i], offsets[i + 1])
        row: list[object] = [structures.group[i], structures.energy[i].tobytes()]
        row += [getattr(structures, name)[atoms].tobytes() for name in ("numbers", "positions", "forces")]
        optional = (getattr(structures, name) for name in ("cell", "pbc", "charge", "spin"))
        row += [None if value is None else value[i].tobytes() for value in optional]
        rows.append(tuple(row))
    return rows


@pytest.mark.parametrize("periodic", [False, True])
def test_structures_come_back_to_the_bit(tmp_path: Path, periodic: bool) -> None:
    given_structures = invent(40, groups=8, periodic=periodic)
    store = open_store(write(tmp_path / "s", given_structures).location)
    assert len(store.manifest.shards) == 6
    back = store.read(np.concatenate([store.subset(store.manifest.train_structures), store.validation()]))
    assert sorted(rows_of(back), key=repr) == sorted(rows_of(given_structures), key=repr)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write(tmp_path_factory.mktemp("shared") / "s", invent(40, groups=8, periodic=True))


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.integers(0, 39), max_size=30))
def test_any_rows_are_read_in_the_order_asked_for(shared: Store, rows: list[int]) -> None:
    everything = rows_of(shared.read(np.arange(40)))
    assert rows_of(shared.read(np.array(rows, dtype=np.int64))) == [everything[row] for row in rows]


@settings(max_examples=25, deadline=None)
@given(sizes=st.tuples(st.integers(1, 30), st.integers(1, 30)))
def test_subsets_are_nested_and_never_meet_validation(shared: Store, sizes: tuple[int, int]) -> None:
    small, large = sorted(sizes)
    assert shared.subset(large)[:small].tolist() == shared.subset(small).tolist()
    train, held_out = shared.read(shared.subset(large)), shared.read(shared.validation())
    assert len(held_out) == 10
    assert not set(train.group) & set(held_out.group)


@settings(max_examples=25, deadline=None)
@given(atoms=st.integers(1, 80))
def test_a_subset_of_atoms_is_the_first_structures_that_have_them(shared: Store, atoms: int) -> None:
    rows = shared.subset_of_atoms(atoms)
    assert rows.tolist() == list(range(len(rows)))
    n_atoms = shared.n_atoms(rows)
    assert n_atoms.tolist() == shared.read(rows).n_atoms.tolist()
    assert n_atoms[:-1].sum() < atoms <= n_atoms.sum()


def test_more_atoms_than_there_are_is_refused(shared: Store) -> None:
    have = shared.manifest.train_atoms
    assert len(shared.subset_of_atoms(have)) == 30
    with pytest.raises(DataError, match=rf"a subset of {have + 1} atoms was asked for, it has {have} to train on"):
        shared.subset_of_atoms(have + 1)


@settings(max_examples=40, deadline=None)
@given(groups=st.integers(2, 12), seed=st.integers(0, 1000), share=st.floats(0.05, 0.95))
def test_every_structure_is_on_one_side_and_every_group_too(groups: int, seed: int, share: float) -> None:
    structures = invent(36, groups=groups, seed=seed)
    train, held_out = split(structures, share, seed)
    assert sorted([*train, *held_out]) == list(range(36))
    assert len(train) > 0
    assert not set(structures.group[train]) & set(structures.group[held_out])
    elements = [set(structures.take(rows).numbers.tolist()) for rows in (train, held_out)]
    assert elements[1] <= elements[0]


def test_the_side_of_a_group_does_not_depend_on_the_order_of_the_structures() -> None:
    structures = invent(60, groups=20)
    shuffled = structures.take(np.random.default_rng(3).permutation(60))
    held_out = set(structures.group[split(structures, 0.3, 5)[1]])
    assert held_out == set(shuffled.group[split(shuffled, 0.3, 5)[1]])
    assert len(held_out) == 6
    assert held_out != set(structures.group[split(structures, 0.3, 6)[1]])


def test_the_order_is_a_seeded_shuffle(tmp_path: Path) -> None:
    structures = replace(invent(200, groups=20), energy=np.arange(200.0))
    orders = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        store = write(tmp_path / name, structures, seed=seed)
        orders[name] = store.read(store.subset(100)).energy.tolist()
    assert orders["a"] == orders["b"] != orders["c"]
    assert orders["a"] != sorted(orders["a"])


def test_asking_for_more_than_there_is_names_both_counts(tmp_path: Path) -> None:
    store = write(tmp_path / "s", invent(40, groups=8))
    with pytest.raises(DataError, match=r"a subset of 31 structures was asked for, it has 30 to train on"):
        store.subset(31)
    with pytest.raises(DataError, match=r"11 validation structures were asked for, it has 10"):
        store.validation(11)
    with pytest.raises(DataError, match=r"rows 3 to 40 were asked for, it has 0 to 39"):
        store.read([3, 40])
    with pytest.raises(DataError, match="subset of 0"):
        store.subset(0)


def test_statistics_are_of_the_training_part(tmp_path: Path) -> None:
    """Energies that are exactly additive give their reference energies back and leave no residual."""
    structures = invent(60, groups=12)
    true = {1: -13.5, 6: -1029.25, 8: -2043.0}
    table = np.zeros(256)
    table[list(true)] = list(true.values())
    energy = np.add.reduceat(table[structures.numbers], structures.offsets[:-1])
    store = write(tmp_path / "s", replace(structures, energy=energy))
    manifest = store.manifest
    assert manifest.reference_energies == pytest.approx(true, abs=1e-8)
    assert manifest.rms_energy < 1e-6
    train, held_out = store.read(store.subset(manifest.train_structures)), store.read(store.validation())
    assert manifest.rms_force == pytest.approx(np.sqrt(np.mean(train.forces.astype(np.float64) ** 2)), rel=1e-12)
    assert abs(manifest.rms_force - np.sqrt(np.mean(held_out.forces**2))) > 1e-4
    assert np.abs(held_out.residual).max() < 1e-5
    assert (manifest.train_atoms, manifest.validation_atoms) == (len(train.numbers), len(held_out.numbers))


def test_residual_is_energy_less_reference_energies(real_store: Store) -> None:
    structures = real_store.read(real_store.validation(5))
    reference = real_store.manifest.reference_energies
    for i in range(5):
        atoms = structures.numbers[structures.offsets[i] : structures.offsets[i + 1]]
        expected = structures.energy[i] - sum(reference[int(z)] for z in atoms)
        assert structures.residual[i] == pytest.approx(expected, abs=1e-5)
        assert abs(expected) < 10 < abs(structures.energy[i])


def test_the_fingerprint_is_of_content_alone(tmp_path: Path) -> None:
    structures = invent(40, groups=8)
    first = write(tmp_path / "a", structures).manifest
    assert write(tmp_path / "b", structures, per_shard=1000).manifest.fingerprint == first.fingerprint
    forces = structures.forces.copy()
    forces[17, 1] = np.nextafter(forces[17, 1], np.float32(9))
    others = [
        write(tmp_path / "c", replace(structures, forces=forces)),
        write(tmp_path / "d", structures, seed=1),
        write(tmp_path / "e", structures, share=0.5),
        write(tmp_path / "f", replace(structures, charge=np.zeros(40, dtype=np.int8))),
    ]
    assert len({first.fingerprint, *(store.manifest.fingerprint for store in others)}) == 5


def test_check_passes_an_intact_store_and_names_every_bad_shard(tmp_path: Path) -> None:
    location = tmp_path / "s"
    store = write(location, invent(40, groups=8))
    store.check()
    altered, torn, gone = (location / f"shard-0000{i}.arrow" for i in (1, 3, 5))
    content = bytearray(altered.read_bytes())
    content[len(content) // 2] ^= 1
    altered.write_bytes(content)
    torn.write_bytes(torn.read_bytes()[:-100])
    gone.unlink()
    with pytest.raises(DataError, match=r"00001.arrow is altered.*00003.arrow is torn.*05.arrow is missing"):
        open_store(location).check()
    with pytest.raises(DataError, match=r"shard-00003.arrow cannot be read .* bytes instead of"):
        open_store(location).read(np.arange(40))


def test_a_torn_altered_or_newer_manifest_is_refused(tmp_path: Path) -> None:
    location = tmp_path / "s"
    write(location, invent(40, groups=8))
    file = location / "manifest.json"
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"manifest.json: torn"):
        open_store(location)
    file.write_text(whole.replace('"train_structures": 30', '"train_structures": 29'))
    with pytest.raises(DataError, match=r"manifest.json: altered"):
        open_store(location)
    file.unlink()
    with pytest.raises(DataError, match=r"no structure store at .*raysweep data make"):
        open_store(location)


def test_the_manifest_is_json_with_units_and_a_digest(tmp_path: Path) -> None:
    store = write(tmp_path / "s", invent(40, groups=8, periodic=True))
    document = json.loads((tmp_path / "s" / "manifest.json").read_text())
    assert set(document) == {"sha256", "manifest"}
    units = document["manifest"]["units"]
    assert (units["positions"], units["forces"], units["energy"], units["cell"]) == ("Å", "eV/Å", "eV", "Å")
    assert [key for key in document["manifest"]["reference_energies"]] == ["1", "6", "8"]
    assert list(store.manifest.reference_energies) == [1, 6, 8]


def test_a_failure_in_the_middle_of_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raysweep.data.store import destination

    written: list[str] = []

    def full_disk(filesystem: object, path: str, data: bytes) -> None:
        written.append(path)
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        Path(path).write_bytes(data)

    monkeypatch.setattr(destination, "write_whole", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "s", invent(40, groups=8))
    assert len(written) == 4
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_a_store_as_far_as_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "s", invent(10, groups=2))
    finally:
        os.umask(before)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "s").iterdir()} == {0o640}


def test_an_occupied_location_is_refused(tmp_path: Path) -> None:
    structures = invent(10, groups=2)
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="a file is where the store's folder would be"):
        write(tmp_path / "file", structures)
    write(tmp_path / "empty", structures)
    with pytest.raises(DataError, match="not empty"):
        write(tmp_path / "empty", structures)


def test_structures_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    good = invent(10, groups=2)
    energy = good.energy.copy()
    energy[3] = np.nan
    with pytest.raises(DataError, match="energy holds values that are not finite"):
        write(tmp_path / "s", replace(good, energy=energy))
    with pytest.raises(DataError, match="1 group"):
        write(tmp_path / "s", invent(10, groups=1))
    with pytest.raises(DataError, match="validation_fraction is 1"):
        write(tmp_path / "s", good, share=1.0)
    with pytest.raises(DataError, match=r"forces must be float32 \[\d+, 3\], found float64"):
        replace(good, forces=good.forces.astype(np.float64))  # type: ignore[arg-type]


def test_head_and_take_agree_with_slices() -> None:
    structures = invent(12, groups=3, periodic=True)
    assert rows_of(structures.head(5)) == rows_of(structures)[:5]
    assert rows_of(structures.take(np.array([4, 4, 0]))) == [rows_of(structures)[i] for i in (4, 4, 0)]
    assert np.shares_memory(structures.head(5).positions, structures.positions)
    assert {field.name for field in fields(structures)} >= {"numbers", "residual", "group", "spin"}


def test_a_file_uri_opens_the_same_store(real_store: Store) -> None:
    by_uri = open_store(f"file://{real_store.location}")
    assert by_uri.manifest == real_store.manifest
    assert rows_of(by_uri.read([3, 1])) == rows_of(real_store.read([3, 1]))


def test_reading_and_writing_shards_imports_no_pandas(real_store: Store, tmp_path: Path) -> None:
    """It would take a third of a second and 40 MB of every trial."""
    program = (
        "import sys\nimport numpy as np\nfrom raysweep.data.store.store import open_store\n"
        "from raysweep.data.store.shards import shard_bytes\n"
        "assert shard_bytes(open_store(sys.argv[1]).read(np.arange(20)))\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, real_store.location], check=True)
