"""`frontier` and `report`: exponents, compute-optimal models and the report page, from any points."""

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
from raysweep.frontier.families.crossovers import Crossover
from raysweep.frontier.families.differences import Contrasts
from raysweep.frontier.families.fits import FamilyFits
from raysweep.report.content.assemble import Assembled, assemble
from raysweep.report.content.questions import Question
from raysweep.report.content.sources import OF_SWEEPS, Material, from_file, from_points, from_storage
from raysweep.report.table import text
from raysweep.report.write import Written, write
from raysweep.storage import layout

FILES = (".csv", ".tsv", ".txt", ".parquet", ".pq")
OTHERS = (".xlsx", ".xls", ".ods", ".json", ".jsonl", ".feather", ".arrow", ".gz", ".zip", ".zst", ".npz", ".h5")


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of a file's columns; the estimator's own by default."""

    params: str = "params"
    data: str = "data"
    flops: str = "flops"
    loss: str = "loss"
    architecture: str | None = None
    trajectory: str | None = None
    weight: str | None = None
    unique_data: str | None = None

    def renamed(self) -> dict[str, str]:
        """The columns whose names differ from the estimator's."""
        named = {name: column for name, column in dataclasses.asdict(self).items() if column is not None}
        return {name: column for name, column in named.items() if name != column}


def computes(given: Sequence[float]) -> Sequence[float]:
    """Check the values of `--optimal`.

    Raises:
        FrontierError: a value is not a compute.
    """
    for flops in given:
        if not 0 < flops < float("inf"):
            raise FrontierError(f"--optimal {flops:g}: give a compute above 0, in FLOP")
    return given


def distinct_data(given: Sequence[str]) -> tuple[str | None, float | None]:
    """Split the values of `--unique-data` into a column name and an amount.

    Raises:
        RaysweepError: there is more than one of a kind.
    """
    amounts, columns = [], []
    for value in given:
        try:
            amounts.append(float(value))
        except ValueError:
            columns.append(value)
    if len(amounts) > 1 or len(columns) > 1:
        raise RaysweepError(f"--unique-data {' --unique-data '.join(given)}: give one column and one amount at most")
    return next(iter(columns), None), next(iter(amounts), None)


def show_frontier(
    source: str,
    columns: Columns,
    question: Question,
    *,
    tracking_uri: str | None,
    as_json: bool,
    out: str | None = None,
    contrasts: bool = False,
    data_unit: str | None = None,
) -> None:
    """Fit points from any source and print the answers; a written report answers the same question.

    With `contrasts` the families are compared with each other as well: gamma, and loss and N* at each compute. The
    figures name D by `data_unit`, or by what the source says it counts.
    """
    material = read_material(source, columns, tracking_uri, data_unit)
    with working("fitting the frontier"):
        assembled = assemble(material, question)
        differences, crossings = _compared(assembled, question) if contrasts else ([], [])
    if as_json:
        compared = {
            "contrasts": [dataclasses.asdict(one) for one in differences],
            "crossovers": [dataclasses.asdict(one) for one in crossings],
        }
        print_json({**dataclasses.asdict(assembled.answers), **(compared if contrasts else {})})
    else:
        sentences = "\n".join(cross.sentence for cross in crossings)
        tables = [text(assembled.answers), *(str(one) for one in differences), sentences]
        show("\n\n".join(table for table in tables if table))
    if out is not None:
        tell_report(_written(material, out, question, assembled), err=as_json)


def _compared(assembled: Assembled, question: Question) -> tuple[list[Contrasts], list[Crossover]]:
    """Compare the families, at the computes of the answers where they are of training alone, and find crossings."""
    fits = FamilyFits(assembled.fits)
    rows = [row for family in assembled.answers.families for row in family.optima if row.inference is None]
    computes = dict.fromkeys(row.flops for row in rows)
    asked: list[tuple[str, float | None]] = [("gamma", None)]
    asked += [(quantity, flops) for flops in computes for quantity in ("loss", "params")]
    return [fits.contrasts(*one) for one in asked], fits.crossovers(inference_steps=question.inference_steps)


def read_material(source: str, columns: Columns, tracking_uri: str | None, data_unit: str | None = None) -> Material:
    """Read the points of a search space's sweep (from its MLflow), a file, a storage or an MLflow experiment."""
    title, renamed = Path(source).stem, columns.renamed()
    if source.lower().endswith(FILES):
        return from_file(source, renamed, title, data_unit)
    if source.lower().endswith(OTHERS) and not os.path.isdir(source):
        raise FrontierError(f"{source}: points are read from .csv, .tsv and .parquet files; save it as one of these")
    if renamed:
        given = ", ".join(f"{name} = {column!r}" for name, column in renamed.items())
        raise FrontierError(f"{source}: only a .csv, .tsv or .parquet file has columns to name ({given})")
    return from_points(_read_points(source, tracking_uri), title, data_unit=data_unit or OF_SWEEPS)


def _read_points(source: str, tracking_uri: str | None) -> pa.Table:
    if source.endswith((".yaml", ".yml")):
        from raysweep.cli.spaces import read_run_space
        from raysweep.sweep.mlflow.points import points_of

        return points_of(read_run_space(source, [], tracking_uri))
    if "://" in source or os.path.isdir(os.path.expanduser(source)):
        return frontier.read_store(source)
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        raise FrontierError(
            f"{source}: no such folder, and not a .yaml, .csv or .parquet file; for an MLflow experiment "
            "give --tracking-uri, or set MLFLOW_TRACKING_URI"
        )
    return frontier.read_mlflow(source, uri)


def write_report(source: str, overrides: Sequence[str], out: str | None, data_unit: str | None = None) -> None:
    """Write the report of a search space's sweep, a storage or a file of points, whose D may be named."""
    if source.endswith((".yaml", ".yml")):
        from raysweep.cli.spaces import read_run_space

        source = read_run_space(source, overrides).storage
    elif overrides:
        raise RaysweepError(f"{' '.join(overrides)}: only a search space takes overrides, and {source} is not one")
    if source.lower().endswith(FILES):
        material = from_file(source, {}, Path(source).stem, data_unit)
        tell_report(_written(material, out or f"{Path(source).with_suffix('')}-report"))
    else:
        if data_unit is not None and data_unit != OF_SWEEPS:
            raise RaysweepError(f"--data-unit {data_unit}: the points of a sweep count {OF_SWEEPS}")
        material = from_storage(source)
        try:
            tell_report(_written(material, out or report_folder(source)))
        except StorageError as error:
            raise StorageError(f"{error}; or give another folder (--out)") from error


def _written(
    material: Material, folder: str, question: Question | None = None, assembled: Assembled | None = None
) -> Written:
    with working("writing the report" if assembled else "fitting the frontier"):
        return write(material, folder, question, assembled)


def report_folder(storage: str) -> str:
    """Locate the report of a sweep."""
    return f"{storage.rstrip('/')}/{layout.REPORT}"


def tell_report(written: Written, *, err: bool = False) -> None:
    """Print where the report is."""
    folder = masked(absolute(written.folder))
    pictures = sum(name.endswith(".png") for name in written.files)
    state = "written" if written.fresh else "unchanged"
    line = f"report: {folder}/{written.files[0]} ({pictures} figures beside it; {state})"
    typer.echo(line, err=True) if err else show(line)
