"""A command whose output fails: one that reads says so in a line, or nothing where its reader has gone."""

import os
import subprocess
from pathlib import Path

import pytest
from commands import RAYSWEEP, environment, toy_folder


def ended(command: str, folder: Path, **changes: str) -> tuple[int, str]:
    """Run a shell's line; return its exit status and what it wrote to standard error."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment(**changes), stderr=subprocess.PIPE, text=True
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("words", ["schema", "--help", "status toy.yaml", "plan toy.yaml --json"])
def test_a_reading_command_says_in_a_line_that_its_output_is_lost(words: str, tmp_path: Path) -> None:
    folder = toy_folder(tmp_path)
    full = ended(f"{RAYSWEEP} {words} >/dev/full", folder)
    assert full == (1, "raysweep: standard output: No space left on device\n")
    assert ended(f"{RAYSWEEP} {words} >&-", folder) == (1, "raysweep: standard output: Bad file descriptor\n")
    assert ended(f"{RAYSWEEP} {words} >/dev/full 2>&-", folder)[0] == 1


def test_a_reader_that_has_gone_is_nothing_to_complain_of(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([RAYSWEEP, "schema"], stdout=write, stderr=subprocess.PIPE, env=environment(), text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_sweep_goes_on_without_output_and_with_variables_that_ray_tune_refuses(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path)
    refused = {"TUNE_RESULT_DIR": "/x", "RAY_AIR_LOCAL_CACHE_DIR": "/y", "TUNE_MAX_LEN_IDENTIFIER": "many"}
    status, told = ended(f"{RAYSWEEP} run toy.yaml >/dev/full", folder, **refused)
    log = folder / "sweep" / "logs" / "ray.log"
    assert (status, told.strip().splitlines()[-1:]) == (
        0, ["raysweep: standard output: No space left on device; the frontier is in sweep/report"],
    ), f"{told}\n{log.read_text()[-3000:] if log.exists() else ''}"  # fmt: skip
    assert (folder / "sweep" / "report" / "report.html").exists()
    printed = folder / "printed.txt"
    command = f"{RAYSWEEP} run toy.yaml 2>&- >{printed}"
    assert ended(command, folder, PYTHONIOENCODING="ascii")[0] == 0
    assert "gamma envelope" in printed.read_bytes().decode("ascii")
