"""What keeps Ray from starting on a machine is told in a line, by `run` and `doctor` alike; what does not, works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raysweep.core.errors import ClusterError
from raysweep.sweep.cluster.ray import home
from raysweep.sweep.cluster.ray.home import has_token, private_token, ray_root, require_room, token_file, troubles

AS_NOBODY = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
"""A user id that is in no table, as containers have it; it may read what this user may."""


@pytest.fixture
def nobody() -> list[str]:
    """Return the words before a command that run it as a user whom no table knows."""
    if subprocess.run([*AS_NOBODY, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespaces here (unshare --user)")
    return AS_NOBODY


def test_ray_keeps_its_sessions_where_ray_itself_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from ray._common.utils import get_default_ray_temp_dir

    for name, folder in ((None, None), ("TMPDIR", tmp_path / "a"), ("RAY_TMPDIR", tmp_path / "b")):
        if name is None:
            monkeypatch.delenv("TMPDIR", raising=False)
            monkeypatch.delenv("RAY_TMPDIR", raising=False)
        else:
            monkeypatch.setenv(name, str(folder))
        assert str(ray_root()) == get_default_ray_temp_dir()


@pytest.mark.parametrize("name", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_whose_sockets_have_too_long_paths_is_named_with_the_length_that_fits(
    tmp_path: Path, name: str
) -> None:
    from ray._private.utils import validate_socket_filepath

    def socket(folder: str) -> str:
        return f"{folder}/ray/session_2026-11-30_03-02-57_509717_{os.getpid()}/sockets/plasma_store"

    long = f"/{'ä' * 40}"  # two bytes each
    ((text, remedy),) = troubles({name: long})
    with pytest.raises(OSError, match="AF_UNIX path length cannot exceed 107"):
        validate_socket_filepath(socket(long))
    over = len(socket(long).encode()) - 107
    assert text.startswith(f"{name}={long} is {over} bytes too long")
    most = int(remedy.rpartition("at most ")[2].removesuffix(" bytes"))
    fits = f"/{'x' * (most - 1)}"
    validate_socket_filepath(socket(fits))
    assert not any("too long" in text for text, _ in troubles({name: fits}))
    with pytest.raises(OSError, match="AF_UNIX"):
        validate_socket_filepath(socket(f"{fits}x"))
    assert any("1 bytes too long" in text for text, _ in troubles({name: f"{fits}x"}))


def test_a_file_in_the_place_of_the_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        assert list(troubles()) == []
        Path(folder, "ray").write_text("")
        with pytest.raises(
            ClusterError, match=f"Ray cannot start here: {folder}/ray, .* is not a folder; move it away"
        ):
            require_room()


def test_a_folder_of_somebody_else_ends_a_run_with_one_line(nobody: list[str], tmp_path: Path) -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        try:
            os.chown(folder, 4242, 4242)
        except PermissionError:
            pytest.skip("only root gives a folder away")
        code = "from raysweep.sweep.cluster.ray.home import require_room; require_room()"
        done = subprocess.run(
            [*nobody, sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "RAY_TMPDIR": folder},
        )  # fmt: skip
        assert done.returncode == 1
        last = done.stderr.splitlines()[-1]
        assert f"Ray cannot start here: {folder}, where Ray keeps its sessions, cannot be written" in last
        assert "(mode 755)" in last
        assert "export RAY_TMPDIR=/tmp/ray-mine" in last


def test_a_token_is_found_where_ray_finds_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not has_token()
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("secret")
    assert has_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    assert not has_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert has_token()


def test_a_home_that_cannot_be_written_makes_a_token_of_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.setenv(name, "x")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    with private_token():
        assert "RAY_AUTH_TOKEN" not in os.environ  # Ray makes it, and keeps it in the home
    monkeypatch.setattr(home, "can_keep_token", lambda: False)
    with private_token():
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    with private_token():
        assert os.environ["RAY_AUTH_TOKEN"] == "given"


def test_a_user_whom_no_table_knows_runs_a_local_ray(nobody: list[str], tmp_path: Path) -> None:
    code = (
        "from raysweep.sweep.cluster.join import joined\n"
        "with joined('local'):\n"
        "    import getpass, ray, ray.tune\n"
        "    try: getpass.getuser()\n"
        "    except KeyError: print('unknown', ray.get(ray.remote(num_cpus=0)(lambda: 6 * 7).remote()))\n"
    )
    done = subprocess.run(
        [*nobody, sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "unknown 42\n"
    assert "Traceback" not in done.stderr


def test_without_a_home_there_is_no_token_file(nobody: list[str]) -> None:
    code = "from raysweep.sweep.cluster.ray.home import *; print(token_file(), has_token(), can_keep_token())"
    done = subprocess.run(
        [*nobody, sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    assert done.stdout == "None False False\n"
    assert token_file({"RAY_AUTH_TOKEN_PATH": "/run/token"}) == Path("/run/token")


def test_a_run_that_cannot_start_ray_says_so_in_one_line_and_exits_with_1(tmp_path: Path) -> None:
    space = tmp_path / "toy.yaml"
    space.write_text(
        "{name: toy, storage: sweep, entrypoint: 'toy_trials:train', grid: {structures: [100]}, "
        "families: {a: {architecture: toy, sizes: {width: [8]}}}, learning_rate: {rates: {a: 0.02}}}"
    )
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    path = os.pathsep.join([str(Path(__file__).parents[1]), *(path for path in sys.path if path)])
    done = subprocess.run(
        [sys.executable, "-c", "from raysweep.cli.app import main; main()", "run", str(space)], capture_output=True,
        text=True, timeout=120, check=False, cwd=tmp_path,
        env={**kept, "PYTHONPATH": path, "RAY_TMPDIR": str(tmp_path / ("x" * 60))},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(f"raysweep: Ray cannot start here: RAY_TMPDIR={tmp_path}/xxx")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "sweep" / "driver.json").exists()
