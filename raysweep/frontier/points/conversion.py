"""From what a caller holds (an Arrow table, a data frame, a mapping of columns) to an Arrow table, and to numbers."""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

import numpy as np
import pyarrow as pa

from raysweep.core.errors import FrontierError
from raysweep.frontier.points.numbers import NotANumberError, numbers


def arrow_table(points: object, source: str = "points", known: Collection[str] | None = None) -> pa.Table:
    """Convert an Arrow table, a data frame or a mapping of columns to an Arrow table with the same columns.

    Args:
        points: a pyarrow table or batch, a pandas frame or any other that exports Arrow, or a mapping of columns.
        source: its name in messages.
        known: the columns that matter; others are left out where they cannot be converted. None: all of them do.

    Raises:
        FrontierError: it is none of them, or a column is ragged or no column.
    """
    if isinstance(points, pa.Table):
        return points
    if isinstance(points, pa.RecordBatch):
        return pa.Table.from_batches([points])
    if isinstance(points, Mapping):
        return _of_columns({str(key): values for key, values in points.items()}, source, known)
    if type(points).__module__.split(".")[0] == "pandas" and hasattr(points, "columns"):
        return _of_frame(points, source, known)
    if hasattr(points, "__arrow_c_stream__"):
        try:
            return pa.table(points)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise FrontierError(f"{source}: no table: {error}") from error
    raise FrontierError(
        f"{source} is a {type(points).__name__}: give a pyarrow table, a pandas frame or a dict of columns"
    )


def _of_frame(frame: object, source: str, known: Collection[str] | None) -> pa.Table:
    names = [str(name) for name in getattr(frame, "columns")]  # noqa: B009  pandas is no dependency, nor are its types
    for name in names:
        if names.count(name) > 1 and (known is None or name in known):
            raise FrontierError(f"{source}: two columns are named {name!r}; rename or remove one")
    columns = {
        name: getattr(frame, "iloc")[:, place]  # noqa: B009
        for place, name in enumerate(names)
        if names.count(name) == 1
    }
    return _of_columns(columns, source, known)


def _of_columns(columns: Mapping[str, object], source: str, known: Collection[str] | None) -> pa.Table:
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        try:
            arrays[name] = _array(values, f"{source}: column {name!r}")
        except FrontierError:
            if known is None or name in known:
                raise
    lengths = {name: len(array) for name, array in arrays.items() if known is None or name in known}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise FrontierError(f"{source}: the columns differ in length ({told}): one value for each point")
    count = next(iter(lengths.values()), None)
    return pa.table({name: array for name, array in arrays.items() if count is None or len(array) == count})


def _array(values: object, where: str) -> pa.Array:
    """Convert a column, whatever holds it."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(values, str | bytes | Mapping | set | frozenset) or not isinstance(values, Iterable):
        raise FrontierError(f"{where} is a {type(values).__name__}: give a list or an array, a value for each point")
    if getattr(values, "ndim", 1) != 1:
        raise FrontierError(f"{where} has {getattr(values, 'ndim', 0)} dimensions: give one value for each point")
    if not hasattr(values, "dtype"):
        values = list(values)
    try:
        array = pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return _mixed(list(values), where)
    of_objects = isinstance(values, list) or str(getattr(values, "dtype", "")) == "object"
    if of_objects and pa.types.is_floating(array.type) and any(_is_bool(cell) for cell in values):
        return _mixed(list(values), where)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _mixed(cells: list[object], where: str) -> pa.Array:
    """Convert cells of several types: to floats, or to texts where some are texts.

    Totals beyond 9.2e18 do not fit Arrow's integers; as floats they lose nothing that matters.
    """
    as_text = any(isinstance(cell, str) for cell in cells)
    found: list[float | str | None] = []
    for row, cell in enumerate(cells):
        if isinstance(cell, str) or _is_nothing(cell):
            found.append(cell if isinstance(cell, str) else None)
            continue
        if _is_bool(cell) or not isinstance(cell, int | float | Decimal | np.integer | np.floating):
            raise FrontierError(f"{where} holds {cell!r:.60} in row {row + 1}, which is not a number")
        try:
            found.append(repr(float(cell)) if as_text else float(cell))
        except OverflowError:
            raise FrontierError(f"{where}: row {row + 1} is beyond the range of floating point") from None
    return pa.array(found)


def _is_bool(cell: object) -> bool:
    return isinstance(cell, bool | np.bool_)


def _is_nothing(cell: object) -> bool:
    return cell is None or type(cell).__name__ in ("NAType", "NaTType")


def number_column(column: pa.ChunkedArray, name: str, where: str, decimal: str | None = None) -> pa.ChunkedArray:
    """Convert a column to numbers: texts as `numbers` reads them, integers and floats as they are.

    Args:
        column: of any type.
        name: the estimator's name of it.
        where: the file and the column in the file's own words, for messages.
        decimal: the file's sign of decimals, where it is known.

    Raises:
        FrontierError: it holds something else; names the value and its row.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_integer(column.type) or pa.types.is_float64(column.type):
        return column
    if pa.types.is_floating(column.type) or pa.types.is_null(column.type) or pa.types.is_decimal(column.type):
        return column.cast(pa.float64(), safe=False)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or _is_view(column.type)):
        held = next((repr(value) for value in column.to_pylist() if value is not None), "nothing")
        row = _first(column) + 1
        raise FrontierError(f"{where} holds {held:.60} in row {row}, which is not a number; name another column")
    texts = column.to_pylist()
    try:
        return pa.chunked_array([pa.array(numbers(texts, name, decimal=decimal))])
    except NotANumberError as error:
        held = f"{texts[error.place]!r:.60} in row {error.place + 1}"
        raise FrontierError(f"{where} holds {held}: {error.why}; write numbers such as 8.7e9") from error


def _is_view(kind: pa.DataType) -> bool:
    return str(kind) == "string_view"


def _first(column: pa.ChunkedArray) -> int:
    return next((place for place, value in enumerate(column.to_pylist()) if value is not None), 0)
