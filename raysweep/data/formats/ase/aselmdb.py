"""OMol25, OMat24, sAlex: `.aselmdb`, one LMDB file whose values are zlib-compressed JSON of ASE's rows; eV and Å.

Read without ASE, read-only and without a lock, so that read-only disks and many readers work. The layout is
that of the package ase-db-backends: keys "1", "2", ... "nextid", "deleted_ids"; arrays as {"__ndarray__": ...}.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysweep.core.errors import DataError
from raysweep.data.formats.ase.rows import Record, parts_of, row_scale
from raysweep.data.formats.fields.blocks import Bad, Chunk, Names, Span, Torn

if TYPE_CHECKING:
    import lmdb

RECORDS_AT_ONCE = 2048


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield runs of records.

    Raises:
        DataError: the file is torn or of another layout, a unit is unknown, or lmdb is not installed.
    """
    with _begun(path) as transaction:
        decoded = _decoder()
        row_scale(path, _metadata(transaction), names)
        raw = transaction.get(b"nextid")
        try:
            last = int(decoded(raw)) - 1 if raw is not None else 0
        except (ValueError, TypeError) as error:
            raise Torn(f"{path}: torn, or not an .aselmdb file (nextid: {error})") from error
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
    with _begun(path) as transaction:
        scale = row_scale(path, _metadata(transaction), names)
        yield from parts_of(path, _records(path, transaction, span), names, scale)


def _records(path: Path, transaction: "lmdb.Transaction", span: Span) -> Iterator[Record | Bad]:
    decoded = _decoder()
    deleted: set[int] | None = None
    for at in range(span.start, span.stop):
        raw = transaction.get(b"%d" % at)
        if raw is not None:
            yield at, partial(decoded, raw)
            continue
        if deleted is None:
            listed = transaction.get(b"deleted_ids")
            deleted = set() if listed is None else set(decoded(listed))
        if at not in deleted:
            yield Bad(where=f"{path}, record {at}", reason="the record is missing")


def _metadata(transaction: "lmdb.Transaction") -> object:
    """The database's metadata, or None if there is none or it cannot be read."""
    raw = transaction.get(b"metadata")
    try:
        return None if raw is None else _decoder()(raw)
    except (ValueError, TypeError):
        return None


_Decoder = Callable[[bytes | memoryview], Any]


@cache
def _decoder() -> _Decoder:
    """Make the decoder of a value's compressed JSON; Python's own parser reads NaN, which orjson refuses."""
    import orjson
    from isal import isal_zlib

    inflate, parse = isal_zlib.decompress, orjson.loads
    failed: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]

    def decoded(raw: bytes | memoryview) -> object:
        try:
            text = inflate(raw)
        except failed as error:
            raise ValueError(f"not compressed with zlib, or truncated: {error}") from error
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
        raise Torn(f"{path}: torn, or not an LMDB file ({error})") from error
    try:
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if path.stat().st_size < needed:  # reading a missing page would kill the process
            raise Torn(f"{path}: torn, {path.stat().st_size} bytes of {needed}")
        with environment.begin() as transaction:
            yield transaction
    except lmdb.Error as error:
        raise Torn(f"{path}: torn ({error})") from error
    finally:
        environment.close()
