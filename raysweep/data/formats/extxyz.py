"""extxyz in its common layout (Lattice, Properties, key=value), read many frames at once.

A frame with a header beyond it (nested brackets, escapes, no Properties) is given to ASE by itself, so that nothing is
read differently than ASE reads it.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import csv

from raysweep.data.elements import numbers_of
from raysweep.data.formats import ase_readable
from raysweep.data.formats.blocks import Bad, Chunk, Flat, Names, Span, checked
from raysweep.data.formats.fixed_width import fixed_columns
from raysweep.data.formats.units import energy_ev, length_angstrom

SPAN_BYTES = 8 * 2**20
FRAMES_AT_ONCE = 256
"""Frames that are parsed at once: so many that their text stays in the processor's cache."""
_BARE, _QUOTED = rb"""[^\s"'{}\[\],\\]+""", rb"""[^"'{}\[\],\\]*"""
_STRANGE = re.compile(rb"[\\'{}\[\],]")
"""What headers of the common layout do not hold: escapes, other quotes and brackets."""
_NEWLINE = 10
_BOOLEAN = {b"T": True, b"F": False, b"True": True, b"False": False, b"1": True, b"0": False}


class _Frame(NamedTuple):
    """A frame of the common layout: number in the file, its header, and where its atoms' lines are in the text."""

    at: int
    n_atoms: int
    header: Mapping[bytes, bytes]
    start: int
    stop: int
    text: tuple[int, int]


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield runs of whole frames of about 8 MiB, from a pass over the line breaks.

    Raises:
        DataError: a unit is unknown.
    """
    energy_ev(names.energy_unit), length_angstrom(names.length_unit)
    place = first = number = held = 0
    text = bytearray(2 * SPAN_BYTES)  # used again and again: memory that is new to the process takes longer than a look
    with path.open("rb") as file:
        while True:
            if len(text) < held + SPAN_BYTES:
                text += bytes(len(text))
            with memoryview(text) as whole, whole[held : held + SPAN_BYTES] as room:
                size = file.readinto(room)
            held += size
            if not size and held and text[held - 1] != _NEWLINE:
                text[held] = _NEWLINE
                held += 1
            end, count, fault = _whole_frames(text, held)
            if end:
                yield Span(start=place, stop=place + end, first=first, bytes=end)
            place, number = place + end, first + count
            first, held = number, held - end
            text[:held] = text[end : end + held]
            if fault or (not size and text[:held].strip()):
                reason = fault or "the file ends within this frame: cut off, or not extxyz"
                yield Bad(where=f"{path}, frame {number}", reason=reason)
                return
            if not size:
                break
    if not number:
        yield Bad(where=f"{path}, frame 0", reason="the file holds no frames")


def _whole_frames(text: bytearray, size: int) -> tuple[int, int, str | None]:
    """Return where the last whole frame ends, how many there are, and what is wrong with the next, if anything is."""
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8, count=size) == _NEWLINE)
    line = place = count = 0
    while line < len(ends):
        word = bytes(text[place : ends[line]]).strip()
        if not word.isdigit():
            return place, count, None if not text[place:size].strip() else f"{word[:40]!r} is not a number of atoms"
        line += int(word) + 2
        if line > len(ends):
            break
        place, count = int(ends[line - 1]) + 1, count + 1
    return place, count, None


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the frames of a span."""
    with path.open("rb") as file:
        file.seek(span.start)
        text = file.read(span.stop - span.start)
    kinds: dict[tuple[bytes, ...], list[_Frame]] = {}
    state = [key.encode() for key in (names.charge, names.spin) if key]
    for frame in _frames(text, span.first):
        if b"Properties" in frame.header:
            has = [key for key in state if key in frame.header]
            kinds.setdefault((frame.header[b"Properties"], *has), []).append(frame)
        else:
            yield from ase_readable.read_text(path, text[slice(*frame.text)], names, frame.at)
    for (layout, *_), alike in kinds.items():
        for start in range(0, len(alike), FRAMES_AT_ONCE):
            yield from _alike(path, text, layout, alike[start : start + FRAMES_AT_ONCE], names)


def _frames(text: bytes, first: int) -> Iterator[_Frame]:
    """Yield every frame; the header is empty where it is not of the common layout."""
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == _NEWLINE).tolist()
    if not text.endswith(b"\n"):
        ends.append(len(text))
    line = place = 0
    at, headers = first, _Headers()
    while line < len(ends):
        n_atoms = int(text[place : ends[line]])
        header, last = text[ends[line] + 1 : ends[line + 1]], ends[line + 1 + n_atoms]
        yield _Frame(at, n_atoms, headers.read(header.rstrip()), ends[line + 1] + 1, last + 1, (place, last + 1))
        line, place, at = line + n_atoms + 2, last + 1, at + 1


class _Headers:
    """Reads headers, those that have the keys of the one before by a pattern made of it."""

    def __init__(self) -> None:
        self._keys: tuple[bytes, ...] = ()
        self._pattern: re.Pattern[bytes] | None = None

    def read(self, line: bytes) -> dict[bytes, bytes]:
        """Return the keys and values of a header; none where it is not of the common layout."""
        if self._pattern is not None and (match := self._pattern.fullmatch(line)):
            return dict(zip(self._keys, match.groups(), strict=True))
        found = _header(line)
        parts = []
        for key, value in found.items():
            quoted = key + b'="' + value + b'"' in line
            parts.append(re.escape(key) + (b'="(' + _QUOTED + b')"' if quoted else b"=(" + _BARE + b")"))
        self._keys, self._pattern = tuple(found), re.compile(b" +".join(parts))
        return found


def _header(line: bytes) -> dict[bytes, bytes]:
    """Return the keys and values of a header; none where it is not of the common layout."""
    if _STRANGE.search(line):
        return {}
    found: dict[bytes, bytes] = {}
    outside = line.split(b'"')
    if len(outside) % 2 == 0:
        return {}
    for i in range(0, len(outside), 2):
        words = outside[i].split()
        if i + 1 < len(outside):  # a text in quotes follows: it is the value of the word before
            if not words or not outside[i].endswith(b"=") or outside[i + 2][:1].strip():
                return {}
            words[-1] += b'"'
        for word in words:
            key, equals, value = word.partition(b"=")
            if value == b'"':
                found[key] = outside[i + 1]
            elif not key or (equals and not value) or value.endswith(b'"'):
                return {}
            else:
                found[key] = value if equals else b"T"
    return found


def _alike(path: Path, text: bytes, layout: bytes, frames: list[_Frame], names: Names) -> Iterator[Chunk]:
    """Yield frames that share their columns, and whether they have a charge and a spin."""
    columns = _columns(layout)
    forces = (names.forces or "forces").encode()
    energy = (names.energy or "energy").encode()
    if columns is None or columns.get(b"pos", (0, 0, b""))[1:] != (3, b"R"):
        for frame in frames:
            yield from ase_readable.read_text(path, text[slice(*frame.text)], names, frame.at)
        return
    usable = []
    with_forces = columns.get(forces, (0, 0, b""))[1:] == (3, b"R")
    for frame in frames:
        if not with_forces or energy not in frame.header:
            reason = _missing(columns, frame, energy, forces, names)
            yield Bad(where=f"{path}, frame {frame.at}", reason=reason)
        elif frame.n_atoms == 0:
            yield Bad(where=f"{path}, frame {frame.at}", reason="no atoms")
        else:
            usable.append(frame)
    yield from _parsed(path, text, columns, usable, names, energy, forces)


def _missing(
    columns: Mapping[bytes, tuple[int, int, bytes]], frame: _Frame, energy: bytes, forces: bytes, names: Names
) -> str:
    """Return that a frame has no energy, or no forces, and what it has."""
    no_energy = energy not in frame.header
    label, asked = ("energy", names.energy) if no_energy else ("forces", names.forces)
    here = ", ".join(sorted(k.decode(errors="replace") for k in {*frame.header, *columns} - {b"Properties"}))
    why = "none is recognised" if asked is None else f"there is no {(energy if no_energy else forces).decode()!r}"
    return f"no {label}: {why}; the frame has {here}"


def _columns(layout: bytes) -> dict[bytes, tuple[int, int, bytes]] | None:
    """Return first column, number of columns and kind of each property; None where they are not understood."""
    words = layout.split(b":")
    found: dict[bytes, tuple[int, int, bytes]] = {}
    place = 0
    for name, kind, count in zip(words[::3], words[1::3], words[2::3], strict=False):
        if name in found or kind not in (b"S", b"R", b"I", b"L") or not count.isdigit():
            return None
        found[name] = (place, int(count), kind)
        place += int(count)
    named = b"species" in found or b"Z" in found
    return found if len(words) % 3 == 0 and named else None


def _parsed(
    path: Path,
    text: bytes,
    columns: Mapping[bytes, tuple[int, int, bytes]],
    frames: list[_Frame],
    names: Names,
    energy: bytes,
    forces: bytes,
) -> Iterator[Chunk]:
    if not frames:
        return
    try:
        table = _table(b"".join(text[frame.start : frame.stop] for frame in frames), columns, forces)
        headers = _headers(frames, energy, names)
    except (pa.ArrowInvalid, ValueError) as error:
        if len(frames) == 1:
            yield Bad(where=f"{path}, frame {frames[0].at}", reason=f"cannot be read ({str(error).splitlines()[0]})")
            return
        for half in (frames[: len(frames) // 2], frames[len(frames) // 2 :]):  # to find the frames that are at fault
            yield from _parsed(path, text, columns, half, names, energy, forces)
        return
    yield from checked(
        Flat(
            path=path,
            record="frame",
            at=np.array([frame.at for frame in frames]),
            n_atoms=np.array([frame.n_atoms for frame in frames]),
            **{**table, **headers},
            energy_ev=energy_ev(names.energy_unit),
            length_angstrom=length_angstrom(names.length_unit),
        )
    )


def _table(body: bytes, columns: Mapping[bytes, tuple[int, int, bytes]], forces: bytes) -> dict[str, Any]:
    """Return numbers, positions and forces of the atoms' lines."""
    if fixed := fixed_columns(body, columns, forces):
        return fixed
    for old, new in ((b"\r", b""), (b"\t", b" "), (b"        ", b" "), (b"   ", b" "), (b"  ", b" ")):
        while old in body:
            body = body.replace(old, new)
    body = body.replace(b"\n ", b"\n").replace(b" \n", b"\n").lstrip(b" ")
    width = sum(count for _, count, _ in columns.values())
    wanted: dict[str, pa.DataType] = {}
    species = columns.get(b"Z") or columns[b"species"]
    by_symbol = b"Z" not in columns
    wanted[f"c{species[0]}"] = pa.dictionary(pa.int32(), pa.string()) if by_symbol else pa.int64()
    for name in (b"pos", forces):
        wanted |= {f"c{columns[name][0] + axis}": pa.float64() for axis in range(3)}
    table = csv.read_csv(
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
    kinds = table.column(f"c{species[0]}").chunk(0)
    if by_symbol:
        numbers = numbers_of(kinds.dictionary.to_pylist())[kinds.indices.to_numpy()]
    else:
        numbers = kinds.to_numpy(zero_copy_only=False).astype(np.int64)
    vectors = [
        np.stack([table.column(f"c{columns[name][0] + axis}").to_numpy() for axis in range(3)], axis=1)
        for name in (b"pos", forces)
    ]
    return {"numbers": numbers, "positions": vectors[0], "forces": vectors[1]}


def _headers(frames: list[_Frame], energy: bytes, names: Names) -> dict[str, Any]:
    """Return energy, cell, pbc, charge, spin, group and source of the frames; ValueError where one is no number."""
    rows = [frame.header for frame in frames]
    found: dict[str, Any] = {"energy": np.array([float(row[energy]) for row in rows])}
    if any(b"Lattice" in row for row in rows):
        cells = [np.array(row[b"Lattice"].split(), dtype=np.float64) if b"Lattice" in row else _ZERO for row in rows]
        found["cell"] = np.array(cells).reshape(-1, 3, 3)
        found["pbc"] = np.array([_pbc(row) for row in rows])
    for name, key in (("charge", names.charge.encode()), ("spin", names.spin.encode())):
        if key and key in rows[0]:
            found[name] = np.array([float(row[key]) for row in rows])
    for name, key in (("group", names.group.encode()), ("source", names.source.encode())):
        if any(key in row for row in rows):
            found[name] = [row[key].decode(errors="replace") if key in row else None for row in rows]
    return found


_ZERO = np.zeros(9)


def _pbc(header: Mapping[bytes, bytes]) -> list[bool]:
    words = header[b"pbc"].split() if b"pbc" in header else [b"T" if b"Lattice" in header else b"F"] * 3
    try:
        wraps = [_BOOLEAN[word] for word in words]
    except KeyError as error:
        raise ValueError(f"pbc is {header[b'pbc'].decode(errors='replace')!r}, not three of T and F") from error
    if len(wraps) != 3:
        raise ValueError(f"pbc is {header[b'pbc'].decode(errors='replace')!r}, not three of T and F")
    return wraps
