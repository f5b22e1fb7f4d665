"""What the engine itself costs: seconds to plan 10,000 trials, and per trial that does nothing.

    python benchmarks/sweep_overhead.py [--trials 1000] [--planned 10000]

Prints one JSON line. The trials are run by Ray Tune on all cores, each writing its directory in the trial store; Ray's
start is timed apart. Memory is the driver's, at its highest: in all, and what it grew by from the end of a first sweep
of ten trials, which loads every library.
"""

import argparse
import io
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import yaml
from rich.console import Console

from raysweep.sweep.cluster.driver.output import quiet
from raysweep.sweep.cluster.join import cluster
from raysweep.sweep.plan.planner import make_plan
from raysweep.sweep.run import run
from raysweep.sweep.space.facts import data_facts
from raysweep.sweep.space.space import Space, parse_space

TOY = Path(__file__).resolve().parents[1] / "tests" / "sweep"


def toy(storage: Path, trials: int) -> Space:
    """Return a space of so many trajectories of one point each."""
    sizes = min(trials, 1000)
    content = {
        "name": "overhead",
        "storage": str(storage),
        "entrypoint": "toy_trials:train",
        "families": {"toy": {"architecture": "toy", "sizes": {"width": list(range(1, sizes + 1))}}},
        "grid": {"structures": [100], "seeds": list(range(-(-trials // sizes)))},
        "learning_rate": {"rates": {"toy": 0.02}, "transfer": "per_size"},
    }
    return parse_space(yaml.safe_dump(content), "overhead.yaml")


def memory_mib() -> float:
    """Return the highest resident memory of this process so far, MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Plan, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--planned", type=int, default=10_000)
    asked = parser.parse_args()
    sys.path.append(str(TOY))  # holds toy_trials
    with tempfile.TemporaryDirectory() as folder:
        big = toy(Path(folder) / "planned", asked.planned)
        began = time.perf_counter()
        rates = {("toy", json.dumps({"width": w})): 0.02 for w in range(1, min(asked.planned, 1000) + 1)}
        planned = make_plan(big, data_facts(big), rates, measure=False)
        plan_seconds = time.perf_counter() - began

        space = toy(Path(folder) / "run", asked.trials)
        with quiet(Path(folder) / "ray.log"):
            began = time.perf_counter()
            with cluster(space):
                ray_seconds = time.perf_counter() - began
                run(toy(Path(folder) / "first", 10), console=Console(file=io.StringIO()))
                before, began = memory_mib(), time.perf_counter()
                result = run(space, console=Console(file=io.StringIO()))
                run_seconds = time.perf_counter() - began
        assert result.complete
        assert result.ran == len(result.plan.trials)
        began = time.perf_counter()
        again = run(space, console=Console(file=io.StringIO()))
        assert again.ran == 0
        print(
            json.dumps(
                {
                    "planned": len(planned.trials),
                    "plan_seconds": round(plan_seconds, 2),
                    "trials": result.ran,
                    "seconds_per_empty_trial": round(run_seconds / result.ran, 4),
                    "driver_memory_growth_mib": round(memory_mib() - before),
                    "driver_memory_mib": round(memory_mib()),
                    "ray_start_seconds": round(ray_seconds, 1),
                    "rerun_seconds": round(time.perf_counter() - began, 2),
                }
            )
        )


if __name__ == "__main__":
    main()
