"""extxyz (Properties, Lattice, key=value), read many frames at once; compressed files, too.

Everything is read as by ASE, or better where ASE loses something, or rejected with a reason: blank lines between
frames, symbols on either side of their column, numbers in Fortran's notation, names of groups that look like numbers.
"""

from codecs import BOM_UTF8
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysweep.data.formats.compressed import FAULTS, decompressed, is_compressed
from raysweep.data.formats.fields.blocks import Bad, Chunk, Flat, Names, Span, checked
from raysweep.data.formats.fields.stated import frames_scale
from raysweep.data.formats.xyz.atoms import Columns, columns_of, is_vector, table
from raysweep.data.formats.xyz.frames import NEWLINE, Run, Scanner
from raysweep.data.formats.xyz.headers import HeaderError, Headers
from raysweep.data.formats.xyz.meaning import Said, said

SPAN_BYTES = 8 * 2**20
FRAMES_AT_ONCE = 256
"""Frames that are parsed at once: their text fits into the processor's cache."""
_PROPERTIES = b"Properties"
_NO_PROPERTIES = (
    "no Properties in the header, so that there are no forces: write the header as Properties=species:S:1:pos:R:3:"
    "forces:R:3 energy=..., with the columns that there are"
)


class _Frame(NamedTuple):
    """A frame: its number in the file, its header, parsed and not, and the place of its atoms' lines in the text."""

    at: int
    n_atoms: int
    header: Mapping[bytes, bytes]
    start: int
    stop: int


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield runs of whole frames of about 8 MiB, from a pass over the line breaks, and lines that belong to no frame.

    The spans of a compressed file carry their text, since no other process could seek in it.

    Raises:
        DataError: a unit is unknown, or contradicts the requested one.
    """
    frames_scale(str(path), names, {})
    place = number = filled = read_so_far = 0
    scanner, carried, ended = Scanner(), is_compressed(path), False
    text = bytearray(SPAN_BYTES)  # reused: memory that is new to the process is slow to touch
    with path.open("rb") as raw:
        file = decompressed(raw, path)
        while not ended:
            if filled > len(text) // 2:
                text += bytes(len(text))
            filled, ended, torn = _filled(file, text, filled)
            if not place and text[:filled].startswith(BOM_UTF8):
                place, filled = len(BOM_UTF8), _shifted(text, len(BOM_UTF8), filled)
            if ended and filled and text[filled - 1] != NEWLINE:
                text[filled] = NEWLINE
                filled += 1
            done = 0
            for piece in scanner.pieces(text, filled, ended=ended):
                done = piece.stop
                if not isinstance(piece, Run):
                    yield Bad(where=f"{path}, frame {number}", reason=piece.reason)
                    number += 1
                elif piece.count:
                    share, read_so_far = raw.tell() - read_so_far, raw.tell()
                    yield Span(
                        start=place + piece.start, stop=place + piece.stop, first=number, bytes=share,
                        text=bytes(text[piece.start : piece.stop]) if carried else None,
                    )  # fmt: skip
                    number += piece.count
            place, filled = place + done, _shifted(text, done, filled)
            if torn:
                yield Bad(where=f"{path}, frame {number}", reason=f"the compressed text is cut off or altered ({torn})")
                return
    if not number:
        yield Bad(where=f"{path}, frame 0", reason="the file has no frames")


def _filled(file: BinaryIO, text: bytearray, filled: int) -> tuple[int, bool, str | None]:
    """Fill a buffer except its last byte; return its size, whether the text ended, and the fault that ended it."""
    try:
        with memoryview(text) as whole:
            while filled + 1 < len(text):
                with whole[filled : min(filled + SPAN_BYTES, len(text) - 1)] as room:
                    size: int = file.readinto(room)  # type: ignore[attr-defined]
                if not size:
                    return filled, True, None
                filled += size
    except FAULTS as error:
        return filled, True, str(error)
    return filled, False, None


def _shifted(text: bytearray, by: int, filled: int) -> int:
    """Drop the first bytes of a buffer and move the rest to its beginning; return the number of bytes left."""
    text[: filled - by] = text[by:filled]
    return filled - by


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the frames of a span."""
    text = span.text
    if text is None:
        with path.open("rb") as file:
            file.seek(span.start)
            text = file.read(span.stop - span.start)
    if not text.endswith(b"\n"):
        text += b"\n"
    kinds: dict[bytes, list[_Frame]] = defaultdict(list)
    for frame in _frames(path, text, span.first):
        if isinstance(frame, Bad):
            yield frame
        else:
            kinds[frame.header.get(_PROPERTIES, b"")].append(frame)
    for layout, alike in kinds.items():
        yield from _alike(path, text, layout, alike, names)


def _frames(path: Path, text: bytes, first: int) -> Iterator[_Frame | Bad]:
    """Yield every frame of a text of frames and blank lines."""
    ends = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == NEWLINE).tolist()
    line = place = 0
    at, headers = first, Headers()
    while line < len(ends):
        words = text[place : ends[line]].strip()
        if not words:
            line, place = line + 1, ends[line] + 1
            continue
        n_atoms = int(words)
        header, last = text[ends[line] + 1 : ends[line + 1]], ends[line + 1 + n_atoms]
        try:
            yield _Frame(at, n_atoms, headers.read(header.rstrip()), ends[line + 1] + 1, last + 1)
        except HeaderError as error:
            yield Bad(where=f"{path}, frame {at}", reason=str(error))
        line, place, at = line + n_atoms + 2, last + 1, at + 1


def _alike(path: Path, text: bytes, layout: bytes, frames: list[_Frame], names: Names) -> Iterator[Chunk]:
    """Yield frames that share their columns."""
    energy, forces = (names.energy or "energy").encode(), (names.forces or "forces").encode()
    columns: Columns = {}
    fault = None if layout else _NO_PROPERTIES
    try:
        columns = columns_of(layout) if layout else {}
    except ValueError as error:
        fault = str(error)
    kinds: dict[tuple[bool, bool, bool], list[tuple[_Frame, Said]]] = defaultdict(list)
    for frame in frames:
        reason = fault or _missing(columns, frame, energy, forces, names)
        try:
            if reason is None:
                meaning = said(frame.header, energy, names)
                with_forces = is_vector(columns, forces)
                kinds[with_forces, meaning.charge is None, meaning.spin is None].append((frame, meaning))
        except ValueError as error:
            reason = str(error)
        if reason is not None:
            yield Bad(where=f"{path}, frame {frame.at}", reason=reason)
    for (with_forces, *_), usable in kinds.items():
        for start in range(0, len(usable), FRAMES_AT_ONCE):
            some = usable[start : start + FRAMES_AT_ONCE]
            yield from _parsed(path, text, columns, forces if with_forces else None, some, names)


def _missing(columns: Columns, frame: _Frame, energy: bytes, forces: bytes, names: Names) -> str | None:
    """The reason to reject a frame without atoms, energy or forces, which one atom alone need not have."""
    if frame.n_atoms == 0:
        return "no atoms"
    no_energy = energy not in frame.header
    if not no_energy and (is_vector(columns, forces) or (frame.n_atoms == 1 and forces not in columns)):
        return None
    label, asked = ("energy", names.energy) if no_energy else ("forces", names.forces)
    here = ", ".join(sorted(k.decode(errors="replace") for k in {*frame.header, *columns} - {_PROPERTIES}))
    why = f"none is recognised, name it with --{label}-key" if asked is None else f"there is no {asked!r}"
    if not no_energy and forces in columns:
        why = f"{forces.decode(errors='replace')!r} does not have three numbers an atom"
    return f"no {label}: {why}; the frame has {here}"


def _parsed(
    path: Path,
    text: bytes,
    columns: Columns,
    forces: bytes | None,
    frames: list[tuple[_Frame, Said]],
    names: Names,
) -> Iterator[Chunk]:
    n_atoms = np.array([frame.n_atoms for frame, _ in frames])
    try:
        body = b"".join(text[frame.start : frame.stop] for frame, _ in frames)
        arrays = table(body, columns, forces, int(n_atoms.sum()))
    except (pa.ArrowInvalid, ValueError) as error:
        if len(frames) == 1:
            at = frames[0][0].at
            yield Bad(where=f"{path}, frame {at}", reason=f"cannot be read ({str(error).splitlines()[0]})")
            return
        for half in (frames[: len(frames) // 2], frames[len(frames) // 2 :]):  # bisect to find the faulty frames
            yield from _parsed(path, text, columns, forces, half, names)
        return
    scale = frames_scale(str(path), names, {})
    per_frame = _per_frame([meaning for _, meaning in frames])
    if scale.per_atom:
        per_frame["energy"] = per_frame["energy"] * n_atoms
    yield from checked(
        Flat(
            path=path,
            record="frame",
            at=np.array([frame.at for frame, _ in frames]),
            n_atoms=n_atoms,
            **{**arrays, **per_frame},
            energy_ev=scale.energy_ev,
            length_angstrom=scale.length_angstrom,
            force_length_angstrom=scale.force_length_angstrom,
        )
    )


def _per_frame(meanings: list[Said]) -> dict[str, Any]:
    """Energy, cell, pbc, charge, spin, group and source of frames, all or none of which have charge and spin."""
    found: dict[str, Any] = {"energy": np.array([one.energy for one in meanings])}
    if any(one.cell is not None for one in meanings):
        found["cell"] = np.array([_NO_CELL if one.cell is None else one.cell for one in meanings])
        found["pbc"] = np.array([one.pbc or (False, False, False) for one in meanings])
    for name in ("charge", "spin"):
        if getattr(meanings[0], name) is not None:
            found[name] = np.array([getattr(one, name) for one in meanings])
    for name in ("group", "source"):
        texts = [getattr(one, name) for one in meanings]
        if any(text is not None for text in texts):
            found[name] = texts
    if any(one.isolated for one in meanings):
        found["isolated"] = np.array([one.isolated for one in meanings])
    return found


_NO_CELL: npt.NDArray[np.float64] = np.zeros((3, 3))
