"""MPtrj (Deng et al. 2023, 10.1038/s42256-023-00716-3): one JSON {material: {frame: {structure, energies, force}}}.

eV and Å. The energy is `uncorrected_total_energy`, that of the calculation, as are the forces; frames without it
are faulty, since `corrected_total_energy` and `energy_per_atom`, which is corrected too, are different quantities.
Either is read if it is named, and then for all frames. All is periodic, unless a lattice says otherwise.
The file is far larger than memory, so materials are found by their braces and parsed some at a time.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.elements import numbers_of
from raysweep.data.formats.fields.blocks import Bad, Chunk, Flat, Names, Span, checked, unreadable
from raysweep.data.formats.fields.cells import pbc_rows
from raysweep.data.formats.fields.keyed import absent, no_such
from raysweep.data.formats.fields.stated import Labels, Scale, scale_of

SPAN_BYTES = 8 * 2**20
_QUOTE, _ESCAPE, _OPEN, _CLOSE = b'"\\{}'
_ENERGY, _FORCES = "uncorrected_total_energy", "force"


def looks_like_it(path: Path) -> bool:
    """Whether a JSON file begins like MPtrj, not like one of ASE's."""
    with path.open("rb") as file:
        head = file.read(2**20)
    return head.lstrip()[:1] == b"{" and b'"structure"' in head and b'"@class"' in head


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield runs of whole materials of about 8 MiB, from a pass over quotes and braces.

    Raises:
        DataError: a unit is unknown.
    """
    _scale(path, names)
    depth = place = 0
    start, count, first = 0, 0, 0
    in_text = False
    with path.open("rb") as file:
        while piece := file.read(SPAN_BYTES):
            while piece.endswith(b"\\") and (more := file.read(1)):  # an escape stays with the escaped character
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
        yield Bad(where=f"{path}, material 0", reason="the file has no materials")


def _ends(piece: bytes, depth: int, in_text: bool) -> tuple[npt.NDArray[np.int64], int, bool]:
    """Find where materials end in a piece; also its final depth of braces, and whether it ends within a string."""
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
    kinds: dict[tuple[bool, bool], list[_Row]] = {}
    for material, frames in materials.items():
        for name, frame in frames.items() if isinstance(frames, dict) else []:
            try:
                row = _row(material, frame, names)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                yield Bad(where=f"{path}, {material}, frame {name}", reason=unreadable(error))
                continue
            kinds.setdefault((row.charge is None, row.spin is None), []).append(row)
    for rows in kinds.values():
        yield from _checked(path, span, rows, names)


class _Row(NamedTuple):
    """A frame: numbers [n], positions and forces [n, 3], cell [3, 3], pbc [3]."""

    numbers: npt.NDArray[np.int64]
    positions: npt.NDArray[np.float64]
    forces: npt.NDArray[np.float64]
    energy: float
    cell: npt.NDArray[np.float64]
    pbc: npt.NDArray[np.bool_]
    charge: float | None
    spin: float | None
    group: str
    source: str | None


def _row(material: str, frame: Any, names: Names) -> _Row:  # noqa: ANN401 (JSON of any kind)
    """Parse a frame.

    Raises:
        ValueError, TypeError, KeyError: something is missing, or has another shape, or a site is disordered.
    """
    if not isinstance(frame, dict):
        raise TypeError("not a frame")
    structure = frame["structure"]
    lattice, sites = structure["lattice"], structure["sites"]
    cell = np.array(lattice["matrix"], dtype=np.float64).reshape(3, 3)
    numbers = numbers_of([_element(site) for site in sites])
    if sites and "xyz" in sites[0]:
        positions = np.array([site["xyz"] for site in sites], dtype=np.float64).reshape(-1, 3)
    else:
        positions = np.array([site["abc"] for site in sites], dtype=np.float64).reshape(-1, 3) @ cell
    forces = np.array(_label("forces", names.forces or _FORCES, frame), dtype=np.float64).reshape(-1, 3)
    if len(forces) != len(numbers) or len(positions) != len(numbers):
        raise ValueError(f"{len(numbers)} sites, but {len(forces)} forces and {len(positions)} positions")
    energy = float(_label("energy", names.energy or _ENERGY, frame))
    for name in ("charge", "spin", "group", "source"):
        if (reason := absent(names, name, frame)) is not None:
            raise ValueError(reason)
    charge = frame.get(names.charge)
    if charge is None and names.charge:
        charge = structure.get("charge") or None  # pymatgen writes 0 as well as null where none was given
    spin, group, source = (frame.get(key) for key in (names.spin, names.group, names.source))
    periodic = lattice.get("pbc")
    return _Row(
        numbers=numbers,
        positions=positions,
        forces=forces,
        energy=energy,
        cell=cell,
        pbc=pbc_rows(np.array(True if periodic is None else periodic), 1)[0],
        charge=None if charge is None else float(charge),
        spin=None if spin is None else float(spin),
        group=material if group is None else str(group),
        source=None if source is None else str(source),
    )


def _element(site: Any) -> str:  # noqa: ANN401 (JSON of any kind)
    """The symbol of a site's only element.

    Raises:
        ValueError: it is disordered.
    """
    species = site["species"]
    if len(species) != 1 or abs(species[0].get("occu", 1) - 1) > 1e-6:
        occupied = ", ".join(f"{one.get('element')} {one.get('occu')}" for one in species)
        raise ValueError(f"a disordered site ({occupied or 'no element'})")
    return str(species[0]["element"])


def _label(name: str, key: str, frame: dict[str, Any]) -> Any:  # noqa: ANN401 (JSON of any kind)
    if frame.get(key) is None:
        raise ValueError(no_such(name, key, [key for key, value in frame.items() if value is not None]))
    return frame[key]


def _scale(path: Path, names: Names) -> Scale:
    labels = Labels(
        where=str(path),
        energy=names.energy or _ENERGY,
        positions="xyz",
        forces=names.forces or _FORCES,
        units={},
        texts={},
        default=("eV", "Å"),
    )
    return scale_of(labels, names)


def _checked(path: Path, span: Span, rows: list[_Row], names: Names) -> Iterator[Chunk]:
    scale = _scale(path, names)
    n_atoms = np.array([len(row.numbers) for row in rows])
    energy = np.array([row.energy for row in rows])
    yield from checked(
        Flat(
            path=path,
            record=f"materials from {span.first} on, frame",
            at=np.arange(len(rows)),
            numbers=np.concatenate([row.numbers for row in rows]),
            n_atoms=n_atoms,
            positions=np.concatenate([row.positions for row in rows]),
            forces=np.concatenate([row.forces for row in rows]),
            energy=energy * n_atoms if scale.per_atom else energy,
            cell=np.stack([row.cell for row in rows]),
            pbc=np.stack([row.pbc for row in rows]),
            charge=None if rows[0].charge is None else np.array([row.charge for row in rows], dtype=np.float64),
            spin=None if rows[0].spin is None else np.array([row.spin for row in rows], dtype=np.float64),
            group=[row.group for row in rows],
            source=[row.source for row in rows] if any(row.source is not None for row in rows) else None,
            energy_ev=scale.energy_ev,
            length_angstrom=scale.length_angstrom,
            force_length_angstrom=scale.force_length_angstrom,
        )
    )


def refuse_unavailable(path: Path) -> None:
    """Refuse to read without orjson.

    Raises:
        DataError: it is.
    """
    try:
        import orjson  # noqa: F401
    except ImportError as error:
        raise DataError(f"{path}: MPtrj files need orjson: pip install 'raysweep[formats]'") from error
