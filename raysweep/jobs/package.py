"""The package of a submission: the files of a folder that a sweep may need, without large or secret ones."""

import fnmatch
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

from raysweep.core.errors import RaysweepError
from raysweep.storage import layout

MIB = 2**20
LIMIT_MIB = 20.0
"""Default limit of a package; Ray itself refuses more than 100 MiB."""
LARGEST_NAMED = 5

EXCLUDED_FOLDERS = frozenset(
    (
        *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", ".tox", ".nox", ".cache", ".idea", ".vscode"),
        *("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".ipynb_checkpoints"),
        *("runs", "mlruns", "mlartifacts", ".aws", ".ssh", ".ray"),
    )
)
"""Folders that are never packed: histories, environments, caches, results, credentials."""
EXCLUDED_FILES = (
    "*.pyc",
    "*.db",
    "*.db-wal",
    "*.db-shm",
    ".env",
    ".netrc",
    "*.pem",
    "*.key",
    "auth_token",
    ".DS_Store",
)
"""Files that are never packed: compiled code, databases, and likely secrets."""
_MARKS = ({"pyvenv.cfg"}, {"manifest.json", "shard-00000.arrow"}, {layout.SWEEP, layout.TRIALS})
"""Entries by which a virtual environment, a structure store and the storage of a sweep are recognized."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Package:
    """A zip archive that becomes the working directory of a job."""

    path: Path
    names: tuple[str, ...]
    """Names of its files, relative to the folder."""
    size: int
    """Bytes, compressed: what is sent."""

    @property
    def text(self) -> str:
        """The number of files and the size, as text."""
        size = f"{self.size / MIB:.2f} MiB" if self.size >= MIB / 10 else f"{self.size / 1024:.1f} KiB"
        return f"{len(self.names)} files, {size}"


def pack(folder: Path, target: Path, *, limit_mib: float = LIMIT_MIB, modules: Sequence[Path] = ()) -> Package:
    """Write the files of a folder to a zip archive whose bytes depend only on their names and contents.

    It excludes `EXCLUDED_FOLDERS`, `EXCLUDED_FILES`, virtual environments, structure stores and storages of sweeps
    (recognised by their content), what a `.gitignore` in, below or (within the repository) above the folder names, and
    links that lead out of the folder.

    Args:
        folder: the working directory of the job.
        target: the archive to write.
        limit_mib: the largest archive, in MiB.
        modules: folders of Python packages to add at the top, unless the folder has one of that name.

    Raises:
        RaysweepError: the archive is larger than that; the message names the largest paths in it.
    """
    found = list(_files(folder))
    for module in modules:
        if not any(name.startswith(f"{module.name}/") for name, _ in found):
            found += [(f"{module.name}/{name}", path) for name, path in _files(module)]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in found:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if os.access(path, os.X_OK) else 0o644) << 16
            archive.writestr(entry, path.read_bytes())
            if target.stat().st_size > limit_mib * MIB:
                break  # do not pack a whole home directory first
    package = Package(target, tuple(name for name, _ in found), target.stat().st_size)
    if package.size > limit_mib * MIB:
        raise RaysweepError(
            f"{folder}: the package of this folder exceeds {limit_mib:g} MiB; largest: {_largest(folder, found)}. "
            "List what a job does not need in a .gitignore there, submit from a smaller folder, or raise --max-package"
        )
    return package


def _largest(folder: Path, found: list[tuple[str, Path]]) -> str:
    sizes: dict[str, int] = {}
    for name, path in found:
        parts = name.split("/")
        top = "/".join(parts[:2]) + "/" if len(parts) > 2 else name
        sizes[top] = sizes.get(top, 0) + path.stat().st_size
    first = sorted(sizes.items(), key=lambda item: -item[1])[:LARGEST_NAMED]
    return ", ".join(f"{name} ({size / MIB:.1f} MiB)" for name, size in first)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name in the archive, file), sorted by name within each folder."""
    root = folder.resolve()
    yield from _walk(root, root, _specs_above(root))


Specs = tuple[tuple[Path, GitIgnoreSpec], ...]


def _walk(root: Path, folder: Path, specs: Specs) -> Iterator[tuple[str, Path]]:
    specs += _spec_of(folder)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise RaysweepError(f"{folder}: cannot be read: {error.strerror}; name it in a .gitignore") from error
    for path in entries:
        if path.is_symlink() and (path.is_dir() or not path.resolve().is_relative_to(root)):
            continue
        if path.is_dir():
            if not _folder_left_out(path) and not _ignored(path, specs, "/"):
                yield from _walk(root, path, specs)
        elif path.is_file() and not _file_left_out(path.name) and not _ignored(path, specs, ""):
            yield path.relative_to(root).as_posix(), path


def _specs_above(root: Path) -> Specs:
    """Read the rules of the folders above, up to the root of the repository that the folder is in."""
    above: list[Path] = []
    if (root / ".git").exists():
        return ()
    for folder in root.parents:
        above.append(folder)
        if (folder / ".git").exists():
            return tuple(spec for place in reversed(above) for spec in _spec_of(place))
    return ()


def _spec_of(folder: Path) -> Specs:
    path = folder / ".gitignore"
    if not path.is_file():
        return ()
    return ((folder, GitIgnoreSpec.from_lines(path.read_text(errors="replace").splitlines())),)


def _ignored(path: Path, specs: Specs, suffix: str) -> bool:
    ignored = False
    for base, spec in specs:  # as in git, the nearest .gitignore that matches a path decides
        verdict = spec.check_file(path.relative_to(base).as_posix() + suffix).include
        ignored = ignored if verdict is None else verdict
    return ignored


def _folder_left_out(path: Path) -> bool:
    if path.name in EXCLUDED_FOLDERS or path.name.endswith(".egg-info"):
        return True
    return any(all((path / name).exists() for name in names) for names in _MARKS)


def _file_left_out(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in EXCLUDED_FILES)
