"""Folders: every file in them is read, or named with the reason why it is not."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from ase.io import write as ase_write
from labelled_files import labelled

from raysweep.core.errors import DataError
from raysweep.data.formats.folders import counted, files_of
from raysweep.data.importing.imports import import_store

CASES = Path(__file__).parents[1] / "cases"


def write(path: Path, first: int, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ase_write(path, labelled(first + count)[first:], format="extxyz")


def test_a_compressed_file_beside_a_plain_one_is_read(tmp_path: Path) -> None:
    store = import_store(tmp_path / "s", [CASES / "folder_with_compressed"], group_by="structure")
    assert len(store) == 15
    assert store.manifest.rejected == {}
    assert set(store.manifest.recipe["files"]) == {"0.extxyz.xz", "1.extxyz"}  # type: ignore[arg-type]


def test_every_file_of_a_folder_is_read_or_named(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    write(folder / "a.extxyz", 0, 3)
    write(folder / "deep" / "er" / "B.XYZ", 3, 3)
    write(elsewhere / "c.xyz", 6, 3)
    (folder / "linked").symlink_to(elsewhere)
    write(tmp_path / "d.extxyz", 9, 3)
    (folder / "d.extxyz.gz").write_bytes(gzip.compress((tmp_path / "d.extxyz").read_bytes()))
    for name in ("README.md", "notes", ".hidden.extxyz", "deep/x.traj", "m.npz.gz", "all.tar.gz"):
        (folder / name).write_text("x")
    (folder / "again.extxyz").symlink_to(folder / "a.extxyz")
    (folder / "gone.extxyz").symlink_to(folder / "nowhere")
    (folder / "a.extxyz.gz").write_bytes(gzip.compress((folder / "a.extxyz").read_bytes()))
    (folder / "deep" / "round").symlink_to(folder)
    (folder / ".git").mkdir()
    import_store(folder / "earlier", [elsewhere / "c.xyz"], group_by="structure")
    store = import_store(tmp_path / "s", [folder], group_by="structure")
    assert len(store) == 12
    assert len(set(store.read(np.arange(12)).energy)) == 12
    known = "its name ends in none of .aselmdb, .extxyz, .xyz, .npz, .h5, .hdf5, .parquet, .json, .db"
    assert store.manifest.rejected == {
        "not read: .git (a hidden folder)": 1,
        "not read: .hidden.extxyz (a hidden file)": 1,
        "not read: again.extxyz (a link to a file that is read)": 1,
        "not read: a.extxyz.gz (a compressed copy of a.extxyz, which is read)": 1,
        "not read: earlier (a store of raysweep's)": 1,
        "not read: gone.extxyz (a link to nothing)": 1,
        "not read: m.npz.gz (compressed: decompress it first)": 1,
        "not read: round (a link to one of its parent folders)": 1,
        f"not read: README.md, all.tar.gz, x.traj, notes ({known})": 4,
    }


def test_a_compressed_file_of_another_content_than_its_namesake_is_read(tmp_path: Path) -> None:
    write(tmp_path / "d" / "a.xyz", 0, 3)
    write(tmp_path / "other.xyz", 3, 3)
    (tmp_path / "d" / "a.xyz.gz").write_bytes(gzip.compress((tmp_path / "other.xyz").read_bytes()))
    files, left_out = files_of([tmp_path / "d"])
    assert [file.name for file in files] == ["a.xyz", "a.xyz.gz"]
    assert counted(left_out) == {}


def test_a_file_that_is_given_twice_by_other_names_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.xyz", 0, 3)
    os.symlink(tmp_path / "a.xyz", tmp_path / "b.xyz")
    with pytest.raises(DataError, match=r"a file was given twice: .*b.xyz is .*a.xyz"):
        import_store(tmp_path / "s", [tmp_path / "a.xyz", tmp_path / "b.xyz"])
    with pytest.raises(DataError, match=r"a file was given twice: .*a.xyz"):
        import_store(tmp_path / "s", [tmp_path / "a.xyz", tmp_path / "a.xyz"])


def test_a_folder_without_structures_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"no file in this folder ends in .*; it holds notes.txt"):
        import_store(tmp_path / "s", [tmp_path])
    (tmp_path / "m.npz.gz").write_text("x")
    with pytest.raises(DataError, match=r"m.npz.gz: of compressed files only extxyz is read: decompress it first"):
        import_store(tmp_path / "s", [tmp_path / "m.npz.gz"])


def test_extxyz_under_any_other_name_is_read_by_its_own_reader(tmp_path: Path) -> None:
    """ASE's reader would end at the first blank line."""
    text = (CASES / "blank_line_between_frames.xyz").read_bytes()
    (tmp_path / "frames.dat").write_bytes(text)
    (tmp_path / "frames.gz").write_bytes(gzip.compress(text))
    assert len(import_store(tmp_path / "s", [tmp_path / "frames.dat"])) == 40
    assert len(import_store(tmp_path / "t", [tmp_path / "frames.gz"])) == 40
