"""OMol25, OMat24, sAlex: `.aselmdb`, one LMDB file whose values are zlib-compressed JSON of ASE's rows; eV and Å.

Read without ASE, read-only and without a lock, so that files on read-only disks and many readers do. The layout is
that of the package ase-db-backends: keys "1", "2", ... "nextid", "deleted_ids"; arrays as {"__ndarray__": ...}.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raysweep.data.formats.blocks import Bad, Chunk, Flat, Names, Span, Torn, checked
from raysweep.data.formats.units import energy_ev, length_angstrom
from raysweep.errors import DataError

if TYPE_CHECKING:
    import lmdb

RECORDS_AT_ONCE = 2048
_Numbers = bytes | list[float]
"""Numbers of a record: float64, or a list where they are not all numbers."""
_Row = tuple[
    int,
    int,
    _Numbers,
    float,
    _Numbers,
    _Numbers,
    _Numbers,
    _Numbers,
    float | None,
    float | None,
    object,
    object,
]


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield runs of records.

    Raises:
        DataError: the file is torn or of another layout, a unit is unknown, or lmdb is not installed.
    """
    energy_ev(names.energy_unit), length_angstrom(names.length_unit)
    with _begun(path) as transaction:
        decoded = _decoder()
        raw = transaction.get(b"nextid")
        try:
            last = int(decoded(raw)) - 1 if raw is not None else 0
        except (ValueError, TypeError) as error:
            raise Torn(f"{path}: torn, or no .aselmdb (nextid: {error})") from error
    if last < 1:
        raise DataError(f"{path}: no records: the key 'nextid' says {last + 1 if raw is not None else 'nothing'}")
    total = path.stat().st_size
    for start in range(1, last + 1, RECORDS_AT_ONCE):
        stop = min(start + RECORDS_AT_ONCE, last + 1)
        yield Span(start=start, stop=stop, first=start, bytes=total * (stop - start) // last)


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the records of a span; the environment is opened here, so never used across a fork.

    Raises:
        DataError: the file is torn.
    """
    kinds: dict[tuple[bool, bool], list[_Row]] = {}
    with _begun(path) as transaction:
        decoded = _decoder()
        deleted: set[int] | None = None
        for at in range(span.start, span.stop):
            raw = transaction.get(b"%d" % at)
            if raw is None:
                if deleted is None:
                    listed = transaction.get(b"deleted_ids")
                    deleted = set() if listed is None else set(decoded(listed))
                if at not in deleted:
                    yield Bad(where=f"{path}, record {at}", reason="the record is missing")
                continue
            try:
                row = _row(at, decoded(raw), names)
            except (ValueError, TypeError, KeyError) as error:
                text = f"no {error}" if isinstance(error, KeyError) else str(error)
                yield Bad(where=f"{path}, record {at}", reason=f"cannot be read ({text})")
                continue
            kinds.setdefault((row[8] is not None, row[9] is not None), []).append(row)
    for rows in kinds.values():
        yield from _checked(path, rows, names)


def _checked(path: Path, rows: list[_Row], names: Names) -> Iterator[Chunk]:
    at, n_atoms, numbers, energy, positions, forces, cell, pbc, charge, spin, group, source = zip(*rows, strict=True)
    try:
        flat = Flat(
            path=path,
            record="record",
            at=np.array(at),
            numbers=_joined(numbers).astype(np.int64),
            n_atoms=np.array(n_atoms),
            positions=_joined(positions).reshape(-1, 3),
            forces=_joined(forces).reshape(-1, 3),
            energy=np.array(energy, dtype=np.float64),
            cell=_joined(cell).reshape(-1, 3, 3),
            pbc=_joined(pbc).astype(bool).reshape(-1, 3),
            charge=np.array(charge, dtype=np.float64) if charge[0] is not None else None,
            spin=np.array(spin, dtype=np.float64) if spin[0] is not None else None,
            group=_texts(group),
            source=_texts(source),
            energy_ev=energy_ev(names.energy_unit),
            length_angstrom=length_angstrom(names.length_unit),
        )
    except (ValueError, TypeError) as error:
        if len(rows) == 1:
            yield Bad(where=f"{path}, record {at[0]}", reason=f"not numbers ({error})")
            return
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):  # to find the records that are at fault
            yield from _checked(path, half, names)
        return
    yield from checked(flat)


def _packed(numbers: list[float]) -> _Numbers:
    """Return a record's numbers so that they need no Python objects until the whole span is read."""
    try:
        return array("d", numbers).tobytes()
    except (TypeError, OverflowError):  # `_joined` names what it is
        return numbers


def _joined(records: Iterable[_Numbers]) -> npt.NDArray[np.float64]:
    each = (one if isinstance(one, bytes) else np.array(one, dtype=np.float64).tobytes() for one in records)
    return np.frombuffer(b"".join(each), dtype=np.float64)


def _texts(values: Sequence[object]) -> list[str | None] | None:
    texts = [None if value is None else str(value) for value in values]
    return texts if any(texts) else None


def _row(at: int, content: Any, names: Names) -> _Row:  # noqa: ANN401 (JSON of any kind)
    """Return number, atoms, numbers, energy, positions, forces, cell, pbc, charge, spin, group, source, arrays flat.

    Raises:
        ValueError, TypeError, KeyError: something is missing, or has another shape.
    """
    if not isinstance(content, dict):
        raise TypeError("not a row of ASE's")
    numbers, positions = _flat(content["numbers"]), _flat(content["positions"])
    info = content.get("data") or {}
    if pairs := content.get("key_value_pairs"):
        info = {**pairs, **info}
    labels = {**content, **info} if names.energy or names.forces else content
    forces = _flat(labels[names.forces or "forces"])
    cell, pbc = _flat(content.get("cell") or _NO_CELL), _flat(content.get("pbc") or _NO_PBC)
    size = 3 * len(numbers)
    if len(positions) != size or len(forces) != size or len(cell) != 9 or len(pbc) != 3:
        raise ValueError(
            f"shapes do not match: {len(numbers)} atoms, and {len(positions)} numbers of positions, {len(forces)} of "
            f"forces, {len(cell)} of the cell, {len(pbc)} of pbc"
        )
    charge, spin = info.get(names.charge), info.get(names.spin)
    return (
        at,
        len(numbers),
        _packed(numbers),
        labels[names.energy or "energy"],
        _packed(positions),
        _packed(forces),
        _packed(cell),
        _packed(pbc),
        charge,
        spin,
        info.get(names.group),
        info.get(names.source),
    )


_NO_CELL, _NO_PBC = [0.0] * 9, [False] * 3


def _flat(values: object) -> list[float]:
    if isinstance(values, dict):
        return values["__ndarray__"][2]  # type: ignore[no-any-return]
    flat: list[float] = np.asarray(values).reshape(-1).tolist()
    return flat


_Decoder = Callable[[bytes | memoryview], Any]


@cache
def _decoder() -> _Decoder:
    """Return what makes objects of the compressed JSON of a value; orjson knows no NaN, which Python's own does."""
    import orjson
    from isal import isal_zlib

    inflate, parse = isal_zlib.decompress, orjson.loads
    failed: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]

    def decoded(raw: bytes | memoryview) -> object:
        try:
            text = inflate(raw)
        except failed as error:
            raise ValueError(f"not compressed by zlib, or torn: {error}") from error
        try:
            return parse(text)
        except ValueError:
            return json.loads(text)

    return decoded


@contextmanager
def _begun(path: Path) -> "Iterator[lmdb.Transaction]":
    try:
        import lmdb
        import orjson  # noqa: F401
        from isal import isal_zlib  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"{path}: .aselmdb files need lmdb, orjson and isal: pip install 'raysweep[formats]'"
        ) from error
    try:
        environment = lmdb.open(
            str(path), subdir=False, readonly=True, lock=False, readahead=True, meminit=False, create=False
        )
    except lmdb.Error as error:
        raise Torn(f"{path}: torn, or no LMDB file ({error})") from error
    try:
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if path.stat().st_size < needed:  # reading a page that is not there would end the process
            raise Torn(f"{path}: torn, {path.stat().st_size} bytes of {needed}")
        with environment.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise Torn(f"{path}: torn ({error})") from error
    finally:
        environment.close()
