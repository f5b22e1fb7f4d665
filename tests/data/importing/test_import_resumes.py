"""Imports of many parts: in parallel, killed and gone on with, split as asked, on a Ray cluster."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ase.io import write as ase_write
from labelled_files import labelled, stored, write_aselmdb, write_mptrj

from raysweep.core.errors import DataError
from raysweep.data.formats.ase import aselmdb
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.formats.xyz import extxyz
from raysweep.data.importing import imports
from raysweep.data.importing.converting import Converted, Task
from raysweep.data.importing.imports import import_store
from raysweep.data.importing.parts import part_folder


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with files of three formats that have several parts each."""
    monkeypatch.setattr(extxyz, "SPAN_BYTES", 3000)
    monkeypatch.setattr(aselmdb, "RECORDS_AT_ONCE", 7)
    folder = tmp_path / "files"
    folder.mkdir()
    frames = labelled(60)
    ase_write(folder / "x.extxyz", frames[:30])
    write_aselmdb(folder / "a.aselmdb", frames[30:])
    return folder


def test_a_folder_is_all_of_its_files_whatever_the_number_of_workers(many: Path, tmp_path: Path) -> None:
    alone = import_store(tmp_path / "s1", [many], workers=1)
    together = import_store(tmp_path / "s2", [many], workers=2)
    assert len(alone) == 60
    assert alone.manifest.fingerprint == together.manifest.fingerprint
    assert set(alone.manifest.recipe["files"]) == {"x.extxyz", "a.aselmdb"}  # type: ignore[arg-type]
    assert not list(tmp_path.glob(".s*"))


def test_an_import_that_was_cut_off_goes_on_and_gives_the_same_store(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = import_store(tmp_path / "whole", [many])
    read: list[str] = []
    real = imports.convert

    def counting(task: Task) -> Converted:
        if len(read) == 6:
            raise KeyboardInterrupt
        read.append(task.name)
        return real(task)

    monkeypatch.setattr(imports, "convert", counting)
    with pytest.raises(KeyboardInterrupt):
        import_store(tmp_path / "s", [many])
    assert not (tmp_path / "s").exists()
    first = list(read)
    kept = sorted((tmp_path / ".s.importing").glob("*.arrow"))
    kept[0].write_bytes(kept[0].read_bytes()[:-5])  # what a power cut may leave
    read.clear()
    monkeypatch.setattr(imports, "convert", lambda task: read.append(task.name) or real(task))
    store = import_store(tmp_path / "s", [many])
    assert store.manifest == whole.manifest
    assert len(set(first) & set(read)) == 1
    assert not (tmp_path / ".s.importing").exists()


def test_a_killed_import_goes_on(tmp_path: Path) -> None:
    """SIGKILL of the whole command in the middle, then the same command again."""
    frames = labelled(48)
    path = tmp_path / "x.extxyz"
    ase_write(path, frames)
    path.write_text(path.read_text() * 40)
    program = (
        "import sys\nfrom raysweep.data.importing import imports\nfrom raysweep.data.formats.xyz import extxyz\n"
        "extxyz.SPAN_BYTES = 20_000\n"
        "def say(what, done, total):\n    print(what, done, total, flush=True)\n"
        "imports.import_store(sys.argv[1], [sys.argv[2]], workers=1, progress=say)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "s"), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "s").exists()
    kept = len(list((tmp_path / ".s.importing").glob("*.json")))
    assert kept >= 5
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    steps = [line for line in done.stdout.splitlines() if line.startswith("bytes read")]
    spans = list(extxyz.spans(path, Names()))
    assert len(spans) < len(steps) + kept  # spans here are of the usual size
    assert len(imports.import_store(tmp_path / "s", [path])) == 48 * 40


def test_two_imports_into_one_store_do_not_mix(many: Path, tmp_path: Path) -> None:
    with part_folder(tmp_path / "s"), pytest.raises(DataError, match="another process is making this store now"):
        import_store(tmp_path / "s", [many])


def test_parts_that_were_left_beside_a_finished_store_are_removed(many: Path, tmp_path: Path) -> None:
    whole = import_store(tmp_path / "s", [many])
    (tmp_path / ".s.importing").mkdir()
    (tmp_path / ".s.importing" / "a.json").write_text("{}")
    assert import_store(tmp_path / "s", [many]).manifest == whole.manifest
    assert not (tmp_path / ".s.importing").exists()


def test_groups_to_hold_out_can_be_named(many: Path, tmp_path: Path) -> None:
    store = import_store(tmp_path / "s", [many], held_out=["g1", "g6"])
    assert set(store.read(store.validation()).group) == {"g1", "g6"}
    with pytest.raises(DataError, match=r"1 of 2 groups to hold out are not among the structures': 'g99'"):
        import_store(tmp_path / "t", [many], held_out=["g1", "g99"])
    with pytest.raises(DataError, match="one side would be empty"):
        import_store(tmp_path / "t", [many], held_out=[f"g{i}" for i in range(8)])


def test_a_stratified_split_holds_out_the_share_of_every_source(tmp_path: Path) -> None:
    frames = labelled(120)
    for i, atoms in enumerate(frames):
        atoms.info["data_id"] = "rare" if i < 10 else "common"
        atoms.info["group"] = f"{atoms.info['data_id']} {i if i < 10 else i % 50}"
    ase_write(tmp_path / "x.extxyz", frames)
    for seed in range(3):
        store = import_store(tmp_path / f"s{seed}", [tmp_path / "x.extxyz"], stratify=True, seed=seed)
        held = set(store.read(store.validation()).group)
        assert len([name for name in held if name.startswith("rare")]) == 1
        assert len([name for name in held if name.startswith("common")]) == 5


def test_charges_of_some_structures_alone_are_not_guessed(tmp_path: Path) -> None:
    frames = labelled(12)
    for atoms in frames[:4]:
        del atoms.info["charge"]
    ase_write(tmp_path / "x.extxyz", frames)
    with pytest.raises(DataError, match=r"charge is given for 8 structures and missing for 4; .*--charge-key ''"):
        import_store(tmp_path / "s", [tmp_path / "x.extxyz"])
    store = import_store(tmp_path / "s", [tmp_path / "x.extxyz"], names=Names(charge=""))
    assert store.read([0]).charge is None
    assert store.read([0]).spin is not None


def test_one_torn_file_of_several_can_be_left_out(many: Path, tmp_path: Path) -> None:
    torn = many / "a.aselmdb"
    torn.write_bytes(torn.read_bytes()[:9000])
    with pytest.raises(DataError, match=r"a.aselmdb: torn"):
        import_store(tmp_path / "s", [many])
    store = import_store(tmp_path / "s", [many], skip_bad=True)
    assert len(store) == 30
    assert [reason.split(",")[0][:5] for reason in store.manifest.rejected] == ["torn:"]


def test_a_ray_cluster_gives_the_same_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from raysweep.sweep.cluster.data_workers import RayWorkers

    frames = [atoms for atoms in labelled(60) if atoms.pbc.all()]
    write_mptrj(tmp_path / "MPtrj.json", frames)
    ase_write(tmp_path / "x.extxyz", frames)
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    here = import_store(
        tmp_path / "s1", [tmp_path / "MPtrj.json", tmp_path / "x.extxyz"], names=Names(charge="", spin="")
    )
    with RayWorkers("local") as pool:
        there = import_store(
            tmp_path / "s2", [tmp_path / "MPtrj.json", tmp_path / "x.extxyz"], names=Names(charge="", spin=""),
            in_order=pool.in_order,
        )  # fmt: skip
        (tmp_path / "bad.extxyz").write_text("hello\n")
        with pytest.raises(DataError, match="'hello' is not a number of atoms"):
            import_store(tmp_path / "s3", [tmp_path / "bad.extxyz"], in_order=pool.in_order)
    assert there.manifest == here.manifest
    assert stored(there) == stored(here)
