"""OMol25, OMat24, sAlex: `.aselmdb`, one LMDB file whose values are zlib-compressed JSON of ASE's rows; eV and Å.

Read without ASE, read-only and without a lock, so that files on read-only disks and many readers do. The layout is
that of the package ase-db-backends: keys "1", "2", ... "nextid", "deleted_ids"; arrays as {"__ndarray__": ...}.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain
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
    kinds: dict[tuple[bool, bool], list[dict[str, Any]]] = {}
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
            kinds.setdefault((row["charge"] is not None, row["spin"] is not None), []).append(row)
    for (charged, with_spin), rows in kinds.items():
        yield from checked(
            Flat(
                path=path,
                record="record",
                at=np.array([row["at"] for row in rows]),
                numbers=_joined(rows, "numbers").astype(np.int64),
                n_atoms=np.array([len(row["numbers"]) for row in rows]),
                positions=_joined(rows, "positions").reshape(-1, 3),
                forces=_joined(rows, "forces").reshape(-1, 3),
                energy=np.array([row["energy"] for row in rows], dtype=np.float64),
                cell=_joined(rows, "cell").reshape(-1, 3, 3),
                pbc=np.array([row["pbc"] for row in rows], dtype=bool),
                charge=np.array([row["charge"] for row in rows], dtype=np.float64) if charged else None,
                spin=np.array([row["spin"] for row in rows], dtype=np.float64) if with_spin else None,
                group=_texts(rows, "group"),
                source=_texts(rows, "source"),
                energy_ev=energy_ev(names.energy_unit),
                length_angstrom=length_angstrom(names.length_unit),
            )
        )


def _joined(rows: list[dict[str, Any]], name: str) -> npt.NDArray[np.float64]:
    return np.array(list(chain.from_iterable(row[name] for row in rows)), dtype=np.float64)


def _texts(rows: list[dict[str, Any]], name: str) -> list[str | None] | None:
    texts = [None if row[name] is None else str(row[name]) for row in rows]
    return texts if any(texts) else None


def _row(at: int, content: object, names: Names) -> dict[str, Any]:
    """Return what is wanted of a row, arrays as flat lists.

    Raises:
        ValueError, TypeError, KeyError: something is missing, or has another shape.
    """
    if not isinstance(content, dict):
        raise TypeError("not a row of ASE's")
    numbers = _flat(content["numbers"])
    info = content.get("data") or {}
    if pairs := content.get("key_value_pairs"):
        info = {**pairs, **info}
    everything = {**content, **info} if names.energy or names.forces else content
    row: dict[str, Any] = {
        "at": at,
        "numbers": numbers,
        "energy": float(everything[names.energy or "energy"]),
        "positions": _flat(content["positions"]),
        "forces": _flat(everything[names.forces or "forces"]),
        "cell": _flat(content.get("cell") or [0.0] * 9),
        "pbc": [bool(value) for value in _flat(content.get("pbc", [False] * 3))],
    }
    for name, size in (("positions", 3 * len(numbers)), ("forces", 3 * len(numbers)), ("cell", 9), ("pbc", 3)):
        if len(row[name]) != size:
            raise ValueError(f"{len(numbers)} atoms, but {name} has {len(row[name])} numbers")
    for name, key in (("charge", names.charge), ("spin", names.spin)):
        value = info.get(key)
        row[name] = None if value is None else float(value)
    row["group"], row["source"] = info.get(names.group), info.get(names.source)
    return row


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
