"""Coverage of nominal 95 % intervals for a, ln N*(1e24) and L*(1e24), and their width against least squares.

    python benchmarks/frontier_coverage.py [--replicates 1000] [--bootstraps 200] [--only gauss:40]

Bar: 93-97 % for each of four kinds of noise at 40 and 117 points; on Gaussian noise a median width of at most 1.15
times that of the interval that least squares would have with its standard error known. The margin of a coverage
estimated from 1,000 replicates is 1.4 % (two standard deviations).
"""

import argparse

import numpy as np
from frontier_simulation import KINDS, LAYOUTS, TARGET, TRUTH, table
from scipy import stats

from raysweep.frontier.approaches.options import Options
from raysweep.frontier.fit import fit_group
from raysweep.frontier.points.readers import as_table


def replicate(kind, count, seed, bootstraps):
    """Return estimates, interval ends, and least squares' estimates of the three quantities."""
    points = as_table(table(kind, count, np.random.default_rng([seed, count, KINDS.index(kind)])))
    rows = np.arange(count)
    found = fit_group(points, rows, Options(bootstraps=bootstraps, seed=seed, starts=8))
    best = found.optimal(flops=TARGET)
    intervals = [found.interval("a"), best.params.interval, best.loss.interval]
    low = np.array([interval.low for interval in intervals])
    high = np.array([interval.high for interval in intervals])
    low[1], high[1] = np.log(low[1]), np.log(high[1])
    plain = fit_group(points, rows, Options(bootstraps=0, seed=seed, starts=4, loss_delta=0.1))
    least = plain.optimal(flops=TARGET)
    squares = np.array([plain.params_exponent, np.log(least.params.value), least.loss.value])
    return low, high, squares


def main():
    """Run all cells and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--bootstraps", type=int, default=200)
    parser.add_argument("--only", help="one cell, such as gauss:40")
    arguments = parser.parse_args()
    print(
        f"{arguments.replicates} replicates, {arguments.bootstraps} bootstraps; coverage of a, ln N*, L*; width on LS"
    )
    for count in LAYOUTS:
        for kind in KINDS:
            if arguments.only in (None, f"{kind}:{count}"):
                cell(kind, count, arguments)


def cell(kind, count, arguments):
    """Run and print one kind of noise at one number of points."""
    found = [replicate(kind, count, seed, arguments.bootstraps) for seed in range(arguments.replicates)]
    low, high, squares = (np.array(part) for part in zip(*found, strict=True))
    covered = ((low <= TRUTH) & (high >= TRUTH)).mean(axis=0)
    width = np.median(high - low, axis=0) / (2 * stats.t.ppf(0.975, count - 5) * squares.std(axis=0))
    shown = "  ".join(f"{share:.1%}" for share in covered)
    within = "within" if np.all((covered >= 0.93) & (covered <= 0.97)) else "OUTSIDE"
    print(
        f"{kind:<9} n = {count:<4} {shown}  {within} 93-97 %   width / LS {'  '.join(f'{w:.2f}' for w in width)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
