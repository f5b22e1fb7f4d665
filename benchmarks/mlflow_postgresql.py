"""What a large sweep costs MLflow on a server with PostgreSQL: seconds to write, to heal, to check and to read back.

python benchmarks/mlflow_postgresql.py --trials 10000 --points 10

Starts PostgreSQL (apt-get install postgresql) with its defaults and `mlflow server` with its four workers, both on
loopback. `write`: a driver tells its mirror all trials at once, until MLflow has them; `heal`: `sync` into an
experiment that has none of them; `check`: `sync` once more, which may change nothing; `read`: what `raysweep frontier`
reads.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "cluster"))

from servers import MlflowServer, Postgres
from tracking import make_trials, mirror_all, timed

from raysweep.tracking.mlflow import read_points, sync


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--points", type=int, default=10)
    parser.add_argument("--workers", type=int, default=4, help="processes of the MLflow server")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="raysweep-"))
    folder.chmod(0o755)  # PostgreSQL has an account of its own
    database = Postgres(folder / "postgresql")
    server = MlflowServer(folder / "mlflow", database.uri, workers=options.workers)
    try:
        database.start()
        server.start()
        seconds = measure(server.uri, options.trials, options.points)
    finally:
        server.stop()
        database.stop()
        shutil.rmtree(folder)
    print(
        json.dumps({"trials": options.trials, "points": options.points} | {k: round(v, 1) for k, v in seconds.items()})
    )


def measure(uri: str, count: int, points: int) -> dict[str, float]:
    """Return the seconds of each part."""
    trials = make_trials(count, points)
    place = {"tracking_uri": uri, "experiment": "healed", "sweep_name": "benchmark"}
    sync([], **{**place, "experiment": "first"})  # imports, connects
    seconds = {}
    _, seconds["write"] = mirror_all(trials, {**place, "experiment": "written"})
    _tell(seconds)
    seconds["heal"] = timed(lambda: sync(trials, **place))
    _tell(seconds)
    began = time.perf_counter()
    again = sync(trials, **place)
    seconds["check"] = time.perf_counter() - began
    assert again.equal, again
    seconds["read"] = timed(lambda: read_points("healed", uri))
    healed, written = read_points("healed", uri), read_points("written-live", uri)
    assert healed.num_rows == count * points
    assert healed.equals(written)
    return seconds


def _tell(seconds: dict[str, float]) -> None:
    sys.stderr.write(f"{seconds}\n")


if __name__ == "__main__":
    main()
