"""Every file name in a sweep's storage, each defined here and nowhere else.

<storage>/sweep.json              name, structures, resolved search space and versions of the last run
points.parquet          every point of the sweep
assignments.json        the families and stages that each trial serves
learning_rates.json     the learning-rate searches and their results
forecasts/<id>.json     forecasts of runs, each written before its run and named by its content hash
adaptive.json           the rounds that an adaptive sweep chose
races.json              the rounds of each race across families, and its verdict after each of them
costs.json, sizes.json  measured costs and solved widths: they only save work
code.json               the versions of an entrypoint or plug-in that the user declared equal
driver.json             the lease of the driver that runs the sweep
mlflow.json             the state of the storage that MLflow was last made equal to
mlflow.db, artifacts/   MLflow's database and artifacts, where the search space names no other place
logs/                   ray.log and mlflow.log
report/                 report.html, the figures, and report.json: their digests and the answers as values and text;
                        after a race verdict.json
trials/<trial id>/      spec.json, state.json, points.arrow, checkpoints/<attempt>/
"""

SWEEP = "sweep.json"
POINTS = "points.parquet"
ASSIGNMENTS = "assignments.json"
LEARNING_RATES = "learning_rates.json"
FORECASTS = "forecasts"
ROUNDS = "adaptive.json"
RACES = "races.json"
COSTS = "costs.json"
SIZES = "sizes.json"
CODE = "code.json"
LEASE = "driver.json"
MLFLOW_MARK = "mlflow.json"
MLFLOW_DATABASE = "mlflow.db"
MLFLOW_ARTIFACTS = "artifacts"

LOGS = "logs"
RAY_LOG = "ray.log"
MLFLOW_LOG = "mlflow.log"

REPORT = "report"
REPORT_PAGE = "report.html"
REPORT_RECORD = "report.json"
REPORT_VERDICT = "verdict.json"

TRIALS = "trials"
TRIAL_SPEC = "spec.json"
TRIAL_STATE = "state.json"
TRIAL_POINTS = "points.arrow"
TRIAL_CHECKPOINTS = "checkpoints"
