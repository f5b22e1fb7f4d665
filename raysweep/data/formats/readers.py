"""The readers by format: `spans` lists the parts of a file, `read` the records of a part."""

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from raysweep.core.errors import DataError
from raysweep.data.formats.compressed import FAULTS, decompressed, is_compressed
from raysweep.data.formats.fields.blocks import Bad, Chunk, Names, Span
from raysweep.data.formats.folders import SUFFIXES, is_text

Format = Literal["aselmdb", "extxyz", "md17", "spice", "ani1x", "mptrj", "parquet", "ase", "hdf5", "asedb"]
FIXED_KEYS: tuple[Format, ...] = ("aselmdb", "extxyz", "mptrj", "ase", "asedb")
"""Formats with fixed keys for atoms, cell and periodicity."""


@dataclass(frozen=True)
class Reader:
    """The functions that read a format."""

    spans: Callable[[Path, Names], Iterator[Span | Bad]]
    read: Callable[[Path, Span, Names], Iterator[Chunk]]


def reader(format: Format) -> Reader:
    """The reader of a format; its module is imported on demand, since a worker needs only one."""
    match format:
        case "aselmdb":
            from raysweep.data.formats.ase import aselmdb

            return Reader(aselmdb.spans, aselmdb.read)
        case "extxyz":
            from raysweep.data.formats.xyz import extxyz

            return Reader(extxyz.spans, extxyz.read)
        case "md17":
            from raysweep.data.formats.arrays import npz

            return Reader(npz.spans, npz.read)
        case "spice" | "ani1x" | "hdf5":
            from raysweep.data.formats.arrays import hdf5

            return Reader(hdf5.spans_of(format), hdf5.read_of(format))
        case "mptrj":
            from raysweep.data.formats import mptrj

            return Reader(mptrj.spans, mptrj.read)
        case "parquet":
            from raysweep.data.formats.arrays import parquet

            return Reader(parquet.spans, parquet.read)
        case "ase":
            from raysweep.data.formats.ase import readable as ase_readable

            return Reader(ase_readable.spans, ase_readable.read)
        case "asedb":
            from raysweep.data.formats.ase import asedb

            return Reader(asedb.spans, asedb.read)


def format_of(path: Path) -> Format:
    """Recognise the format of a file by its suffix, and by its content if formats share one; "ase" if unknown.

    Raises:
        DataError: an HDF5 file cannot be opened.
    """
    plain: dict[str, Format] = {".aselmdb": "aselmdb", ".npz": "md17", ".parquet": "parquet"}
    suffix = path.suffix.lower()
    if is_text(path):
        return "extxyz"
    if is_compressed(path) and path.with_suffix("").suffix.lower() in SUFFIXES:
        raise DataError(f"{path}: of compressed files only extxyz is read: decompress it first")
    if suffix in plain:
        return plain[suffix]
    if suffix in (".h5", ".hdf5"):
        from raysweep.data.formats.arrays import hdf5

        return hdf5.layout(path)
    if suffix == ".json":
        from raysweep.data.formats import mptrj

        if mptrj.looks_like_it(path):
            mptrj.refuse_unavailable(path)
            return "mptrj"
    if suffix in (".json", ".db"):
        from raysweep.data.formats.ase import asedb

        if asedb.looks_like_it(path):
            return "asedb"
    return "extxyz" if _looks_like_extxyz(path) else "ase"


def _looks_like_extxyz(path: Path) -> bool:
    """Whether a file begins like extxyz, whatever its name: with a number of atoms and their properties."""
    try:
        with path.open("rb") as file:
            head = decompressed(file, path).read(16384).removeprefix(BOM_UTF8).split(b"\n", 2)
    except FAULTS:
        return False
    return len(head) > 2 and head[0].strip().isdigit() and b"Properties" in head[1]
