"""A storage that cannot be one is named, in a line, by every command, and nothing is made in its place."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from finished_sweep import files, finished, write_space

from raysweep.cli import points, tracking
from raysweep.cli.status import show_status
from raysweep.core.errors import RaysweepError
from raysweep.core.io.files import open_folder, open_location
from raysweep.storage.lease import driver_lease
from raysweep.sweep.preview import plan
from raysweep.sweep.space.space import load_space

READING: dict[str, Callable[[str], object]] = {
    "plan": lambda path: plan(load_space(path)).table(),
    "status": lambda path: show_status(path, [], as_json=False),
    "report": lambda path: points.write_report(path, [], None),
    "frontier": lambda path: points.read_material(path, points.Columns(), None),
}
COMMANDS = {
    **READING,
    "run": lambda path: driver_lease(load_space(path).storage).__enter__(),  # the first that `run` does
    "sync": lambda path: tracking.sync_sweep(path, [], None),
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to(tmp_path / "away")
    (tmp_path / "loop").symlink_to("loop")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ("file", "/file is a file, not a folder; give another one"),
        ("file/below", "/file is a file, not a folder; give another one"),
        ("dangling", "dangling is a link to {}/away, which is not there; mount or make it"),
        ("dangling/below", "dangling is a link to {}/away, which is not there; mount or make it"),
        ("loop", "give another"),
        (300 * "n", "File name too long; give another path"),
        ("a/" + 300 * "n" + "/b", "File name too long; give another path"),
    ],
)
def test_what_can_be_no_storage_is_named(tmp_path: Path, command: str, storage: str, reason: str) -> None:
    path = write_space(tmp_path / "toy.yaml", storage)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(RaysweepError) as error:
        COMMANDS[command](str(path))
    assert reason.format(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("location", ["a\0b", "~nobody-of-that-name/x"])
def test_what_is_no_path_is_named(location: str) -> None:
    with pytest.raises(RaysweepError, match="is not a path"):
        open_location(location)


def test_a_link_to_a_folder_and_a_folder_that_is_to_be_made_are_welcome(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    for given, found in (("link", "folder"), ("link/new/deep", "folder/new/deep"), ("new", "new"), (".", ".")):
        assert open_folder(given)[1] == str((tmp_path / found).resolve())


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A finished sweep, whose storage is mounted so that it can only be read."""
    path = finished(tmp_path / "toy.yaml", "sweep")
    tracking.sync_sweep(str(path), [], None)
    folder = tmp_path / "sweep"
    made = subprocess.run(["mount", "--bind", folder, folder], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {made.stderr.strip()}")
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    yield path
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_storage_that_can_only_be_read_is_read(
    read_only: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(tmp_path / "sweep")
    assert "cannot be written: Read-only file system" in str(COMMANDS["plan"](str(read_only)))  # costs are not kept
    COMMANDS["status"](str(read_only))
    assert "toy: complete" in capsys.readouterr().out
    assert points.read_material(str(read_only), points.Columns(), None).points.num_rows == 4
    assert points.read_material("sweep", points.Columns(), None).points.num_rows == 4
    with pytest.raises(RaysweepError, match=r"Read-only file system.*--out"):
        COMMANDS["report"](str(read_only))
    points.write_report(str(read_only), [], "report")
    assert (tmp_path / "report" / "report.html").exists()
    with pytest.raises(RaysweepError, match=f"cannot be written.*{os.strerror(errno.EROFS)}"):
        COMMANDS["run"](str(read_only))
    assert files(tmp_path / "sweep") == before
