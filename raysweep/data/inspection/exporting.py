"""A store as one Parquet file, for DuckDB, pandas and Polars: a row per structure, lists of its atoms' values."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import fs
from pyarrow import parquet as pq

from raysweep.core.errors import DataError
from raysweep.core.io.files import open_location
from raysweep.data.elements import formulas
from raysweep.data.formats.arrays.parquet import ISOLATED_ATOMS
from raysweep.data.keys import CELL, CHARGE, ENERGY, FORCES, GROUP, N_ATOMS, NUMBERS, PBC, POSITIONS, RESIDUAL, SPIN
from raysweep.data.store.manifest import UNITS
from raysweep.data.store.store import Store
from raysweep.data.structures import OPTIONAL, Structures

ROWS_AT_ONCE = 8192
"""Structures of a row group."""
_VECTORS = pa.list_(pa.list_(pa.float32()))
SCHEMA = (
    pa.field("row", pa.int64(), metadata={"meaning": "row of the store"}),
    pa.field("split", pa.string(), metadata={"meaning": "train or validation"}),
    pa.field("formula", pa.string()),
    pa.field(GROUP, pa.string(), metadata={"meaning": "what never stands on both sides of the split"}),
    pa.field(N_ATOMS, pa.int64()),
    pa.field(NUMBERS, pa.list_(pa.uint8()), metadata={"meaning": "atomic numbers"}),
    pa.field(POSITIONS, _VECTORS),
    pa.field(FORCES, _VECTORS),
    pa.field(ENERGY, pa.float64(), metadata={"meaning": "total energy as labelled"}),
    pa.field(RESIDUAL, pa.float32(), metadata={"meaning": "energy less reference energies"}),
    pa.field(CELL, pa.list_(pa.float32()), metadata={"meaning": "three vectors, one after the other"}),
    pa.field(PBC, pa.list_(pa.bool_())),
    pa.field(CHARGE, pa.int8()),
    pa.field(SPIN, pa.int8()),
)


def export_store(store: Store, target: str | Path, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Write all structures of a store, in the order of its rows, a row group in memory at a time.

    Args:
        store: what to write.
        target: a file (or a `pyarrow.fs` URI) that does not exist yet.
        progress: called as `progress(structures_so_far, of_how_many)`.

    Raises:
        DataError: the target exists, or a shard is absent or torn.
    """
    filesystem, path = open_location(target)
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        raise DataError(f"{target}: already exists; remove it, or choose another name")
    local = isinstance(filesystem, fs.LocalFileSystem)
    if local:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    written = f"{path}.writing" if local else path  # an object appears when it is closed, and never by halves
    total = len(store)
    first = store.read([0])
    schema = _schema(first, store)
    try:
        with (
            filesystem.open_output_stream(written) as stream,
            pq.ParquetWriter(stream, schema, compression="zstd") as writer,
        ):
            for start in range(0, total, ROWS_AT_ONCE):
                rows = np.arange(start, min(start + ROWS_AT_ONCE, total))
                writer.write_table(_table(store.read(rows), rows, store, schema))
                if progress:
                    progress(int(rows[-1]) + 1, total)
        if local:
            Path(written).replace(path)
    finally:
        if local:
            Path(written).unlink(missing_ok=True)


def _schema(structures: Structures, store: Store) -> pa.Schema:
    absent = {name for name in OPTIONAL if getattr(structures, name) is None}
    fields = [
        field.with_metadata({**(field.metadata or {}), **({"unit": UNITS[field.name]} if field.name in UNITS else {})})
        for field in SCHEMA
        if field.name not in absent
    ]
    manifest = store.manifest
    about = {"fingerprint": manifest.fingerprint, "licence": manifest.licence, "source": manifest.source}
    metadata = {f"raysweep.{key}": value for key, value in about.items()}
    if manifest.isolated_atoms:
        metadata[ISOLATED_ATOMS] = json.dumps({z: manifest.reference_energies[z] for z in manifest.isolated_atoms})
    return pa.schema(fields, metadata=metadata)


def _table(
    structures: Structures, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]", store: Store, schema: pa.Schema
) -> pa.Table:
    offsets = pa.array(structures.offsets.astype(np.int32))
    train = rows < store.manifest.train_structures
    columns: dict[str, pa.Array] = {
        "row": pa.array(rows),
        "split": pa.array(np.where(train, "train", "validation")),
        "formula": pa.array(formulas(structures.numbers, structures.offsets).tolist()),
        GROUP: pa.array(structures.group.tolist()),
        N_ATOMS: pa.array(structures.n_atoms),
        NUMBERS: pa.ListArray.from_arrays(offsets, pa.array(structures.numbers)),
        POSITIONS: pa.ListArray.from_arrays(offsets, _rows_of(structures.positions)),
        FORCES: pa.ListArray.from_arrays(offsets, _rows_of(structures.forces)),
        ENERGY: pa.array(structures.energy),
        RESIDUAL: pa.array(structures.residual),
    }
    if structures.cell is not None:
        columns[CELL] = _rows_of(structures.cell.reshape(-1, 9))
    if structures.pbc is not None:
        columns[PBC] = _rows_of(structures.pbc)
    for name, values in ((CHARGE, structures.charge), (SPIN, structures.spin)):
        if values is not None:
            columns[name] = pa.array(values)
    return pa.table([columns[name].cast(schema.field(name).type) for name in schema.names], schema=schema)


def _rows_of(values: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> pa.ListArray:
    """One list per row of a matrix."""
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(values).reshape(-1)))
