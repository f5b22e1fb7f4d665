"""Coverage of nominal 95 % intervals where the points of a trajectory share part of their noise.

    python benchmarks/frontier_trajectories.py [--replicates 400] [--method isoflop] [--resampled] [--only 4x3]

Sizes x seeds trajectories with five points each: at five amounts of data, or at five budgets for the isoFLOP and
envelope approaches, whose valleys need them. Noise of .5 %, of which a share of the variance is common to the points of
a trajectory. The law is Chinchilla's (see frontier_simulation.py). Each replicate is fitted twice: with the points'
trajectories named, and without, as if all points were independent. With --resampled the parametric approach draws whole
trajectories, as the others do, instead of fitting the noise of runs. Bar: 92 % for a and N*(1e24) with trajectories
named, at every share, by the resampled parametric approach. The margin of a coverage from 400 replicates is 2 %.
frontier_run_noise.py measures families that share the form of their noise.
"""

import argparse
import warnings

import numpy as np
from frontier_simulation import NOISE, TARGET, TRUTH, loss

from raysweep.frontier.approaches.options import Options
from raysweep.frontier.fit import fit_group
from raysweep.frontier.points.readers import as_table

DESIGNS = ((4, 1), (8, 1), (4, 3), (8, 3))
SHARES = (0.0, 0.5, 0.9)
POINTS = 5


def main():
    """Print coverage and median width of a, ln N* and L* for each design and share, with trajectories and without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--bootstraps", type=int, default=150)
    parser.add_argument("--method", default="parametric", choices=("parametric", "isoflop", "envelope"))
    parser.add_argument("--resampled", action="store_true", help="leave the noise of runs out of the fit")
    parser.add_argument("--only", help="one design, such as 4x3")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{arguments.method}, {arguments.replicates} replicates: coverage of a, ln N*, L*; their median widths")
    for sizes, seeds in DESIGNS:
        if arguments.only in (None, f"{sizes}x{seeds}"):
            for share in SHARES:
                cell(sizes, seeds, share, arguments)


def cell(sizes, seeds, share, arguments):
    """Run and print one design at one share."""
    ends = {"points": [], "trajectories": []}
    for replicate in range(arguments.replicates):
        points, run = simulated(sizes, seeds, share, replicate, at_budgets=arguments.method != "parametric")
        ends["points"].append(interval_ends(points, arguments, replicate))
        ends["trajectories"].append(interval_ends({**points, "trajectory": run}, arguments, replicate))
    for drawn, found in ends.items():
        low, high = np.array([pair for pair in found if pair is not None]).transpose(1, 0, 2)
        covered = ((low <= TRUTH) & (high >= TRUTH)).mean(axis=0)
        shown = "  ".join(f"{one:.1%}" for one in covered)
        widths = "  ".join(f"{one:.4f}" for one in np.median(high - low, axis=0))
        print(f"{sizes} x {seeds}  share {share:.1f}  {drawn:<12} {shown}   {widths}  ({len(low)} fits)", flush=True)


def simulated(sizes, seeds, share, replicate, at_budgets):
    """Return the columns of one table, and the trajectory of each point."""
    generator = np.random.default_rng([replicate, sizes, seeds, int(10 * share), 31])
    if at_budgets:
        params = np.repeat(np.geomspace(3e8, 1.5e10, sizes), seeds * POINTS)
        data = np.tile(np.geomspace(1e19, 1e22, POINTS), sizes * seeds) / (6 * params)
    else:
        params = np.repeat(np.geomspace(1e7, 10**10.5, sizes), seeds * POINTS)
        data = np.tile(np.geomspace(1e9, 10**12.5, POINTS), sizes * seeds)
    run = np.repeat(np.arange(sizes * seeds), POINTS)
    own, common = generator.normal(size=run.size), generator.normal(size=sizes * seeds)[run]
    errors = NOISE * (np.sqrt(1 - share) * own + np.sqrt(share) * common)
    points = {"params": params, "data": data, "flops": 6 * params * data, "loss": loss(params, data) * np.exp(errors)}
    return points, run


def interval_ends(points, arguments, seed):
    """Return the ends of the intervals of a, ln N* and L*, None where there is no fit."""
    table = as_table(points)
    rows = np.arange(table.num_rows)
    options = Options(
        method=arguments.method,
        bootstraps=arguments.bootstraps,
        seed=seed,
        starts=8,
        run_noise=not arguments.resampled,
    )
    found = fit_group(table, rows, options)
    if found.estimate is None:
        return None
    best = found.optimal(flops=TARGET)
    intervals = [found.answer("a").interval, best.params.interval, best.loss.interval]
    if None in intervals:
        return None
    low, high = np.array([[one.low, one.high] for one in intervals]).T
    low[1], high[1] = np.log(low[1]), np.log(high[1])
    return low, high


if __name__ == "__main__":
    main()
