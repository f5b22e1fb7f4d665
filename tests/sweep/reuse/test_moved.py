"""A storage that was moved or copied goes on where it lies now, and leaves the place where it lay alone."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
from finished_sweep import command, files, finish, write_space

from raysweep.cli.sweeps import run_sweep
from raysweep.storage.layout import LEASE
from raysweep.storage.lease import driver_lease, running_driver
from raysweep.sweep.space.space import load_space
from raysweep.tracking.connection import database_of, default_uri, quiet


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(None)
    monkeypatch.chdir(tmp_path)


def sweep(path: Path, *overrides: str, apart: bool = False) -> None:
    """Train what is left, and let `run` write report and MLflow; `apart`: in a process that remembers no places."""
    finish(load_space(path, overrides))
    if apart:
        done = command("run", path.name, *overrides, folder=path.parent)
        assert done.returncode == 0, done.stderr
    else:
        assert run_sweep(str(path), list(overrides), None, adaptive=False) == 0


def rows(storage: Path, query: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(storage / "mlflow.db")) as database:
        return [value for (value,) in database.execute(query)]


def places(storage: Path) -> set[str]:
    """Return all places of artifacts that the storage's MLflow names."""
    runs = rows(storage, "SELECT artifact_uri FROM runs")
    assert len(runs) >= 4  # the sweep's, the stage's, two trials'
    return {*runs, *rows(storage, "SELECT artifact_location FROM experiments WHERE name = 'toy'")}


def attached(storage: Path) -> bytes:
    """Return the page among the artifacts of the sweep's run."""
    query = "SELECT artifact_uri FROM runs JOIN tags USING (run_uuid) WHERE key = 'raysweep.kind' AND value = 'sweep'"
    (place,) = rows(storage, query)
    return Path(urllib.parse.unquote(place.removeprefix("file://")), "report", "report.html").read_bytes()


@pytest.mark.parametrize("how", ["copy", "move, by the default", "move onto a link"])
def test_a_storage_goes_on_where_it_lies(tmp_path: Path, how: str) -> None:
    path = write_space(tmp_path / "toy.yaml", "old")
    sweep(path)
    old, new = tmp_path / "old", tmp_path / "a new%20place?" / "sweep"
    new.parent.mkdir()
    (shutil.copytree if how == "copy" else shutil.move)(old, new)
    before = files(old) if old.exists() else None
    if how == "move, by the default":
        write_space(path, str(new))
    elif how == "move onto a link":
        (tmp_path / "link").symlink_to(new)
    given = {"move, by the default": [], "move onto a link": ["storage=link"]}.get(how, [f"storage={new}"])
    sweep(path, *given, "grid.seeds=[0,1]", apart=True)
    assert (files(old) if old.exists() else None) == before
    assert all(place.startswith((new / "artifacts").as_uri()) for place in places(new)), places(new)
    assert attached(new) == (new / "report" / "report.html").read_bytes()
    assert old.name not in {entry.name for entry in tmp_path.iterdir()} or how == "copy"
    for name in ("sweep.json", "mlflow.json", "report/report.json"):
        assert str(old) not in (new / name).read_text()
    if how == "copy":  # which goes on as well, by itself
        copied = files(new)
        sweep(path, "grid.seeds=[0,2]")
        assert files(new) == copied
        assert all(place.startswith((old / "artifacts").as_uri()) for place in places(old))


def test_a_lock_that_was_copied_blocks_nobody_and_the_original_s_still_does(tmp_path: Path) -> None:
    code = "import sys, raysweep.storage.lease as l\nwith l.driver_lease(sys.argv[1]): print(flush=True); input()"
    driver = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "old")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert driver.stdout is not None
        driver.stdout.readline()
        shutil.copytree(tmp_path / "old", tmp_path / "new")
        assert json.loads((tmp_path / "new" / LEASE).read_text())["pid"] == driver.pid
        assert running_driver(str(tmp_path / "new")) is None
        with driver_lease(str(tmp_path / "new")) as lock:
            assert lock.note is None
        (tmp_path / "link").symlink_to(tmp_path / "old")
        for spelling in ("old", "link", str(tmp_path / "old")):
            assert str(driver.pid) in str(running_driver(spelling))
        os.rename(tmp_path / "old", tmp_path / "moved")  # while it runs: it is the same folder still
        assert str(driver.pid) in str(running_driver(str(tmp_path / "moved")))
    finally:
        driver.communicate(b"\n")


@pytest.mark.parametrize(
    "name", ["plain", "a b", "100%", "a%20b", "what?", "a#b", 'it\'s "so"', "é 日本", "a;b&c=d", "x@y:z"]
)
def test_a_database_may_lie_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    assert database_of(default_uri(str(tmp_path / name))) == tmp_path / name / "mlflow.db"
    assert database_of("http://host") is None
