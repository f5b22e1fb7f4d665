"""Parquet: the columns that `raysweep data export` writes, or others that are named; eV and Å unless told otherwise."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute
from pyarrow import parquet as pq

from raysweep.data.formats.blocks import Bad, Chunk, Flat, Names, Span, Torn, checked
from raysweep.data.formats.units import energy_ev, length_angstrom
from raysweep.data.keys import CELL, ENERGY, FORCES, NUMBERS, PBC, POSITIONS
from raysweep.errors import DataError


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield the row groups.

    Raises:
        DataError: the file is torn, lacks a column, or a unit is unknown.
    """
    energy_ev(names.energy_unit), length_angstrom(names.length_unit)
    with _open(path) as file:
        there = file.schema_arrow.names
        lacking = [name for name in (NUMBERS, POSITIONS, *_labels(names)) if name not in there]
        if lacking:
            raise DataError(f"{path}: no column {', '.join(lacking)}; the file has {', '.join(there)}")
        first = 0
        for group in range(file.num_row_groups):
            meta = file.metadata.row_group(group)
            if meta.num_rows:
                yield Span(start=group, stop=group + 1, first=first, bytes=meta.total_byte_size)
            first += meta.num_rows
        if not first:
            yield Bad(where=str(path), reason="the file holds no rows")


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the rows of a row group.

    Raises:
        DataError: the file is torn.
    """
    with _open(path) as file:
        there = file.schema_arrow.names
        optional = [name for name in (CELL, PBC, names.charge, names.spin, names.group, names.source) if name in there]
        energy, forces = _labels(names)
        columns = [NUMBERS, POSITIONS, energy, forces, *optional]
        table = file.read_row_group(span.start, columns=columns).combine_chunks()
    whole = f"{path}, rows {span.first} to {span.first + len(table) - 1}"
    rows = _complete(table, [NUMBERS, POSITIONS, forces, *({CELL, PBC} & set(optional))])
    if not rows.all():
        at = span.first + int(np.flatnonzero(~rows)[0])
        reason = f"a list is null, or shapes do not match ({NUMBERS}, {POSITIONS}, {forces})"
        yield Bad(where=f"{path}, row {at}", reason=reason, count=int((~rows).sum()))
        table = table.filter(pa.array(rows))
    if not len(table):
        return
    try:
        flat = _flat(path, span, table, np.flatnonzero(rows), names, set(optional))
    except (pa.ArrowInvalid, ValueError, TypeError) as error:
        yield Bad(where=whole, reason=f"not numbers ({error})", count=len(table))
        return
    yield from checked(flat)


def _flat(
    path: Path, span: Span, table: pa.Table, rows: npt.NDArray[np.int64], names: Names, optional: set[str]
) -> Flat:
    energy, forces = _labels(names)

    def numbers(name: str) -> npt.NDArray[np.float64]:
        return np.asarray(_leaves(table.column(name)).to_numpy(zero_copy_only=False), dtype=np.float64)

    def texts(name: str) -> list[str | None] | None:
        return [None if v is None else str(v) for v in table.column(name).to_pylist()] if name in optional else None

    periodic = CELL in optional and PBC in optional
    return Flat(
        path=path,
        record="row",
        at=rows + span.first,
        numbers=np.nan_to_num(numbers(NUMBERS)).astype(np.int64),
        n_atoms=np.asarray(_lengths(table.column(NUMBERS)), dtype=np.int64),
        positions=numbers(POSITIONS).reshape(-1, 3),
        forces=numbers(forces).reshape(-1, 3),
        energy=numbers(energy),
        cell=numbers(CELL).reshape(-1, 3, 3) if periodic else None,
        pbc=numbers(PBC).reshape(-1, 3).astype(bool) if periodic else None,
        charge=numbers(names.charge) if names.charge in optional else None,
        spin=numbers(names.spin) if names.spin in optional else None,
        group=texts(names.group),
        source=texts(names.source),
        energy_ev=energy_ev(names.energy_unit),
        length_angstrom=length_angstrom(names.length_unit),
    )


def _labels(names: Names) -> tuple[str, str]:
    return names.energy or ENERGY, names.forces or FORCES


def _complete(table: pa.Table, lists: list[str]) -> npt.NDArray[np.bool_]:
    """Return [S] whether all of a row's lists are there and as long as its atoms, or its cell, need."""
    n_atoms = _lengths(table.column(NUMBERS))
    good: npt.NDArray[np.bool_] = n_atoms >= 0
    for name in lists:
        wanted = {NUMBERS: n_atoms, CELL: np.full(len(table), 9), PBC: np.full(len(table), 3)}.get(name, 3 * n_atoms)
        good &= _sizes(table.column(name)) == wanted
    return good


def _lengths(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return [S] the lengths of a column's lists, -1 where they are null."""
    lengths = compute.fill_null(compute.list_value_length(column), -1)
    return np.asarray(lengths.to_numpy(), dtype=np.int64)


def _sizes(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return [S] how many numbers a column's lists, or lists of lists, hold; -1 where any is null."""
    lengths = _lengths(column)
    inner = compute.list_flatten(column)
    if not (
        pa.types.is_list(inner.type) or pa.types.is_fixed_size_list(inner.type) or pa.types.is_large_list(inner.type)
    ):
        return lengths
    counts = _lengths(inner)
    owner = np.repeat(np.arange(len(lengths)), np.maximum(lengths, 0))
    total = np.bincount(owner, weights=counts, minlength=len(lengths)).astype(np.int64)
    broken = np.bincount(owner[counts != 3], minlength=len(lengths)) > 0
    return np.where((lengths < 0) | broken, -1, total)


def _leaves(column: pa.ChunkedArray) -> pa.ChunkedArray:
    while hasattr(column.type, "value_type"):
        column = compute.list_flatten(column)
    return column


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    """Yield a file; whatever Arrow meets in it that it cannot read means that it is torn."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Torn(f"{path}: torn, or no Parquet file ({error})") from error
