"""The lines of atoms of many frames as arrays: elements, positions and forces."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from raysweep.data.elements import numbers_of
from raysweep.data.formats.xyz.fixed_width import fixed_columns
from raysweep.data.formats.xyz.headers import shown

Columns = Mapping[bytes, tuple[int, int, bytes]]
"""First column, number of columns and kind (S, R, I, L) of each property."""
SPECIES, NUMBERS, POSITIONS = b"species", b"Z", b"pos"
_ALIASES = {b"symbols": SPECIES, b"numbers": NUMBERS, b"positions": POSITIONS}
"""Names that ASE treats as extxyz's own."""
_FORTRAN = re.compile(rb"(?<=[0-9.])[dD](?=[+-]?[0-9])")
_PLUS = re.compile(rb"(?<= )\+(?=[0-9.])")


def columns_of(layout: bytes) -> Columns:
    """Parse the columns named by a value of `Properties`.

    Raises:
        ValueError: it is not such a value, or lacks elements or positions.
    """
    words = layout.split(b":")
    found: dict[bytes, tuple[int, int, bytes]] = {}
    place = 0
    for name, kind, count in zip(words[::3], words[1::3], words[2::3], strict=False):
        name = _ALIASES.get(name, name)
        if kind not in (b"S", b"R", b"I", b"L") or not count.isdigit() or not int(count):
            raise ValueError(f"Properties is {shown(layout)}, not NAME:KIND:COLUMNS and so on, the kind S, R, I or L")
        if name in found:
            raise ValueError(f"Properties names {shown(name)} twice")
        found[name] = (place, int(count), kind)
        place += int(count)
    if len(words) % 3:
        raise ValueError(f"Properties is {shown(layout)}, not NAME:KIND:COLUMNS and so on, the kind S, R, I or L")
    species, numbers = found.get(SPECIES, (0, 0, b""))[1:], found.get(NUMBERS, (0, 0, b""))[1:]
    if species != (1, b"S") and numbers != (1, b"I"):
        raise ValueError(f"Properties is {shown(layout)}, without species:S:1 or Z:I:1")
    if not is_vector(found, POSITIONS):
        raise ValueError(f"Properties is {shown(layout)}, without pos:R:3")
    return found


def is_vector(columns: Columns, name: bytes) -> bool:
    """Whether a property is present and has three numbers an atom."""
    return columns.get(name, (0, 0, b""))[1:] in ((3, b"R"), (3, b"I"))


def table(body: bytes, columns: Columns, forces: bytes | None, atoms: int) -> dict[str, Any]:
    """Parse numbers, positions and forces from the atoms' lines.

    Args:
        body: the lines.
        columns: their content.
        forces: name of the forces; None: there are none, and zeros are returned.
        atoms: the expected number of lines.

    Raises:
        ValueError: a line cannot be read.
    """
    if forces and (fixed := fixed_columns(body, columns, forces)):
        found = fixed
    else:
        plain = _single_spaced(body)
        try:
            found = _words(plain, columns, forces)
        except pa.ArrowInvalid:
            other = _PLUS.sub(b"", _FORTRAN.sub(b"e", plain))
            if other == plain:
                raise
            found = _words(other, columns, forces)
    if len(found["numbers"]) != atoms:
        raise ValueError(f"{len(found['numbers'])} lines of atoms where {atoms} are stated")
    return found


def _single_spaced(body: bytes) -> bytes:
    """Normalise lines to one space between words and none around them."""
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
        if b"\r" in body:
            raise ValueError("a carriage return within a line")
    for old, new in ((b"\t", b" "), (b"        ", b" "), (b"   ", b" "), (b"  ", b" ")):
        while old in body:
            body = body.replace(old, new)
    return body.replace(b"\n ", b"\n").replace(b" \n", b"\n").lstrip(b" ")


def _words(body: bytes, columns: Columns, forces: bytes | None) -> dict[str, Any]:
    width = sum(count for _, count, _ in columns.values())
    by_symbol = columns.get(NUMBERS, (0, 0, b""))[1:] != (1, b"I")
    species = columns[SPECIES if by_symbol else NUMBERS][0]
    wanted: dict[str, pa.DataType] = {
        f"c{species}": pa.dictionary(pa.int32(), pa.string()) if by_symbol else pa.int64()
    }
    vectors = [columns[name] for name in (POSITIONS, forces) if name]
    for first, _, kind in vectors:
        wanted |= {f"c{first + axis}": pa.float64() if kind == b"R" else pa.int64() for axis in range(3)}
    read = csv.read_csv(
        pa.BufferReader(body),
        read_options=csv.ReadOptions(
            column_names=[f"c{i}" for i in range(width)], block_size=len(body) + 1, use_threads=False
        ),
        parse_options=csv.ParseOptions(delimiter=" ", quote_char=False, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=wanted, include_columns=list(wanted), null_values=["nan", "NaN", "NAN", "-nan"],
            strings_can_be_null=False,
        ),
    ).combine_chunks()  # fmt: skip
    kinds = read.column(f"c{species}").chunk(0)
    if by_symbol:
        numbers = _known(kinds.dictionary.to_pylist())[kinds.indices.to_numpy()]
    else:
        numbers = kinds.to_numpy(zero_copy_only=False).astype(np.int64)
    values = [
        np.stack([read.column(f"c{first + axis}").to_numpy() for axis in range(3)], axis=1).astype(np.float64)
        for first, _, _ in vectors
    ]
    positions = values[0]
    return {"numbers": numbers, "positions": positions, "forces": values[1] if forces else np.zeros_like(positions)}


def _known(symbols: list[str]) -> npt.NDArray[np.int64]:
    """The atomic numbers of symbols.

    Raises:
        ValueError: one is not the symbol of an element.
    """
    numbers = numbers_of(symbols)
    if not numbers.all():
        symbol = symbols[int(np.flatnonzero(numbers == 0)[0])]
        what = " (a translation vector? write the cell as Lattice in the header)" if symbol.lower() == "tv" else ""
        raise ValueError(f"{symbol[:40]!r} is not the symbol of an element{what}")
    return numbers
