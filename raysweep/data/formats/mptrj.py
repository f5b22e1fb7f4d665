"""MPtrj (Deng et al. 2023, 10.1038/s42256-023-00716-3): one JSON {material: {frame: {structure, energies, force}}}.

eV and Å. The energy is `uncorrected_total_energy`, that of the calculation, which belongs to the forces; files without
it give `energy_per_atom` times the atoms. (`corrected_total_energy` is another thing.) All is periodic.
The file is far larger than memory, so materials are found by their braces and parsed some at a time.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from raysweep.data.elements import numbers_of
from raysweep.data.formats.blocks import Bad, Chunk, Flat, Names, Span, checked
from raysweep.data.formats.units import energy_ev, length_angstrom
from raysweep.errors import DataError

SPAN_BYTES = 8 * 2**20
_QUOTE, _ESCAPE, _OPEN, _CLOSE = b'"\\{}'
_ENERGY, _PER_ATOM = "uncorrected_total_energy", "energy_per_atom"


def looks_like_it(path: Path) -> bool:
    """Return whether the beginning of a JSON file is that of MPtrj, and not of one of ASE's."""
    with path.open("rb") as file:
        head = file.read(2**20)
    return head.lstrip()[:1] == b"{" and b'"structure"' in head and b'"@class"' in head


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield runs of whole materials of about 8 MiB, from a pass over quotes and braces.

    Raises:
        DataError: a unit is unknown.
    """
    energy_ev(names.energy_unit), length_angstrom(names.length_unit)
    depth = place = 0
    start, count, first = 0, 0, 0
    in_text = False
    with path.open("rb") as file:
        while piece := file.read(SPAN_BYTES):
            while piece.endswith(b"\\") and (more := file.read(1)):  # an escape and what it escapes stay together
                piece += more
            ends, depth, in_text = _ends(piece, depth, in_text)
            if len(ends):
                stop, count = place + int(ends[-1]) + 1, count + len(ends)
                yield Span(start=start, stop=stop, first=first, bytes=stop - start)
                start, first = stop, count
            place += len(piece)
    if depth or in_text:
        reason = "the file ends within this material: cut off, or not MPtrj's JSON"
        yield Bad(where=f"{path}, material {count}", reason=reason)
    elif not count:
        yield Bad(where=f"{path}, material 0", reason="the file holds no materials")


def _ends(piece: bytes, depth: int, in_text: bool) -> tuple[npt.NDArray[np.int64], int, bool]:
    """Return where materials end in a piece, and the depth of braces and whether within a string at its end."""
    text = np.frombuffer(piece, dtype=np.uint8)
    quotes = text == _QUOTE
    if b"\\" in piece:
        for at in np.flatnonzero(quotes):
            before = at
            while before and text[before - 1] == _ESCAPE:
                before -= 1
            quotes[at] = (at - before) % 2 == 0
    marks = np.flatnonzero(quotes | (text == _OPEN) | (text == _CLOSE))
    kinds = text[marks]
    quoted = (np.cumsum(kinds == _QUOTE) + in_text) % 2 == 1
    steps = np.where(quoted, 0, (kinds == _OPEN).astype(np.int64) - (kinds == _CLOSE))
    depths = np.cumsum(steps) + depth
    ends = marks[(steps == -1) & (depths == 1)]
    last_quoted = bool(quoted[-1]) if len(marks) else in_text
    return ends, int(depths[-1]) if len(marks) else depth, last_quoted


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the frames of some materials; the group is the material."""
    import orjson

    with path.open("rb") as file:
        file.seek(span.start)
        text = file.read(span.stop - span.start).strip().lstrip(b"{,")
    try:
        materials = cast(dict[str, dict[str, object]], orjson.loads(b"{" + text + b"}"))
    except orjson.JSONDecodeError:
        try:  # NaN is no JSON, but Python writes it
            materials = json.loads(b"{" + text + b"}")
        except ValueError as error:
            yield Bad(where=f"{path}, materials from {span.first} on", reason=f"no JSON ({error})")
            return
    rows = []
    for material, frames in materials.items():
        for name, frame in frames.items() if isinstance(frames, dict) else []:
            try:
                rows.append(_row(material, frame, names))
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                text_of = f"no {error}" if isinstance(error, KeyError) else str(error)
                yield Bad(where=f"{path}, {material}, frame {name}", reason=f"cannot be read ({text_of})")
    if rows:
        yield from _checked(path, span, rows, names)


_Row = tuple[
    str, npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64], float, npt.NDArray[np.float64]
]


def _row(material: str, frame: object, names: Names) -> _Row:
    """Return group, numbers [n], positions [n, 3], forces [n, 3], energy and cell [3, 3] of a frame."""
    if not isinstance(frame, dict):
        raise TypeError("not a frame")
    structure = frame["structure"]
    cell = np.array(structure["lattice"]["matrix"], dtype=np.float64).reshape(3, 3)
    sites = structure["sites"]
    numbers = numbers_of([site["species"][0]["element"] for site in sites])
    if sites and "xyz" in sites[0]:
        positions = np.array([site["xyz"] for site in sites], dtype=np.float64).reshape(-1, 3)
    else:
        positions = np.array([site["abc"] for site in sites], dtype=np.float64).reshape(-1, 3) @ cell
    forces = np.array(frame[names.forces or "force"], dtype=np.float64).reshape(-1, 3)
    if len(forces) != len(numbers):
        raise ValueError(f"{len(numbers)} sites, but {len(forces)} forces")
    if names.energy:
        energy = float(frame[names.energy])
    elif frame.get(_ENERGY) is not None:
        energy = float(frame[_ENERGY])
    else:
        energy = float(frame[_PER_ATOM]) * len(numbers)
    return material, numbers, positions, forces, energy, cell


def _checked(path: Path, span: Span, rows: list[_Row], names: Names) -> Iterator[Chunk]:
    groups, numbers, positions, forces, energies, cells = zip(*rows, strict=True)
    yield from checked(
        Flat(
            path=path,
            record=f"materials from {span.first} on, frame",
            at=np.arange(len(rows)),
            numbers=np.concatenate(numbers),
            n_atoms=np.array([len(each) for each in numbers]),
            positions=np.concatenate(positions),
            forces=np.concatenate(forces),
            energy=np.array(energies, dtype=np.float64),
            cell=np.stack(cells),
            pbc=np.ones((len(rows), 3), dtype=bool),
            group=list(groups),
            energy_ev=energy_ev(names.energy_unit),
            length_angstrom=length_angstrom(names.length_unit),
        )
    )


def refuse_unavailable(path: Path) -> None:
    """Raise where orjson is missing.

    Raises:
        DataError: it is.
    """
    try:
        import orjson  # noqa: F401
    except ImportError as error:
        raise DataError(f"{path}: MPtrj files need orjson: pip install 'raysweep[formats]'") from error
