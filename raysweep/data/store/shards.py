"""Shards: Arrow IPC files with a row per structure, and their columns as flat arrays that map the file's own pages."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysweep.data.keys import CELL, CHARGE, ENERGY, FORCES, GROUP, N_ATOMS, NUMBERS, PBC, POSITIONS, RESIDUAL, SPIN
from raysweep.data.structures import OPTIONAL, PER_ATOM, Structures, ranges

_VECTOR = pa.list_(pa.field("xyz", pa.float32(), nullable=False), 3)
_TYPES: dict[str, pa.DataType] = {
    NUMBERS: pa.list_(pa.field("atom", pa.uint8(), nullable=False)),
    POSITIONS: pa.list_(pa.field("atom", _VECTOR, nullable=False)),
    FORCES: pa.list_(pa.field("atom", _VECTOR, nullable=False)),
    ENERGY: pa.float64(),
    GROUP: pa.string(),
    CELL: pa.list_(pa.field("component", pa.float32(), nullable=False), 9),
    PBC: pa.list_(pa.field("axis", pa.uint8(), nullable=False), 3),
    CHARGE: pa.int8(),
    SPIN: pa.int8(),
}


_KINDS = {pa.uint8(): "<u1", pa.int8(): "<i1", pa.int32(): "<i4", pa.float32(): "<f4", pa.float64(): "<f8"}


def shard_bytes(structures: Structures) -> bytes:
    """Serialise structures as one Arrow IPC file with one record batch."""
    return bytes(shard_buffer(structures))


def shard_buffer(structures: Structures) -> memoryview:
    """`shard_bytes` without the final copy."""
    names = [name for name in _TYPES if getattr(structures, name) is not None]
    schema = pa.schema(
        [pa.field(name, _TYPES[name], nullable=False) for name in names], metadata={"raysweep.schema": "structures/1"}
    )
    offsets = arrow_array(structures.offsets.astype(np.int32))
    columns = [_column(name, getattr(structures, name), offsets) for name in names]
    batch = pa.record_batch(columns, schema=schema)
    counted = pa.MockOutputStream()  # so that the buffer need not grow, which would copy it
    _write_file(counted, batch)
    buffer = pa.allocate_buffer(counted.size())
    _write_file(pa.FixedSizeBufferWriter(buffer), batch)
    return memoryview(buffer)


def _write_file(sink: pa.NativeFile, batch: pa.RecordBatch) -> None:
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _column(name: str, values: npt.NDArray[np.generic], offsets: pa.Array) -> pa.Array:
    kind = _TYPES[name]
    if name == GROUP:
        return _texts(values.tolist())
    if name == PBC:  # Arrow packs booleans into bits, which numpy cannot view
        values = values.astype(np.uint8)
    flat = arrow_array(np.ascontiguousarray(values).reshape(-1))
    if name in (POSITIONS, FORCES):
        flat = pa.FixedSizeListArray.from_arrays(flat, type=_VECTOR)
    if name in PER_ATOM:
        return pa.ListArray.from_arrays(offsets, flat, type=kind)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind) if name in (CELL, PBC) else flat


def arrow_array(values: npt.NDArray[np.generic]) -> pa.Array:
    """Wrap numbers as an Arrow array of the same memory.

    `pa.array` would import pandas first, which takes a third of a second and 40 MB of every process.
    """
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _texts(values: list[str]) -> pa.Array:
    encoded = [text.encode() for text in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


@dataclass(frozen=True)
class OpenShard:
    """A shard's columns as read-only numpy views into its buffer; text stays in Arrow."""

    arrays: dict[str, npt.NDArray[np.generic]]
    offsets: npt.NDArray[np.int32]
    group: pa.Array

    def counts(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return [S] int64, the atoms of the structures at `rows` of this shard."""
        return (self.offsets[rows + 1] - self.offsets[rows]).astype(np.int64)

    def take(self, rows: npt.NDArray[np.int64]) -> Structures:
        """Return the structures at `rows` of this shard in that order; `residual` is left NaN."""
        starts = self.offsets[rows].astype(np.int64)
        counts = self.counts(rows)
        atoms = ranges(starts, counts)
        picked: dict[str, npt.NDArray[np.generic]] = {
            name: array.take(atoms if name in PER_ATOM else rows, axis=0) for name, array in self.arrays.items()
        }
        picked[N_ATOMS] = counts
        picked[RESIDUAL] = np.full(len(rows), np.nan, dtype=np.float32)
        picked[GROUP] = np.array(self.group.take(arrow_array(rows)).to_pylist(), dtype=object)
        return Structures.from_arrays(picked)


def open_shard(buffer: pa.Buffer) -> OpenShard:
    """Open a shard from the bytes of its file, mapped or in memory; no column is copied.

    Raises:
        pa.ArrowInvalid, KeyError: the file is torn or is no shard.
    """
    batch = pa.ipc.open_file(buffer).get_batch(0)
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, shape in ((NUMBERS, (-1,)), (POSITIONS, (-1, 3)), (FORCES, (-1, 3))):
        values = batch.column(name).values
        arrays[name] = view(values if name == NUMBERS else values.values).reshape(shape)
    offsets = view(batch.column(NUMBERS).offsets)
    arrays[ENERGY] = view(batch.column(ENERGY))
    for name in (name for name in OPTIONAL if name in batch.schema.names):
        column = batch.column(name)
        if name == CELL:
            arrays[name] = view(column.values).reshape(-1, 3, 3)
        elif name == PBC:
            arrays[name] = view(column.values).reshape(-1, 3).view(np.bool_)
        else:
            arrays[name] = view(column)
    return OpenShard(arrays=arrays, offsets=cast(npt.NDArray[np.int32], offsets), group=batch.column(GROUP))


def view(array: pa.Array) -> npt.NDArray[np.generic]:
    """View the values of a number array, read-only; like `to_numpy`, which would import pandas."""
    values: npt.NDArray[np.generic] = np.frombuffer(array.buffers()[1], dtype=_KINDS[array.type])
    return values[array.offset : array.offset + len(array)]
