"""Which reader reads a file: each format has `spans`, what parts a file has, and `read`, the records of a part."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raysweep.data.formats.blocks import Bad, Chunk, Names, Span
from raysweep.errors import DataError

Format = Literal["aselmdb", "extxyz", "md17", "spice", "ani1x", "mptrj", "parquet", "ase"]
SUFFIXES = (".aselmdb", ".extxyz", ".xyz", ".npz", ".h5", ".hdf5", ".parquet", ".json")
"""Files that a folder is searched for."""
UNITS_KNOWN: tuple[Format, ...] = ("md17", "spice", "ani1x")
"""Formats whose units are fixed, so that no other unit can be asked for."""


@dataclass(frozen=True)
class Reader:
    """How a format is read."""

    spans: Callable[[Path, Names], Iterator[Span | Bad]]
    read: Callable[[Path, Span, Names], Iterator[Chunk]]


def reader(format: Format) -> Reader:
    """Return how a format is read. Its module is imported now: a worker needs one of them, and as soon as can be."""
    match format:
        case "aselmdb":
            from raysweep.data.formats import aselmdb

            return Reader(aselmdb.spans, aselmdb.read)
        case "extxyz":
            from raysweep.data.formats import extxyz

            return Reader(extxyz.spans, extxyz.read)
        case "md17":
            from raysweep.data.formats import md17

            return Reader(md17.spans, md17.read)
        case "spice" | "ani1x":
            from raysweep.data.formats import hdf5

            return Reader(hdf5.spans, hdf5.read_spice if format == "spice" else hdf5.read_ani1x)
        case "mptrj":
            from raysweep.data.formats import mptrj

            return Reader(mptrj.spans, mptrj.read)
        case "parquet":
            from raysweep.data.formats import parquet

            return Reader(parquet.spans, parquet.read)
        case "ase":
            from raysweep.data.formats import ase_readable

            return Reader(ase_readable.spans, ase_readable.read)


def format_of(path: Path) -> Format:
    """Return the format of a file by its suffix, and by what is in it where several share one; "ase" where unknown.

    Raises:
        DataError: an HDF5 file has the layout of neither SPICE nor ANI-1x, or cannot be opened.
    """
    plain: dict[str, Format] = {
        ".aselmdb": "aselmdb", ".extxyz": "extxyz", ".xyz": "extxyz", ".npz": "md17", ".parquet": "parquet",
    }  # fmt: skip
    if path.suffix in plain:
        return plain[path.suffix]
    if path.suffix in (".h5", ".hdf5"):
        from raysweep.data.formats import hdf5

        found = hdf5.layout(path)
        if found is None:
            raise DataError(f"{path}: neither SPICE's datasets ({', '.join(hdf5.SPICE)}) nor ANI-1x's are in it")
        return found
    if path.suffix == ".json":
        from raysweep.data.formats import mptrj

        if mptrj.looks_like_it(path):
            mptrj.refuse_unavailable(path)
            return "mptrj"
    return "ase"


def files_of(sources: "list[Path]") -> list[Path]:
    """Return the files that sources stand for: themselves, or those in a folder, at any depth, in order of their names.

    Raises:
        DataError: a source is absent, or a folder has no file of a known suffix.
    """
    files: list[Path] = []
    for source in sources:
        if source.is_dir():
            within = sorted(path for path in source.rglob("*") if path.suffix in SUFFIXES and path.is_file())
            if not within:
                raise DataError(f"{source}: no file in this folder ends in {', '.join(SUFFIXES)}")
            files += within
        elif source.is_file():
            files.append(source)
        else:
            raise DataError(f"no such file: {source}")
    return files
