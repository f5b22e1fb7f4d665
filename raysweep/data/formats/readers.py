"""Which reader reads a file: each format has `spans`, what parts a file has, and `read`, the records of a part."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from raysweep.data.formats import ase_readable, aselmdb, extxyz, hdf5, md17, mptrj, parquet
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


READERS: dict[Format, Reader] = {
    "aselmdb": Reader(aselmdb.spans, aselmdb.read),
    "extxyz": Reader(extxyz.spans, extxyz.read),
    "md17": Reader(md17.spans, md17.read),
    "spice": Reader(hdf5.spans, hdf5.read_spice),
    "ani1x": Reader(hdf5.spans, hdf5.read_ani1x),
    "mptrj": Reader(mptrj.spans, mptrj.read),
    "parquet": Reader(parquet.spans, parquet.read),
    "ase": Reader(ase_readable.spans, ase_readable.read),
}
assert set(READERS) == set(get_args(Format))


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
        found = hdf5.layout(path)
        if found is None:
            raise DataError(f"{path}: neither SPICE's datasets ({', '.join(hdf5.SPICE)}) nor ANI-1x's are in it")
        return found
    if path.suffix == ".json" and mptrj.looks_like_it(path):
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
