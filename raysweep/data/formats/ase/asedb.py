"""ASE's own databases: SQLite (`.db`) and JSON, whose rows keep charge, spin and groups apart from the atoms."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from raysweep.core.errors import DataError
from raysweep.data.formats.ase.rows import Record, parts_of, row_scale
from raysweep.data.formats.fields.blocks import Bad, Chunk, Names, Span, Torn

ROWS_AT_ONCE = 1024
_FIELDS = ("numbers", "positions", "cell", "pbc", "energy", "forces")


def looks_like_it(path: Path) -> bool:
    """Whether a file is an SQLite database, or JSON as ASE writes it."""
    with path.open("rb") as file:
        head = file.read(16)
        if head.startswith(b"SQLite format 3"):
            return True
        file.seek(max(0, path.stat().st_size - 4096))
        return head.lstrip().startswith(b"{") and b'"nextid"' in file.read()


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield batches of rows that are already read, since ASE reads its JSON as a whole.

    Raises:
        DataError: the file is torn, a unit is unknown, or ASE is not installed.
    """
    done, total = 0, path.stat().st_size
    for number, chunks in _batches(path, names):
        yield Span(start=done, stop=done + number, first=done, bytes=total if not done else 0, read=tuple(chunks))
        done += number
    if not done:
        yield Bad(where=str(path), reason="the database has no rows")


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the rows of a span."""
    yield from span.read or ()


def _batches(path: Path, names: Names) -> Iterator[tuple[int, list[Chunk]]]:
    """Yield the size of each batch of rows, with its blocks and faults."""
    rows, metadata = _rows(path)
    scale = row_scale(path, metadata, names)
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        records: list[Record] = [(at, partial(dict, content)) for at, content in batch]
        yield len(batch), list(parts_of(path, records, names, scale))


def _rows(path: Path) -> tuple[Iterator[tuple[int, dict[str, object]]], object]:
    """The numbered rows of a database, and its metadata.

    Raises:
        DataError: it is torn or another database, or ASE is not installed.
    """
    try:
        from ase.db import connect
    except ImportError as error:
        raise DataError(f"{path}: ASE's databases need ASE: pip install 'raysweep[formats]'") from error
    try:
        with path.open("rb") as file:
            is_sqlite = file.read(16).startswith(b"SQLite")
        if is_sqlite and not _has_systems(path):  # ASE would add its tables to it
            raise DataError(f"{path}: an SQLite database, but not one of ASE's: it has no table 'systems'")
        database: Any = connect(str(path), type="db" if is_sqlite else "json", use_lock_file=False)
        metadata = database.metadata
    except DataError:
        raise
    except Exception as error:  # its readers may raise anything
        raise Torn(f"{path}: torn, or not an ASE database ({type(error).__name__}: {error})") from error

    def contents() -> Iterator[tuple[int, dict[str, object]]]:
        try:
            for row in database.select():
                content = {name: row.get(name) for name in _FIELDS}
                yield row.id, {**content, "data": dict(row.data), "key_value_pairs": row.key_value_pairs}
        except Exception as error:
            raise Torn(f"{path}: torn ({type(error).__name__}: {error})") from error

    return contents(), metadata


def _has_systems(path: Path) -> bool:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        found = database.execute("select count(*) from sqlite_master where name = 'systems'").fetchone()
    return bool(found[0])
