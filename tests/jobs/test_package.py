"""What leaves the submitter's machine: little, the same bytes for the same files, no secrets and no results."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from raysweep.core.errors import RaysweepError
from raysweep.jobs.package import MIB, pack

ROOT = Path(__file__).parents[2]


def write(folder: Path, *names: str, size: int = 10) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(i * 7919 % 251 for i in range(size)))


def names_in(folder: Path, target: Path) -> list[str]:
    return sorted(pack(folder, target).names)


def test_results_environments_caches_and_secrets_stay_here(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    write(folder, "space.yaml", "mine/train.py", "mine/__pycache__/train.pyc", ".git/HEAD", ".venv/bin/python")
    write(folder, "env2/pyvenv.cfg", "env2/lib/x.py", "runs/toy/points.parquet", ".env", "key.pem", "mlflow.db")
    write(folder, "big/manifest.json", "big/shard-00000.arrow", "old/sweep.json", "old/trials/ab/state.json")
    assert names_in(folder, tmp_path / "p.zip") == ["mine/train.py", "space.yaml"]


def test_gitignore_is_respected_as_git_respects_it(tmp_path: Path) -> None:
    folder = tmp_path / "repository" / "part"
    write(
        folder, "a.py", "data/x.npy", "logs/keep.log", "logs/drop.log", "sub/out/y.txt", "sub/deep/z.tmp", "top/t.txt"
    )
    (folder.parent / ".gitignore").write_text("*.tmp\n/part/top/\n")
    (folder / ".gitignore").write_text("*.log\n/data/\n")
    (folder / "logs" / ".gitignore").write_text("!keep.log\n")
    (folder / "sub" / ".gitignore").write_text("out/\n")
    subprocess.run(["git", "init", "-q", str(folder.parent)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=folder, check=True, capture_output=True, text=True
    )
    expected = sorted(listed.stdout.split())
    assert "logs/keep.log" in expected
    assert names_in(folder, tmp_path / "p.zip") == expected


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "secret", "password")
    write(tmp_path / "work", "a.py")
    (tmp_path / "work" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "work" / "file").symlink_to(tmp_path / "secret" / "password")
    (tmp_path / "work" / "b.py").symlink_to("a.py")
    assert names_in(tmp_path / "work", tmp_path / "p.zip") == ["a.py", "b.py"]


def test_the_same_files_are_the_same_bytes_anywhere_and_any_time(tmp_path: Path) -> None:
    write(tmp_path / "one", "a.py", "b/c.py")
    shutil.copytree(tmp_path / "one", tmp_path / "two", copy_function=shutil.copyfile)
    packages = [pack(tmp_path / name, tmp_path / f"{name}.zip").path.read_bytes() for name in ("one", "two")]
    assert packages[0] == packages[1]


def test_a_package_above_the_limit_names_what_is_large(tmp_path: Path) -> None:
    write(tmp_path / "work", "a.py")
    for name in ("pictures/cats/one.bin", "pictures/two.bin"):
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).write_bytes(os.urandom(2 * MIB))
    with pytest.raises(RaysweepError, match=r"exceeds 1 MiB.*pictures/.*2\.0 MiB.*gitignore.*--max-package"):
        pack(tmp_path / "work", tmp_path / "p.zip", limit_mib=1)


def test_modules_are_added_unless_the_folder_has_them(tmp_path: Path) -> None:
    write(tmp_path / "work", "space.yaml")
    write(tmp_path / "site" / "raysweep", "a.py", "__pycache__/a.pyc")
    package = pack(tmp_path / "work", tmp_path / "p.zip", modules=[tmp_path / "site" / "raysweep"])
    assert package.names == ("space.yaml", "raysweep/a.py")
    write(tmp_path / "work", "raysweep/b.py")
    again = pack(tmp_path / "work", tmp_path / "p.zip", modules=[tmp_path / "site" / "raysweep"])
    assert again.names == ("raysweep/b.py", "space.yaml")
    assert zipfile.ZipFile(again.path).testzip() is None


def test_this_project_is_small_to_send(tmp_path: Path) -> None:
    package = pack(ROOT, tmp_path / "p.zip")
    assert "raysweep/cli/app.py" in package.names
    assert "search_spaces/quickstart.yaml" in package.names
    assert package.size <= 5 * MIB
