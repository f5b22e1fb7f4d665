"""Tables of runs: one row a run's N, D, learning rate, batch size and loss, from a file, a table or a storage."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from raysweep.core.errors import FrontierError, TrialError
from raysweep.core.stages import LEARNING_RATE
from raysweep.frontier.hyperparameters.laws import AXES
from raysweep.frontier.points.conversion import arrow_table, number_column
from raysweep.frontier.points.csv_files import csv_file, plain_numbers
from raysweep.frontier.points.readers import parquet_table

REQUIRED = ("params", "data", "loss")
NUMERIC = (*REQUIRED, *AXES, "weight", "trivial_loss")
LABELS = ("architecture", "seed", "trajectory")
COLUMNS = (*NUMERIC, *LABELS)
DIVERGED = "^(diverged|failed|crashed|oom)$"
"""Words that other people's tables have for the loss of a run that has none."""


def read_runs(path: str | Path, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Read runs from a CSV (with a header) or Parquet file, or from the learning-rate searches of a sweep's storage.

    Args:
        path: a file .csv, .tsv, .txt, .parquet or .pq; else a storage (a folder, or a URI that pyarrow.fs knows).
        columns: the names that `fit_hyperparameters` knows -> the file's, where they differ.

    Raises:
        FrontierError: the file or a column is absent, or a column holds no numbers; the storage has no search yet.
    """
    name = str(path)
    if name.lower().endswith((".csv", ".tsv", ".txt")):
        file = csv_file(path)
        return runs_table(plain_numbers(file), columns, name, file.decimal)
    if name.lower().endswith((".parquet", ".pq")):
        return runs_table(parquet_table(path), columns, name)
    if columns:
        raise FrontierError(f"{name}: a sweep's storage has columns of its own; columns= is for files")
    return read_searches(path)


def read_searches(path: str | Path) -> pa.Table:
    """Read the trials of a sweep's learning-rate searches: every rung of every trial is a row.

    The batch size is in atoms. Learning rates are those at the base size, as the sweep's own points give them.

    Raises:
        FrontierError: there is no sweep, or no trial of a search has ended yet.
    """
    from raysweep.storage.reader import SweepReader  # imports pydantic, which other readers do not need

    reader = SweepReader(str(path))
    table = reader.saved_table()
    table = reader.table() if table is None else table
    table = table.filter(pc.equal(table["stage"], LEARNING_RATE))
    if table.num_rows == 0:
        raise FrontierError(
            f"{path}: no trial of a learning-rate search is here; is it the storage of a sweep with one?"
        )
    atoms: dict[str, int | None] = {}
    for trial_id in table["trial_id"].to_pylist():
        if trial_id not in atoms:
            try:
                atoms[trial_id] = reader.spec(trial_id).batch_atoms
            except TrialError:
                atoms[trial_id] = None
    batch = [atoms[trial_id] for trial_id in table["trial_id"].to_pylist()]
    if all(size is not None for size in batch):
        table = table.append_column("batch", pa.array(batch, pa.float64()))
    return runs_table(table, None, str(path))


def runs_table(
    points: object, columns: Mapping[str, str] | None = None, source: str = "points", decimal: str | None = None
) -> pa.Table:
    """Convert runs to a table with the columns of `COLUMNS` that are there, those of numbers as numbers.

    Args:
        points: as in `fit_hyperparameters`.
        columns: the names of `COLUMNS` -> the table's, where they differ.
        source: its name in messages.
        decimal: the sign of decimals in its texts, where it is known.

    Raises:
        FrontierError: it is no table, a column is absent or twice there, or a column of numbers holds something else.
    """
    table = arrow_table(points, source, {*COLUMNS, "family", "trial_id", *(columns or {}).values()})
    given = dict(columns or {})
    for name, column in given.items():
        if name not in COLUMNS:
            raise FrontierError(f"{source}: columns names {name!r}, which is unknown here; known: {', '.join(COLUMNS)}")
        if column not in table.column_names:
            raise FrontierError(f"{source}: no column {column!r} for {name}; it has {', '.join(table.column_names)}")
    fallback = {"architecture": ("family",), "trajectory": ("trial_id",)}
    found: dict[str, pa.ChunkedArray] = {}
    for name in COLUMNS:
        for column in (given[name],) if name in given else (*fallback.get(name, ()), name):
            if table.column_names.count(column) > 1:
                raise FrontierError(f"{source}: two columns are named {column!r}; rename or remove one")
            if column in table.column_names:
                found[name] = _read(table[column], name, f"{source}: column {column!r}", decimal)
                break
    _require(found, table, source)
    return pa.table(found)


def _require(found: Mapping[str, pa.ChunkedArray], table: pa.Table, source: str) -> None:
    has = f"it has {', '.join(table.column_names)}"
    for name in REQUIRED:
        if name not in found:
            raise FrontierError(f"{source}: no column for {name}; {has}. Name it in columns={{{name!r}: ...}}")
    if not any(axis in found for axis in AXES):
        raise FrontierError(
            f"{source}: neither a column for learning_rate nor one for batch; {has}. "
            f"Name one in columns={{{AXES[0]!r}: ...}}"
        )
    if table.num_rows == 0:
        raise FrontierError(f"{source}: the table has no runs")


def _read(column: pa.ChunkedArray, name: str, where: str, decimal: str | None) -> pa.ChunkedArray:
    """Convert a column of numbers to such; a batch size may have the units of D."""
    if name not in NUMERIC:
        return column
    if name == "loss" and pa.types.is_string(column.type):
        lower = pc.utf8_lower(pc.utf8_trim_whitespace(column))
        column = pc.if_else(pc.match_substring_regex(lower, DIVERGED), pa.scalar(None, pa.string()), column)
    return number_column(column, "data" if name == "batch" else name, where, decimal)
