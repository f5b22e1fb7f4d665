"""The compute-optimal frontier from points: fits, intervals, queries. Needs numpy, scipy and pyarrow alone."""

from raysweep.frontier.checks import held_out, windows
from raysweep.frontier.compare import compare, crossovers
from raysweep.frontier.fit import fit
from raysweep.frontier.next_runs import next_runs
from raysweep.frontier.points import read_csv, read_mlflow, read_parquet, read_store
from raysweep.frontier.result import Fit

__all__ = [
    "Fit",
    "compare",
    "crossovers",
    "fit",
    "held_out",
    "next_runs",
    "read_csv",
    "read_mlflow",
    "read_parquet",
    "read_store",
    "windows",
]
