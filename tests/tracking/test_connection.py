"""Reaching MLflow: one creates its database, nothing is left in the working directory, nothing is printed."""

import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.core.errors import TrackingError
from raysweep.tracking.connection import default_uri, quiet

_WRITE = """
import sys
from raysweep.tracking.mlflow import read_points, sync
place = dict(tracking_uri=sys.argv[1], experiment="some", sweep_name=sys.argv[2])
assert sync([], **place).created == 1
assert sync([], **place).equal
assert read_points("some", sys.argv[1]).num_rows == 0
"""


def _start(folder: Path, name: str) -> subprocess.Popen[str]:
    uri = default_uri(str(folder / "sweep"))
    command = [sys.executable, "-c", _WRITE, uri, name]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_new_database_is_made_silently_in_the_storage_alone(tmp_path: Path) -> None:
    said, _ = _start(tmp_path, "toy").communicate(timeout=120)
    assert said == ""
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == [".mlflow.db.creating", "mlflow.db"]


@pytest.mark.slow
def test_processes_that_meet_a_new_database_at_once_all_write(tmp_path: Path) -> None:
    started = [_start(tmp_path, f"toy-{i}") for i in range(16)]
    said = [process.communicate(timeout=240)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 16, said


def test_default_is_a_file_in_the_storage(tmp_path: Path) -> None:
    assert default_uri(str(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"
    assert default_uri(tmp_path.as_uri()) == f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(TrackingError, match=r"tracking\.uri: none is given, and SQLite cannot live in 's3://a/b'"):
        default_uri("s3://a/b")


def test_neither_mlflow_nor_ray_is_imported_before_it_is_needed() -> None:
    code = (
        "import sys, raysweep.tracking.mlflow\n"
        "print({'mlflow', 'ray', 'torch', 'sqlalchemy', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("place", ["full", "gone"])
def test_log_that_cannot_be_written_ends_nothing_and_prints_nothing(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Path("/dev/full") if place == "full" else tmp_path / "logs" / "mlflow.log"
    quiet(log)
    try:
        if place == "gone":
            shutil.rmtree(log.parent)
        logging.getLogger("mlflow").warning("a word")
        logging.getLogger("mlflow").warning("another")
    finally:
        quiet(None)
    assert capsys.readouterr().err == ""
