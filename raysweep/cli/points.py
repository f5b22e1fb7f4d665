"""`frontier` and `report`: exponents, compute-optimal models and the report's page, from any points."""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import typer

from raysweep import frontier
from raysweep.cli.show import print_json, show
from raysweep.core.errors import FrontierError, RaysweepError, StorageError
from raysweep.core.io.files import absolute
from raysweep.core.masking import masked
from raysweep.core.terminal.live import working
from raysweep.report.content.assemble import Method, answer
from raysweep.report.content.sources import Material, from_points, from_storage
from raysweep.report.table import text
from raysweep.report.write import Written, write
from raysweep.storage import layout


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of a file's columns; the estimator's own by default."""

    params: str = "params"
    data: str = "data"
    flops: str = "flops"
    loss: str = "loss"
    architecture: str | None = None

    def renamed(self) -> dict[str, str]:
        """The columns whose names differ from the estimator's."""
        named = {name: column for name, column in dataclasses.asdict(self).items() if column is not None}
        return {name: column for name, column in named.items() if name != column}


def show_frontier(
    source: str,
    columns: Columns,
    *,
    optimal: Sequence[float],
    method: Method,
    tracking_uri: str | None,
    as_json: bool,
    out: str | None = None,
) -> None:
    """Fit points from anywhere and print the answers."""
    for flops in optimal:
        if not 0 < flops < float("inf"):
            raise FrontierError(f"--optimal {flops:g}: give a compute above 0, in FLOP")
    material = from_points(read_points(source, columns, tracking_uri), Path(source).stem)
    with working("fitting the frontier"):
        answers = answer(material, method=method, computes=optimal)
    if as_json:
        print_json(dataclasses.asdict(answers))
    else:
        show(text(answers))
    if out is not None:
        tell_report(_written(material, out), err=as_json)


def read_points(source: str, columns: Columns, tracking_uri: str | None) -> pa.Table:
    """Read the points of a search space's sweep (from its MLflow), a file, a storage or an MLflow experiment."""
    if source.endswith((".yaml", ".yml")):
        return _of_space(source, tracking_uri)
    if source.endswith(".csv"):
        return frontier.read_csv(source, columns.renamed())
    if source.endswith((".parquet", ".pq")):
        return frontier.read_parquet(source, columns.renamed())
    if "://" in source or os.path.isdir(os.path.expanduser(source)):
        return frontier.read_store(source)
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        raise FrontierError(
            f"{source}: there is no such folder, and it is no .yaml, .csv or .parquet file; for an MLflow experiment "
            "give --tracking-uri, or set MLFLOW_TRACKING_URI"
        )
    return frontier.read_mlflow(source, uri)


def write_report(source: str, overrides: Sequence[str], out: str | None) -> None:
    """Write the report of a search space's sweep, a storage or a file of points."""
    if source.endswith((".yaml", ".yml")):
        from raysweep.cli.spaces import read_run_space

        source = read_run_space(source, overrides).storage
    elif overrides:
        raise RaysweepError(f"{' '.join(overrides)}: only a search space takes overrides, and {source} is none")
    if source.endswith((".csv", ".parquet", ".pq")):
        material = from_points(read_points(source, Columns(), None), Path(source).stem)
        tell_report(_written(material, out or f"{Path(source).with_suffix('')}-report"))
    else:
        material = from_storage(source)
        try:
            tell_report(_written(material, out or report_folder(source)))
        except StorageError as error:
            raise StorageError(f"{error}; or give another folder (--out)") from error


def _written(material: Material, folder: str) -> Written:
    with working("fitting the frontier"):
        return write(material, folder)


def report_folder(storage: str) -> str:
    """Locate the report of a sweep."""
    return f"{storage.rstrip('/')}/{layout.REPORT}"


def tell_report(written: Written, *, err: bool = False) -> None:
    """Print where the report is."""
    folder = masked(absolute(written.folder))
    pictures = len(written.files) - 1
    state = "written" if written.fresh else "unchanged"
    line = f"report: {folder}/{written.files[0]} ({pictures} figures beside it; {state})"
    typer.echo(line, err=True) if err else show(line)


def _of_space(path: str, tracking_uri: str | None) -> pa.Table:
    from raysweep.cli.spaces import read_run_space

    space = read_run_space(path, [], tracking_uri)
    if not space.tracking.enabled:
        return frontier.read_store(space.storage)
    from raysweep.frontier.points.readers import as_table
    from raysweep.sweep.mlflow.place import place_of
    from raysweep.tracking.connection import database_of
    from raysweep.tracking.mlflow import read_points as read_runs

    place = place_of(space)
    database = database_of(place.uri)
    if database is not None and database.exists() and not os.access(database, os.W_OK):
        # MLflow asks no database on a disk that is read-only; the storage has the same points.
        return frontier.read_store(space.storage)
    runs = read_runs(place.experiment, place.uri, sweep_name=place.sweep, storage=place.storage or None, log=place.log)
    return as_table(runs, f"MLflow experiment {place.experiment!r}")
