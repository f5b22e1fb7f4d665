"""Trials that give many points a second, all at once: `python benchmarks/result_rate.py [--trials 10] [--rate 50]`.

Each trial waits until all have begun, gives `--results` points, one every 1/rate seconds, and does nothing else.
Printed: how long that took against the least time that their pace allows (at most 1.2 times is wanted), what is missing
of the points in the trial store and in MLflow (nothing may be), and apart from that how long the workers, a process
each, took to start. Ray has a release test of 96 trials with 50 results a second on a cluster of that many cores; on
two cores the default is a tenth of it.
"""

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml
from rich.console import Console

from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec
from raysweep.frontier import read_mlflow, read_store
from raysweep.sweep.cluster.driver.output import quiet
from raysweep.sweep.cluster.join import cluster
from raysweep.sweep.mlflow.equal import catch_up
from raysweep.sweep.mlflow.place import mirror_of
from raysweep.sweep.run import run
from raysweep.sweep.space.space import Space, parse_space


def train(spec: TrialSpec, store: object, *, checkpoints: str | None, device: str | None) -> Iterator[Point]:
    """Give a point each time that one is due; and note when the trial began and ended."""
    assert checkpoints
    Path(checkpoints).mkdir(parents=True, exist_ok=True)
    trials = next(folder for folder in Path(checkpoints).parents if folder.name == "trials")
    (trials / f"{spec.trial_id}.begun").touch()
    while len(list(trials.glob("*.begun"))) < int(spec.size["trials"]):
        time.sleep(0.05)
    began = time.time()
    for index, budget in enumerate(spec.data_budgets):
        time.sleep(max(0.0, began + (index + 1) / float(spec.size["rate"]) - time.time()))
        size = json.dumps(spec.size, sort_keys=True)
        yield Point(
            trial_id=spec.trial_id,
            architecture=spec.architecture,
            size=size,
            seed=spec.seed,
            learning_rate=spec.learning_rate,
            step=index + 1,
            budget=budget,
            budget_kind="data",
            params=1,
            data=budget,
            flops=6.0 * budget,
            loss=1 / budget,
        )
    Path(checkpoints, "clock.json").write_text(json.dumps([began, time.time()]))


def space_of(storage: Path, asked: argparse.Namespace) -> Space:
    """Return a space of `asked.trials` trials that all run at once."""
    content = {
        "name": "result_rate",
        "storage": str(storage),
        "entrypoint": "result_rate:train",
        "families": {"paced": {"architecture": "paced", "sizes": {"rate": [asked.rate], "trials": [asked.trials]}}},
        "grid": {"structures": list(range(1, asked.results + 1)), "seeds": list(range(asked.trials))},
        "learning_rate": {"rates": {"paced": 0.02}, "transfer": "per_size"},
        "resources": {"cpu": round(1 / asked.trials, 2)},
        "tracking": {"uri": f"sqlite:///{storage}/mlflow.db"},
    }
    return parse_space(yaml.safe_dump(content), "result_rate.yaml")


def main() -> None:
    """Run, count, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--results", type=int, default=500)
    asked = parser.parse_args()
    sys.path.append(str(Path(__file__).parent))
    with tempfile.TemporaryDirectory() as folder:
        space = space_of(Path(folder), asked)
        with quiet(Path(folder) / "ray.log"), cluster(space):
            began = time.perf_counter()
            result = run(space, mirror=mirror_of, console=Console(file=io.StringIO()))
            catch_up(space)  # as `raysweep run` ends
            seconds = time.perf_counter() - began
        assert result.complete, result.table()
        clocks = [json.loads(path.read_text()) for path in Path(folder).rglob("clock.json")]
        assert len(clocks) == asked.trials
        taken = max(end for _, end in clocks) - min(start for start, _ in clocks)
        begun = [path.stat().st_mtime for path in Path(folder).rglob("*.begun")]
        wanted, uri = asked.trials * asked.results, str(space.tracking.uri)
        print(
            json.dumps(
                {
                    "points": wanted,
                    "least_seconds": asked.results / asked.rate,
                    "seconds": round(taken, 2),
                    "times_the_least": round(taken / (asked.results / asked.rate), 3),
                    "seconds_until_all_had_begun": round(max(begun) - min(begun), 2),
                    "seconds_of_the_run": round(seconds, 2),
                    "lost": wanted - read_store(space.storage).num_rows,
                    "lost_in_mlflow": wanted - read_mlflow("result_rate", uri).num_rows,
                }
            )
        )


if __name__ == "__main__":
    main()
