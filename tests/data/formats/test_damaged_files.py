"""Files with changed or missing bytes give errors of ours, or structures; the process lives."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import write as ase_write
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_files import labelled, write_aselmdb, write_mptrj

from raysweep.core.errors import DataError
from raysweep.data.importing.imports import import_store
from raysweep.data.inspection.exporting import export_store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an intact file of each format."""
    folder = tmp_path_factory.mktemp("whole")
    frames = labelled(24)
    write_aselmdb(folder / "a.aselmdb", frames)
    write_mptrj(folder / "MPtrj.json", [atoms for atoms in frames if atoms.pbc.all()])
    ase_write(folder / "x.extxyz", frames)
    store = import_store(folder / "store", [folder / "x.extxyz"], group_by="structure")
    export_store(store, folder / "p.parquet")
    return folder


@settings(max_examples=120, deadline=None)
@given(
    name=st.sampled_from(["x.extxyz", "MPtrj.json", "p.parquet", "a.aselmdb"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
    share=st.one_of(st.just(1.0), st.floats(0.05, 1.0)),
    skip_bad=st.booleans(),
)
def test_damaged_files_give_errors_of_ours_or_structures(
    tmp_path_factory: pytest.TempPathFactory,
    whole: Path,
    name: str,
    changes: list[tuple[float, int]],
    share: float,
    skip_bad: bool,
) -> None:
    """LMDB trusts its own pages, so `.aselmdb` is only cut here."""
    folder = tmp_path_factory.mktemp("fuzz")
    content = bytearray((whole / name).read_bytes())
    for at, value in changes if name != "a.aselmdb" else []:
        content[int(at * len(content))] = value
    file = folder / name
    file.write_bytes(content[: int(share * len(content))])
    try:
        store = import_store(folder / "store", [file], group_by="structure", skip_bad=skip_bad)
    except DataError as error:
        assert not (folder / "store").exists()
        said = str(error)
    else:
        said = name
        store.check()
        everything = store.read(np.arange(len(store)))
        assert np.isfinite(everything.forces).all()
        assert everything.n_atoms.min() >= 1
    assert any(known in said for known in (name, "cannot be split", "is given for", "all forces are zero"))


def test_what_lmdb_dies_of_is_an_error_of_ours_where_workers_read(tmp_path: Path, whole: Path) -> None:
    """Changed pages of an LMDB may end the process that reads them: with workers, the command lives and says so."""
    content = bytearray((whole / "a.aselmdb").read_bytes())
    content[4096 * 2 : -4096] = b"\xff" * (len(content) - 4096 * 3)
    (tmp_path / "a.aselmdb").write_bytes(content)
    command = [str(Path(sys.executable).parent / "raysweep"), "data", "import", str(tmp_path / "s")]
    done = subprocess.run([*command, str(tmp_path / "a.aselmdb"), "--workers", "2"], capture_output=True, text=True)
    assert done.returncode == 1, done
    assert done.stderr.startswith("raysweep: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "s").exists()
