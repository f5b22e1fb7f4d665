"""Readers: from a sweep's storage, MLflow, Parquet or CSV to one table of points.

The table has `params`, `data`, `flops`, `loss`, all numbers; further columns that the estimator knows are optional.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from raysweep.core.errors import FrontierError
from raysweep.core.io.files import open_location, read_whole
from raysweep.core.stages import LEARNING_RATE
from raysweep.frontier.numerics.arrays import Floats
from raysweep.storage import layout

if TYPE_CHECKING:
    from raysweep.storage.reader import SweepReader

REQUIRED = ("params", "data", "flops", "loss")
OPTIONAL = ("seconds", "architecture", "seed", "trajectory", "weight", "unique_data", "trivial_loss", "device")


def read_store(path: str | Path) -> pa.Table:
    """Read the points of a sweep's grid stage from its storage (a folder, or a URI that pyarrow.fs knows).

    The sweep-level `points.parquet` is taken where it is there, else the trials' own `points.arrow`.

    Raises:
        FrontierError: there is no sweep, or it has no points yet.
    """
    from raysweep.storage.reader import SweepReader  # imports pydantic, which other readers do not need

    reader = SweepReader(str(path))
    table = reader.saved_table()
    if table is None:
        table = _from_trials(reader, str(path))
    return _as_points(table, str(path))


def read_mlflow(experiment: str, tracking_uri: str | None = None) -> pa.Table:
    """Read the points of a sweep's grid stage from its MLflow experiment; equal to `read_store` to the last digit.

    Raises:
        TrackingError: the server or the experiment is absent, or was not written by raysweep.
        FrontierError: it has no points yet.
    """
    from raysweep.tracking.mlflow import read_points

    where = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not where:
        raise FrontierError(f"experiment {experiment!r}: where? Give tracking_uri=, or set MLFLOW_TRACKING_URI")
    return _as_points(read_points(experiment, where), f"MLflow experiment {experiment!r}")


def read_parquet(path: str | Path, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Read the points of a Parquet file; `columns` maps the estimator's names to the file's, as in `read_csv`."""
    return _as_points(parquet_table(path), str(path), columns)


def parquet_table(path: str | Path) -> pa.Table:
    """Read a Parquet file as it is.

    Raises:
        FrontierError: there is no such file, or it is not Parquet.
    """
    filesystem, place = open_location(path)
    whole = read_whole(filesystem, place)
    if whole is None:
        raise FrontierError(f"{path}: there is no such file")
    try:
        table: pa.Table = pyarrow.parquet.read_table(pa.BufferReader(whole))
    except pa.ArrowInvalid as error:
        raise FrontierError(f"{path}: not a Parquet file: {error}") from error
    return table


def read_csv(path: str | Path, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Read the points of a CSV file with a header.

    Args:
        path: of the file.
        columns: the estimator's name -> the file's, where they differ: {"params": "N", "data": "tokens"}. Where none
            of the file's columns is `flops`, map {"flops": "6ND"} to compute it as 6 N D.

    Raises:
        FrontierError: the file or a column is absent, or a column holds no numbers.
    """
    return _as_points(csv_table(path), str(path), columns)


def csv_table(path: str | Path) -> pa.Table:
    """Read a CSV file with a header as it is.

    Raises:
        FrontierError: there is no such file, or it is not one with commas.
    """
    filesystem, place = open_location(path)
    whole = read_whole(filesystem, place)
    if whole is None:
        raise FrontierError(f"{path}: there is no such file")
    options = pyarrow.csv.ConvertOptions(strings_can_be_null=True, null_values=["", "NA", "null", "None"])
    try:
        table: pa.Table = pyarrow.csv.read_csv(pa.BufferReader(whole), convert_options=options)
    except pa.ArrowInvalid as error:
        raise FrontierError(f"{path}: not a CSV file with a header: {error}") from error
    if table.num_columns == 1 and (found := [sign for sign in ";\t|" if sign in table.column_names[0]]):
        raise FrontierError(f"{path}: columns are separated by {found[0]!r}: write them with commas, and 0.5, not 0,5")
    return table


def _from_trials(reader: "SweepReader", shown: str) -> pa.Table:
    """Read the points of every trial that has ended, with the families and stages that it serves.

    Raises:
        FrontierError: there is no sweep, or no trial of it has ended yet.
    """
    if reader.read_bytes(layout.ASSIGNMENTS) is None:
        raise FrontierError(
            f"{shown}: neither {layout.POINTS} nor {layout.ASSIGNMENTS} is here; is it a sweep's storage?"
        )
    table = reader.table()
    if any(note.startswith(layout.ASSIGNMENTS) for note in reader.notes):
        raise FrontierError(f"{shown}/{layout.ASSIGNMENTS} is torn; run the sweep again to write it")
    if table.num_rows == 0:
        raise FrontierError(f"{shown}: no trial of the sweep has ended yet, so there are no points to fit")
    return table


def _as_points(
    table: pa.Table, source: str, columns: Mapping[str, str] | None = None, required: Sequence[str] = REQUIRED
) -> pa.Table:
    """Rename to the estimator's words, keep the grid stage, and check that every column asked for is there."""
    asked = {name: name for name in (*REQUIRED, *OPTIONAL)} | dict(columns or {})
    for name in dict.fromkeys((*asked.values(), "stage", "family", "trial_id")):
        if table.column_names.count(name) > 1:
            raise FrontierError(f"{source}: two columns are named {name!r}; rename or remove one")
    for wanted, given in (columns or {}).items():
        if wanted not in (*REQUIRED, *OPTIONAL):
            known = ", ".join((*REQUIRED, *OPTIONAL))
            raise FrontierError(f"{source}: columns names {wanted!r}, unknown to the estimator; it knows {known}")
        if given == "6ND" and wanted == "flops" and "6ND" not in table.column_names:
            continue
        if given not in table.column_names:
            raise FrontierError(f"{source}: no column {given!r} for {wanted}; it has {', '.join(table.column_names)}")
        table = _put(table, wanted, table[given])
    if "stage" in table.column_names:
        in_grid = pc.fill_null(pc.not_equal(table["stage"], LEARNING_RATE), True)
        table = table.filter(in_grid)
    table = _each_once(table)
    if "trial_id" in table.column_names and "trajectory" not in table.column_names:
        table = _put(table, "trajectory", table["trial_id"])
    if "family" in table.column_names:
        table = _put(table, "architecture", table["family"])
    if (columns or {}).get("flops") == "6ND" and "6ND" not in table.column_names:
        table = _put(table, "flops", _six_n_d(table, source))
    return _numeric(_checked(table, source, required), source, asked)


NUMERIC = (*REQUIRED, "seconds", "weight", "unique_data", "trivial_loss")


def _numeric(table: pa.Table, source: str, asked: Mapping[str, str]) -> pa.Table:
    """Check that columns of numbers hold such.

    Raises:
        FrontierError: one holds a text such as 8.7B; names the column as the source does, the value and its row.
    """
    for name in (name for name in NUMERIC if name in table.column_names):
        column = table[name]
        try:
            column.cast(pa.float64(), safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            row, value = next(((i, v) for i, v in enumerate(column.to_pylist()) if not _is_number(v)), (0, None))
            raise FrontierError(
                f"{source}: column {asked[name]!r} holds {value!r:.60} in row {row + 1}, which is not a number; write "
                "numbers such as 8.7e9, without units or thousands separators"
            ) from error
    return table


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return value is None
    return True


def _each_once(table: pa.Table) -> pa.Table:
    """Drop second rows of one evaluation, which a sweep's points have where two budgets fall on one step."""
    keys = [name for name in ("trial_id", "step", "data", "flops", "family") if name in table.column_names]
    if not {"trial_id", "step", "budget"} <= set(table.column_names):
        return table
    rows = zip(*(table[name].to_pylist() for name in keys), strict=True)
    first = {row: place for place, row in reversed(list(enumerate(rows)))}
    return table if len(first) == table.num_rows else table.take(sorted(first.values()))


def _six_n_d(table: pa.Table, source: str) -> pa.ChunkedArray:
    for name in ("params", "data"):
        if name not in table.column_names:
            raise FrontierError(f"{source}: no column for {name}; name it in columns={{{name!r}: ...}}")
    params, data = (pc.cast(table[name], pa.float64()) for name in ("params", "data"))
    return pc.multiply(pc.multiply(params, data), 6.0)


def _checked(table: pa.Table, source: str, required: Sequence[str]) -> pa.Table:
    for name in required:
        if name not in table.column_names:
            raise FrontierError(
                f"{source}: no column for {name}; it has {', '.join(table.column_names)}. "
                f"Name it in columns={{{name!r}: ...}}"
            )
    if table.num_rows == 0:
        raise FrontierError(f"{source}: the table has no points")
    return table.select([name for name in (*REQUIRED, *OPTIONAL) if name in table.column_names])


def _put(table: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    """Set a column of a table, whether it was there or not."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)


def as_table(points: object, source: str = "points", required: Sequence[str] = REQUIRED) -> pa.Table:
    """Convert points to a table: an Arrow table, a pandas frame, or a mapping of columns.

    Raises:
        FrontierError: it is none of them, or lacks a column.
    """
    return _as_points(arrow_table(points, source), source, None, required)


def arrow_table(points: object, source: str = "points") -> pa.Table:
    """Convert an Arrow table, a pandas frame or a mapping of columns to an Arrow table with the same columns.

    Raises:
        FrontierError: it is none of them.
    """
    if isinstance(points, pa.Table):
        return points
    if isinstance(points, Mapping):
        return pa.table({str(key): _column(values) for key, values in points.items()})
    if hasattr(points, "__dataframe__") or type(points).__module__.startswith("pandas"):
        return pa.Table.from_pandas(points, preserve_index=False)
    raise FrontierError(
        f"{source} is a {type(points).__name__}: give a pyarrow table, a pandas frame or a dict of columns"
    )


def _column(values: Sequence[float] | Floats) -> pa.Array:
    try:
        return pa.array(values)
    except (OverflowError, pa.ArrowInvalid):
        # Totals beyond 9.2e18 do not fit Arrow's integers; as floats they lose nothing that matters.
        return pa.array([float(value) for value in values])
