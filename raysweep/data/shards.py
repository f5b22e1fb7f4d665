"""Shards: Arrow IPC files with a row per structure, and their columns as flat arrays that map the file's own pages."""

from dataclasses import dataclass

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


def shard_bytes(structures: Structures) -> bytes:
    """Return the structures as one Arrow IPC file with one record batch."""
    names = [name for name in _TYPES if getattr(structures, name) is not None]
    schema = pa.schema(
        [pa.field(name, _TYPES[name], nullable=False) for name in names], metadata={"raysweep.schema": "structures/1"}
    )
    offsets = pa.array(structures.offsets.astype(np.int32))
    columns = [_column(name, getattr(structures, name), offsets) for name in names]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    return bytes(sink.getvalue())


def _column(name: str, values: npt.NDArray[np.generic], offsets: pa.Array) -> pa.Array:
    kind = _TYPES[name]
    if name == GROUP:
        return pa.array(values.tolist(), type=kind)
    if name == PBC:  # Arrow packs booleans into bits, which numpy cannot view
        values = values.astype(np.uint8)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if name in (POSITIONS, FORCES):
        flat = pa.FixedSizeListArray.from_arrays(flat, type=_VECTOR)
    if name in PER_ATOM:
        return pa.ListArray.from_arrays(offsets, flat, type=kind)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind) if name in (CELL, PBC) else flat


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
            name: array[atoms if name in PER_ATOM else rows] for name, array in self.arrays.items()
        }
        picked[N_ATOMS] = counts
        picked[RESIDUAL] = np.full(len(rows), np.nan, dtype=np.float32)
        picked[GROUP] = self.group.take(pa.array(rows)).to_numpy(zero_copy_only=False).astype(object)
        return Structures.from_arrays(picked)


def open_shard(buffer: pa.Buffer) -> OpenShard:
    """Return the columns of a shard whose file is mapped (or lies) in `buffer`; no column is copied.

    Raises:
        pa.ArrowInvalid, KeyError: the file is torn or is no shard.
    """
    batch = pa.ipc.open_file(buffer).get_batch(0)
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, shape in ((NUMBERS, (-1,)), (POSITIONS, (-1, 3)), (FORCES, (-1, 3))):
        values = batch.column(name).values
        flat = values if name == NUMBERS else values.values
        arrays[name] = flat.to_numpy(zero_copy_only=True).reshape(shape)
    offsets = batch.column(NUMBERS).offsets.to_numpy(zero_copy_only=True)
    arrays[ENERGY] = batch.column(ENERGY).to_numpy(zero_copy_only=True)
    present = [name for name in OPTIONAL if name in batch.schema.names]
    for name in present:
        column = batch.column(name)
        if name == CELL:
            arrays[name] = column.values.to_numpy(zero_copy_only=True).reshape(-1, 3, 3)
        elif name == PBC:
            arrays[name] = column.values.to_numpy(zero_copy_only=True).reshape(-1, 3).view(np.bool_)
        else:
            arrays[name] = column.to_numpy(zero_copy_only=True)
    return OpenShard(arrays=arrays, offsets=offsets, group=batch.column(GROUP))
