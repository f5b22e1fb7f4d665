"""Temporary folders of processes that were killed are swept away, and nobody else's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.core.io.temporary import sweep_dead, temporary_folder

OWNER = """
import sys, time
from pathlib import Path
from raysweep.core.io.temporary import temporary_folder
with temporary_folder("test") as own:
    (own.path / "part").mkdir()
    (own.path / "part" / "file").write_text("content")
    session = Path(sys.argv[1]) / f"session_{sys.argv[2]}"
    session.mkdir()
    own.adopt(session)
    print(own.path, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def begin(place: Path, name: str) -> tuple["subprocess.Popen[str]", Path]:
    command = [sys.executable, "-c", OWNER, str(place), name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_killed_process_is_cleaned_up_after_and_a_living_one_is_not(place: Path) -> None:
    dead, folder = begin(place, "dead")
    living, kept = begin(place, "living")
    try:
        dead.send_signal(signal.SIGKILL)
        dead.communicate()
        foreign = place / "raysweep-of-another-program"
        foreign.mkdir()
        (place / "raysweep-link").symlink_to(foreign)
        with temporary_folder("next") as own:
            assert own.path.stat().st_mode & 0o077 == 0
            left = {path.name for path in place.iterdir()}
        assert left == {kept.name, own.path.name, foreign.name, "raysweep-link", "session_living"}
        assert not folder.exists()
        assert (kept / "part" / "file").read_text() == "content"
        assert sweep_dead() == []
    finally:
        living.kill()
        living.communicate()
    assert sweep_dead() == [kept]
    assert {path.name for path in place.iterdir()} == {foreign.name, "raysweep-link"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_another_users_folder_stays(place: Path) -> None:
    dead, folder = begin(place, "dead")
    dead.kill()
    dead.communicate()
    os.chown(folder, 12345, 12345)
    assert sweep_dead() == []
    assert folder.exists()


def test_the_folder_goes_with_its_block_whatever_ends_that(place: Path) -> None:
    def interrupted() -> None:
        with temporary_folder("test") as own:
            (own.path / "file").write_text("content")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(place.iterdir()) == []
