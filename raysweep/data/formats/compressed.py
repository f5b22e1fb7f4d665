"""Reading of compressed text files."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

_OPEN: dict[str, Callable[[BinaryIO], object]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": lambda file: pa.CompressedInputStream(file, "zstd"),
}
COMPRESSED = tuple(_OPEN)
"""Suffixes of compressed files."""
FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)
"""Exceptions raised by a compressed text that is cut off or altered."""


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed, by its name."""
    return path.suffix.lower() in COMPRESSED


def decompressed(file: BinaryIO, path: Path) -> BinaryIO:
    """Open a stream of an open file's text, decompressed according to the file's suffix."""
    return cast(BinaryIO, _OPEN[path.suffix.lower()](file)) if is_compressed(path) else file
