"""Structures from rows of ASE's databases in `.aselmdb`, `.db` and `.json` files."""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from raysweep.data.formats.arrays.frames import atomic_numbers
from raysweep.data.formats.fields.blocks import Bad, Chunk, Flat, Names, checked, unreadable
from raysweep.data.formats.fields.keyed import absent, no_such
from raysweep.data.formats.fields.stated import Scale, frames_scale

_Numbers = bytes | list[float]
"""Numbers of a record: float64, or a list where they are not all numbers."""


Record = tuple[int, Callable[[], object]]
"""A record's number in the file, and a function that decodes its content."""


class Row(NamedTuple):
    """A structure, arrays flat."""

    at: int
    atoms: int
    numbers: _Numbers
    energy: float
    positions: _Numbers
    forces: _Numbers
    cell: _Numbers
    pbc: _Numbers
    charge: float | None
    spin: float | None
    group: object
    source: object


def row_scale(path: Path, metadata: object, names: Names) -> Scale:
    """Unit factors of a database: eV and Å, unless its metadata state others (as SchNetPack's do).

    Raises:
        DataError: a unit is unknown, or contradicts the requested one.
    """
    said = metadata if isinstance(metadata, Mapping) else {}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in said.items()}
    return frames_scale(str(path), names, texts)


def parts_of(path: Path, records: Iterable[Record | Bad], names: Names, scale: Scale) -> Iterator[Chunk]:
    """Yield the usable rows of some records as blocks, and the others, each with its reason."""
    kinds: dict[tuple[bool, bool], list[Row]] = {}
    for record in records:
        if isinstance(record, Bad):
            yield record
            continue
        at, content = record
        try:
            row = row_of(at, content(), names)
        except (ValueError, TypeError, KeyError) as error:
            yield Bad(where=f"{path}, record {at}", reason=unreadable(error))
            continue
        kinds.setdefault((row.charge is not None, row.spin is not None), []).append(row)
    for rows in kinds.values():
        yield from _checked(path, rows, scale)


def _checked(path: Path, rows: list[Row], scale: Scale) -> Iterator[Chunk]:
    """Yield the usable rows as one block, and the others; all or none of the rows have charges and spins."""
    each: Any = Row._make(zip(*rows, strict=True))  # a tuple of each field
    n_atoms = np.array(each.atoms)
    try:
        energy = np.array(each.energy, dtype=np.float64)
        flat = Flat(
            path=path,
            record="record",
            at=np.array(each.at),
            numbers=atomic_numbers(_joined(each.numbers)),
            n_atoms=n_atoms,
            positions=_joined(each.positions).reshape(-1, 3),
            forces=_joined(each.forces).reshape(-1, 3),
            energy=energy * n_atoms if scale.per_atom else energy,
            cell=_joined(each.cell).reshape(-1, 3, 3),
            pbc=_joined(each.pbc).astype(bool).reshape(-1, 3),
            charge=np.array(each.charge, dtype=np.float64) if rows[0].charge is not None else None,
            spin=np.array(each.spin, dtype=np.float64) if rows[0].spin is not None else None,
            group=_texts(each.group),
            source=_texts(each.source),
            energy_ev=scale.energy_ev,
            length_angstrom=scale.length_angstrom,
            force_length_angstrom=scale.force_length_angstrom,
        )
    except (ValueError, TypeError) as error:
        if len(rows) == 1:
            yield Bad(where=f"{path}, record {rows[0].at}", reason=f"not numbers ({error})")
            return
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):  # bisect to find the faulty records
            yield from _checked(path, half, scale)
        return
    yield from checked(flat)


def _packed(numbers: list[float]) -> _Numbers:
    """Pack a record's numbers so that they need no Python objects until the whole span is read."""
    try:
        return array("d", numbers).tobytes()
    except (TypeError, OverflowError):  # `_joined` reports which
        return numbers


def _joined(records: Iterable[_Numbers]) -> npt.NDArray[np.float64]:
    each = (one if isinstance(one, bytes) else np.array(one, dtype=np.float64).tobytes() for one in records)
    return np.frombuffer(b"".join(each), dtype=np.float64)


def _texts(values: Sequence[object]) -> list[str | None] | None:
    texts = [None if value is None else str(value) for value in values]
    return texts if any(texts) else None


def row_of(at: int, content: Any, names: Names) -> Row:  # noqa: ANN401 (JSON of any kind)
    """Parse a row of a database.

    Raises:
        ValueError, TypeError, KeyError: something is missing, or has another shape.
    """
    if not isinstance(content, dict):
        raise TypeError("not a row of ASE's")
    numbers, positions = _flat(content["numbers"]), _flat(content["positions"])
    info = content.get("data") or {}
    if pairs := content.get("key_value_pairs"):
        info = {**pairs, **info}
    energy, forces = _label("energy", names.energy, content, info), _label("forces", names.forces, content, info)
    for name in ("charge", "spin", "group", "source"):
        if (reason := absent(names, name, info)) is not None:
            raise ValueError(reason)
    forces, energies = _flat(forces), _flat(energy)
    cell, pbc = content.get("cell"), content.get("pbc")
    cell = [0.0] * 9 if cell is None else _flat(cell) or [0.0] * 9
    if pbc is None:  # a cell without flags is periodic along its vectors
        pbc = np.any(np.reshape(cell, (-1, 3)), axis=1)
    flags = _flat(pbc)
    flags = flags * 3 if len(flags) == 1 else flags
    size = 3 * len(numbers)
    if len(positions) != size or len(forces) != size or len(cell) != 9 or len(flags) != 3 or len(energies) != 1:
        raise ValueError(
            f"shapes do not match: {len(numbers)} atoms, and {len(positions)} numbers of positions, {len(forces)} of "
            f"forces, {len(cell)} of the cell, {len(flags)} of pbc, {len(energies)} energies"
        )
    return Row(
        at=at,
        atoms=len(numbers),
        numbers=_packed(numbers),
        energy=energies[0],
        positions=_packed(positions),
        forces=_packed(forces),
        cell=_packed(cell),
        pbc=_packed(flags),
        charge=info.get(names.charge),
        spin=info.get(names.spin),
        group=info.get(names.group),
        source=info.get(names.source),
    )


def _label(name: str, asked: str | None, content: Mapping[str, Any], info: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """A label of the row, or of its data if it is named there or only there.

    Raises:
        ValueError: it is not there.
    """
    value = info.get(name) if content.get(name) is None else content[name]
    if asked is None and value is not None:
        return value
    labels = {key: value for key, value in {**content, **info}.items() if value is not None}
    if asked is None:
        raise ValueError(
            f"no {name}: none is recognised, name it with --{name}-key; the record has {', '.join(sorted(labels))}"
        )
    if asked not in labels:
        raise ValueError(no_such(name, asked, labels))
    return labels[asked]


def _flat(values: object) -> list[float]:
    if isinstance(values, dict):
        return values["__ndarray__"][2]  # type: ignore[no-any-return]
    flat: list[float] = np.asarray(values).reshape(-1).tolist()
    return flat
