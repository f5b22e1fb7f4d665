"""Selection of the files to read in a folder, by suffix; every other file is reported."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from raysweep.core.errors import DataError
from raysweep.data.formats.compressed import FAULTS, decompressed, is_compressed
from raysweep.data.store.manifest import MANIFEST_NAME

SUFFIXES = (".aselmdb", ".extxyz", ".xyz", ".npz", ".h5", ".hdf5", ".parquet", ".json", ".db")
"""Files that a folder is searched for."""
TEXT_SUFFIXES = (".extxyz", ".xyz")
"""Suffixes that are also read compressed."""
_AT_ONCE = 2**20


@dataclass(frozen=True)
class LeftOut:
    """A file or folder in an imported folder that is not read, with the reason."""

    path: Path
    reason: str


def files_of(sources: Sequence[Path]) -> tuple[list[Path], list[LeftOut]]:
    """List the files of the sources, sorted within each folder, and the files that are skipped.

    A folder means the files in it, at any depth, through links, too.

    Raises:
        DataError: a source is absent or given twice, a folder has no file to read, or cannot be read.
    """
    files: list[Path] = []
    left_out: list[LeftOut] = []
    for source in sources:
        if source.is_dir():
            found = list(_within(source, set()))
            within = sorted(one for one in found if isinstance(one, Path))
            left_out += [one for one in found if isinstance(one, LeftOut)]
            if not within:
                raise DataError(f"{source}: no file in this folder ends in {', '.join(SUFFIXES)}{_held(left_out)}")
            files += _once(within, left_out)
        elif source.is_file():
            files.append(source)
        else:
            raise DataError(f"no such file: {source}")
    real: dict[Path, Path] = {}
    for file in files:
        if (other := real.setdefault(file.resolve(), file)) is not file:
            raise DataError(f"a file was given twice: {file}" + ("" if other == file else f" is {other}"))
    return files, left_out


def is_text(path: Path) -> bool:
    """Whether a file is extxyz by its name, compressed or not."""
    return _plain(path).suffix.lower() in TEXT_SUFFIXES


def _plain(path: Path) -> Path:
    """A name without the suffix of its compression."""
    return path.with_suffix("") if is_compressed(path) else path


def _within(folder: Path, above: set[str]) -> Iterator[Path | LeftOut]:
    """Yield the files below a folder and those that are skipped."""
    real = os.path.realpath(folder)
    if real in above:
        yield LeftOut(folder, "a link to one of its parent folders")
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    for entry in entries:
        path = Path(entry.path)
        hidden = path.name.startswith(".")
        if entry.is_dir():
            if hidden or ((path / MANIFEST_NAME).is_file() and any(path.glob("shard-*.arrow"))):
                yield LeftOut(path, "a hidden folder" if hidden else "a store of raysweep's")
            else:
                yield from _within(path, above | {real})
        elif hidden:
            yield LeftOut(path, "a hidden file")
        elif not entry.is_file():
            yield LeftOut(path, "a link to nothing" if entry.is_symlink() else "no file")
        elif path.name == "metadata.npz" and any(path.parent.glob("*.aselmdb")):
            yield LeftOut(path, "the sizes of the structures in the shards beside it")
        elif is_text(path) or path.suffix.lower() in SUFFIXES:
            yield path
        elif path.name.endswith(".aselmdb-lock"):  # LMDB's, which holds nothing
            continue
        elif _plain(path).suffix.lower() in SUFFIXES:
            yield LeftOut(path, "compressed: decompress it first")
        else:
            yield LeftOut(path, "its name ends in none of " + ", ".join(SUFFIXES))


def _once(files: list[Path], left_out: list[LeftOut]) -> list[Path]:
    """Drop links to other files of a folder, and compressed copies of them."""
    first: dict[str, Path] = {}
    for file in sorted(files, key=lambda file: (file.is_symlink(), str(file))):
        first.setdefault(os.path.realpath(file), file)
    kept = [file for file in files if first[os.path.realpath(file)] is file]
    there = set(kept)
    left_out += [LeftOut(file, "a link to a file that is read") for file in files if file not in there]
    copies = [file for file in kept if is_compressed(file) and _plain(file) in there and _same_text(file, _plain(file))]
    left_out += [LeftOut(file, f"a compressed copy of {_plain(file).name}, which is read") for file in copies]
    return [file for file in kept if file not in copies]


def _same_text(compressed: Path, plain: Path) -> bool:
    with compressed.open("rb") as one, plain.open("rb") as other:
        text = decompressed(one, compressed)
        try:
            while True:
                piece = text.read(_AT_ONCE)
                if piece != other.read(len(piece) or 1):
                    return False
                if not piece:
                    return True
        except FAULTS:  # its reader reports what is wrong with it
            return False


def _held(left_out: list[LeftOut]) -> str:
    return "; it holds " + ", ".join(one.path.name for one in left_out[:10]) if left_out else ""


def counted(left_out: Sequence[LeftOut]) -> dict[str, int]:
    """Count the skipped files by reason, with their names, for the manifest."""
    reasons: dict[str, list[str]] = {}
    for one in left_out:
        reasons.setdefault(one.reason, []).append(one.path.name)
    return {f"not read: {', '.join(names)} ({reason})": len(names) for reason, names in reasons.items()}
