"""The compute-optimal frontier from points: fits, intervals, queries. Needs only numpy, scipy and pyarrow.

Functions take the points of one family. Those that end in `_families` take the points of several and return a mapping.
"""

from raysweep.frontier.checks.compare import compare, compare_families
from raysweep.frontier.checks.held_out import held_out, held_out_families, windows, windows_families
from raysweep.frontier.checks.parabolas import isoflop_parabolas
from raysweep.frontier.decision.decide import decide
from raysweep.frontier.decision.moves import next_moves
from raysweep.frontier.decision.race import RaceCandidate, RaceRound, RaceSettings, race_round
from raysweep.frontier.decision.verdict import Verdict
from raysweep.frontier.design.next_runs import next_runs
from raysweep.frontier.design.outlook import design_outlook
from raysweep.frontier.families.contrasts import contrasts
from raysweep.frontier.families.crossovers import crossovers
from raysweep.frontier.fit import fit, fit_families, isoflop_valleys, local_exponents
from raysweep.frontier.hyperparameters.fit import fit_hyperparameters, fit_hyperparameters_families
from raysweep.frontier.hyperparameters.horizon import horizon_exponent
from raysweep.frontier.hyperparameters.json_format import hyperparameters_from_json, hyperparameters_to_json
from raysweep.frontier.hyperparameters.reading import read_runs
from raysweep.frontier.hyperparameters.result import HyperparameterFit
from raysweep.frontier.output.json_format import from_json, to_json
from raysweep.frontier.output.reporting import checklist
from raysweep.frontier.points.readers import read_csv, read_mlflow, read_parquet, read_store
from raysweep.frontier.result import Fit

__all__ = [
    "Fit",
    "HyperparameterFit",
    "RaceCandidate",
    "RaceRound",
    "RaceSettings",
    "Verdict",
    "checklist",
    "compare",
    "compare_families",
    "contrasts",
    "crossovers",
    "decide",
    "design_outlook",
    "fit",
    "fit_families",
    "fit_hyperparameters",
    "fit_hyperparameters_families",
    "from_json",
    "held_out",
    "held_out_families",
    "horizon_exponent",
    "hyperparameters_from_json",
    "hyperparameters_to_json",
    "isoflop_parabolas",
    "isoflop_valleys",
    "local_exponents",
    "next_moves",
    "next_runs",
    "race_round",
    "read_csv",
    "read_mlflow",
    "read_parquet",
    "read_runs",
    "read_store",
    "to_json",
    "windows",
    "windows_families",
]
