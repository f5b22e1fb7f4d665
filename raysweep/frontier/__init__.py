"""The compute-optimal frontier from points: fits, intervals, queries. Needs numpy, scipy and pyarrow alone."""

from raysweep.frontier.compare import compare, crossovers
from raysweep.frontier.fit import fit
from raysweep.frontier.held_out import held_out, windows
from raysweep.frontier.json_format import from_json, to_json
from raysweep.frontier.next_runs import next_runs
from raysweep.frontier.points.readers import read_csv, read_mlflow, read_parquet, read_store
from raysweep.frontier.reporting import checklist
from raysweep.frontier.result import Fit

__all__ = [
    "Fit",
    "checklist",
    "compare",
    "crossovers",
    "fit",
    "from_json",
    "held_out",
    "next_runs",
    "read_csv",
    "read_mlflow",
    "read_parquet",
    "read_store",
    "to_json",
    "windows",
]
