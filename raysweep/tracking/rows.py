"""Encoding of points as text that fits into MLflow's tags and is read back to the last digit.

A metric of MLflow is a double and a step: names, nulls, and one of two budgets reached at the same step would be
lost. So a trial's run carries its points twice: as metrics, for plots, and as one exact text, which is read back.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from raysweep.core.hashing import digest
from raysweep.core.points import POINT_SCHEMA, TABLE_SCHEMA, Point

ORDER = ("stage", "family", "trial_id", "step", "budget_kind", "budget")
"""Columns by which a sweep's table is sorted wherever two tables are compared."""

PIECE = 4800
"""Characters in one tag: MLflow cut tags at 5,000 before version 2.15 and cuts them at 8,000 since."""

TAG = "mlflow.raysweep.points"
"""Tags with this name and `.0`, `.1`, ... hold the pieces of the text; MLflow's UI hides tags named `mlflow.*`."""

_DIGEST = 16

Value = str | int | float | None


def row_of(point: Point) -> str:
    """Serialize a point; equal texts are equal points, NaN and null included."""
    return json.dumps([_plain(point, field) for field in POINT_SCHEMA])


def encode(rows: Sequence[str]) -> dict[str, str]:
    """Encode rows (see `row_of`) as tags; a value that all rows share is written once."""
    values: list[list[Value]] = [json.loads(row) for row in rows]
    columns: dict[str, Value | list[Value]] = {}
    for index, name in enumerate(POINT_SCHEMA.names):
        column = [value[index] for value in values]
        # As texts: NaN is then equal to NaN, and 1 not to 1.0.
        columns[name] = column[0] if len(set(map(repr, column))) == 1 else column
    text = json.dumps({"rows": len(rows), "columns": columns}, separators=(",", ":"))
    text = f"{digest(text.encode())[:_DIGEST]} {len(text)} {text}"
    pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
    return {f"{TAG}.{index}": piece for index, piece in enumerate(pieces)}


def decode(tags: Mapping[str, str]) -> list[str] | None:
    """Decode the rows of a run's tags: none if it has no such tags, None if their text is torn."""
    pieces: list[str] = []
    while (piece := tags.get(f"{TAG}.{len(pieces)}")) is not None:
        pieces.append(piece)
    if not pieces:
        return []
    checksum, length, text = [*"".join(pieces).split(" ", 2), "", ""][:3]
    # What follows is from a longer, older text; a truncated text lacks its end.
    text = text[: int(length)] if length.isdecimal() else ""
    if digest(text.encode())[:_DIGEST] != checksum:
        return None
    content = json.loads(text)
    count, columns = content["rows"], content["columns"]
    # A column that this version does not know is dropped, and a column that is new in it is null in old runs.
    lists = [_spread(columns.get(name), count) for name in POINT_SCHEMA.names]
    return [json.dumps(list(row)) for row in zip(*lists, strict=True)]


def to_table(served: Iterable[tuple[str, str, Sequence[str]]]) -> pa.Table:
    """Build one table with `TABLE_SCHEMA`, in canonical order, from (stage, family, rows) of each trial."""
    records = [[*json.loads(row), family, stage] for stage, family, rows in served for row in rows]
    arrays = [pa.array([record[index] for record in records], field.type) for index, field in enumerate(TABLE_SCHEMA)]
    return canonical(pa.Table.from_arrays(arrays, schema=TABLE_SCHEMA))


def canonical(table: pa.Table) -> pa.Table:
    """Sort a sweep's table into canonical order (`ORDER`), so that equal tables compare equal."""
    return table.sort_by([(name, "ascending") for name in ORDER]).combine_chunks()


def _plain(point: Point, field: pa.Field) -> Value:
    value = getattr(point, field.name)
    if value is None:
        return None
    if pa.types.is_floating(field.type):
        return float(value)
    return int(value) if pa.types.is_integer(field.type) else str(value)


def _spread(column: Value | list[Value], count: int) -> list[Value]:
    return column if isinstance(column, list) else [column] * count
