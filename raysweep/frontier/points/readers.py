"""Readers: from a sweep's storage, MLflow, Parquet or CSV to one table of points.

The table has `params`, `data`, `flops`, `loss`, all numbers; further columns that the estimator knows are optional.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet

from raysweep.core.errors import FrontierError
from raysweep.core.io.files import open_location, read_whole
from raysweep.frontier.points.columns import READ, REQUIRED, as_points
from raysweep.frontier.points.conversion import arrow_table
from raysweep.frontier.points.csv_files import csv_file, csv_table, plain_numbers
from raysweep.storage import layout

if TYPE_CHECKING:
    from raysweep.storage.reader import SweepReader

__all__ = [
    "REQUIRED",
    "arrow_table",
    "as_table",
    "canonical",
    "csv_table",
    "parquet_table",
    "read_csv",
    "read_mlflow",
    "read_parquet",
    "read_store",
]


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
    return as_points(table, str(path))


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
    return as_points(read_points(experiment, where), f"MLflow experiment {experiment!r}")


def read_parquet(path: str | Path, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Read the points of a Parquet file; `columns` maps the estimator's names to the file's, as in `read_csv`."""
    return as_points(parquet_table(path), str(path), columns)


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
        table: pa.Table = pyarrow.parquet.ParquetFile(pa.BufferReader(whole)).read()
    except (pa.ArrowException, OSError) as error:
        raise FrontierError(f"{path}: not a Parquet file: {error}") from error
    return table


def read_csv(path: str | Path, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Read the points of a CSV file with a header.

    Columns may be separated by commas, semicolons, tabs or bars, and numbers written as people do (`8.7B`, `1,234,567`,
    `10^9`); what may have two meanings is refused.

    Args:
        path: of the file.
        columns: the estimator's name -> the file's, where they differ: {"params": "N", "data": "tokens"}. Map
            {"flops": "6ND"} to compute it as 6 N D; so it is, with a note in the status, where the file has none.

    Raises:
        FrontierError: the file or a column is absent, or a column holds no numbers.
    """
    file = csv_file(path)
    return as_points(plain_numbers(file), str(path), columns, decimal=file.decimal)


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


def as_table(points: object, source: str = "points", required: Sequence[str] = REQUIRED) -> pa.Table:
    """Convert points to a table: an Arrow table, a pandas frame, or a mapping of columns.

    Raises:
        FrontierError: it is none of them, or lacks a column.
    """
    return as_points(arrow_table(points, source, READ), source, None, required)


def canonical(points: pa.Table) -> pa.Table:
    """Sort points into a canonical order, so that equal points give bit-identical fits wherever they were read from."""
    keys = ("architecture", "trajectory", "seed", "params", "data", "flops", "loss")
    return points.sort_by([(name, "ascending") for name in keys if name in points.column_names]).combine_chunks()
