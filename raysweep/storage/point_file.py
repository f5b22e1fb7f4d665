"""Encoding and validation of a trial's points as an Arrow file."""

import dataclasses
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.core.points import POINT_SCHEMA, Point, to_table, with_added

_REQUIRED = tuple(name for name, field in Point.__dataclass_fields__.items() if field.default is dataclasses.MISSING)


def to_bytes(points: Sequence[Point]) -> bytes:
    """Serialize points."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, POINT_SCHEMA) as stream:
        stream.write_table(to_table(points))
    return bytes(sink.getvalue().to_pybytes())


def from_bytes(data: bytes, trial_id: str) -> pa.Table:
    """Parse and validate the points of a trial, with `POINT_SCHEMA`; those of older versions as well.

    Raises:
        ValueError: the schema differs, the points are another trial's, or a value is missing.
    """
    try:
        table = with_added(pa.ipc.open_file(pa.BufferReader(data)).read_all())
    except pa.ArrowInvalid as error:
        raise ValueError("is not an Arrow file") from error
    if not table.schema.equals(POINT_SCHEMA):
        raise ValueError("has another schema")
    if set(table["trial_id"].to_pylist()) - {trial_id}:
        raise ValueError("holds another trial's points")
    missing = [name for name in _REQUIRED if table[name].null_count]
    if missing or pc.all(pc.is_finite(table["loss"])).as_py() is False:
        raise ValueError(f"holds a point without {missing[0] if missing else 'a finite loss'}")
    return table
