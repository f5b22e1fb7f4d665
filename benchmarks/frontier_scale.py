"""Time and memory of a fit against its number of points, each in a fresh process, with and without trajectories.

    python benchmarks/frontier_scale.py [--points 500 5000 20000] [--bootstraps 1000]

Bar: 5,000 points and 1,000 bootstraps take at most 5 s of CPU and 300 MB at the peak, imports included.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

POINTS_PER_RUN = 10


def points(count: int, trajectories: bool) -> dict[str, object]:
    """Losses of a known law with 1 % of noise."""
    generator = np.random.default_rng(0)
    if trajectories:
        runs = count // POINTS_PER_RUN
        params = np.repeat(10 ** generator.uniform(6, 9, runs), POINTS_PER_RUN)
        data = np.tile(np.geomspace(1e8, 1e11, POINTS_PER_RUN), runs)
    else:
        params, data = 10 ** generator.uniform(6, 9, count), 10 ** generator.uniform(8, 11, count)
    loss = (1.7 + 400 * params**-0.34 + 410 * data**-0.28) * np.exp(0.01 * generator.normal(size=params.size))
    found: dict[str, object] = {"params": params, "data": data, "flops": 6 * params * data, "loss": loss}
    if trajectories:
        found["trajectory"] = [f"run {number}" for number in np.repeat(np.arange(runs), POINTS_PER_RUN)]
    return found


def measure(count: int, bootstraps: int, trajectories: bool) -> None:
    """Fit once in this process, and print the row."""
    from raysweep.frontier import fit

    start = time.perf_counter()
    fit(points(count, trajectories), bootstraps=bootstraps)
    wall, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    kind = "runs" if trajectories else "points"
    print(f"{count:>8} {kind:>7} {wall:>8.1f} {time.process_time():>8.1f} {peak:>8.0f}", flush=True)


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, nargs="+", default=[500, 5000, 20_000])
    parser.add_argument("--bootstraps", type=int, default=1000)
    parser.add_argument("--one", choices=["points", "runs"], help="measure in this process")
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments.points[0], arguments.bootstraps, arguments.one == "runs")
        return
    print(f"{'points':>8} {'units':>7} {'wall s':>8} {'CPU s':>8} {'peak MB':>8}", flush=True)
    for kind in ("points", "runs"):
        for count in arguments.points:
            own = [sys.executable, __file__, "--one", kind, "--points", str(count)]
            subprocess.run([*own, "--bootstraps", str(arguments.bootstraps)], check=True)


if __name__ == "__main__":
    main()
