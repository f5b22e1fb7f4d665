"""A disk that fills up, or becomes read-only, under a sweep: it ends with the reason and goes on later."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from killable import Sweep


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no disk of its own can be mounted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(b"x" * 4096)
        except OSError:
            pass


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_full_disk_ends_a_sweep_with_the_reason_and_it_goes_on_when_there_is_room(disk: Path, tmp_path: Path) -> None:
    whole, sweep = Sweep(tmp_path / "whole", tune=False), Sweep(disk / "sweep", nap=0.2, tune=False)
    driver = sweep.start()
    sweep.wait(lambda: sweep.worked() >= 5, driver)
    fill(disk)
    output, _ = driver.communicate(timeout=90)
    assert driver.returncode == 1, output
    assert os.strerror(errno.ENOSPC) in output
    assert "run the same command again" in output
    assert "Traceback" not in output
    (disk / "ballast").unlink()
    before = sweep.worked()
    assert before < 64
    assert "complete=True" in sweep.finish()
    whole.finish()
    kept, expected = (pq.read_table(s.storage / "points.parquet").to_pandas() for s in (sweep, whole))
    names = ["family", "params", "data", "learning_rate", "budget"]
    assert kept[names].equals(expected[names])
    assert sweep.worked() <= 64 + 2 * 2 * 2  # a point in the making by each worker, at the fault and after


@pytest.mark.slow
def test_read_only_disk_is_named_before_any_trial(disk: Path) -> None:
    sweep = Sweep(disk / "sweep", tune=False)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    driver = sweep.start()
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 1, output
    assert os.strerror(errno.EROFS) in output
    assert "Traceback" not in output
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert "complete=True" in sweep.finish()
