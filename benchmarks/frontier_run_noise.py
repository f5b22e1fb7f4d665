"""Coverage of nominal 95 % intervals where the families of one table share the form of their runs' noise.

    python benchmarks/frontier_run_noise.py [--replicates 100] [--only 0.5] [--families 4] [--sizes 4] [--noise 0.005]

Four families, four sizes each, one seed, seven amounts of data on a run. `share` is the share of the noise's variance
that is common to a run's points (0, .5, .9); "remembered" is the noise that raysweep's own runs have: an autoregression
in ln D of e-folding 2.2, 9 % of the loss at the smallest of sizes from 1e3 to 3e4 parameters and less as N^-.35 (see
"Noise of runs" in docs/frontier.md). Quantities: a, and ln N*, ln L* at the largest compute among the points and at ten
times that. "resampled" draws whole trajectories of one family, as the fit does for other approaches.

Bar: coverage 93-97 % of a, N*, L* at each share; median width at most half of the resampled one. The margin of a
coverage from 400 intervals, which the families of one table make somewhat alike, is 2-3 %.
"""

import argparse
import warnings

import numpy as np
from frontier_simulation import ALPHA, BETA, A, B, E

from raysweep.frontier import fit_families
from raysweep.frontier.approaches.options import Options
from raysweep.frontier.fit import fit_group
from raysweep.frontier.points.readers import as_table

CASES = ("0", "0.5", "0.9", "remembered")
POINTS = 7
CHINCHILLA = (E, A, ALPHA, B, BETA)
FORCE_FIELD = (0.05, 1.6, 0.35, 60.0, 0.45)
MEMORY, WHITE = 2.2, 0.05


def main():
    """Print coverage and median width for each kind of noise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--resampled", type=int, default=40, help="replicates that are also fitted by resampling")
    parser.add_argument("--bootstraps", type=int, default=400)
    parser.add_argument("--families", type=int, default=4)
    parser.add_argument("--sizes", type=int, default=4)
    parser.add_argument("--noise", type=float, default=0.005, help="standard deviation where a share is common")
    parser.add_argument("--only", choices=CASES)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("coverage of a, N*, L* at the largest compute, N*, L* at ten times that; median widths (of logarithms)")
    for case in CASES if arguments.only is None else (arguments.only,):
        cell(case, arguments)


def cell(case, arguments):
    """Run and print one kind of noise."""
    law = FORCE_FIELD if case == "remembered" else CHINCHILLA
    ends = {"together": [], "resampled": []}
    for replicate in range(arguments.replicates):
        points = simulated(case, law, arguments, replicate)
        top = points["flops"].max()
        truth = values(law, (top, 10 * top))
        found = fit_families(points, bootstraps=arguments.bootstraps, seed=replicate)
        ends["together"] += [interval_ends(one, (top, 10 * top)) for one in found.values()]
        if replicate < arguments.resampled:
            table = as_table(points)
            rows = np.flatnonzero(points["architecture"] == points["architecture"][0])
            options = Options(bootstraps=arguments.bootstraps, seed=replicate, run_noise=False)
            ends["resampled"].append(interval_ends(fit_group(table, rows, options), (top, 10 * top)))
    widths = {}
    for name, pairs in ends.items():
        if pairs:
            low, high = np.array(pairs).transpose(1, 0, 2)
            covered = ((low <= truth) & (high >= truth)).mean(axis=0)
            widths[name] = np.median(high - low, axis=0)
            shown = "  ".join(f"{one:.1%}" for one in covered), "  ".join(f"{one:.4f}" for one in widths[name])
            print(f"{case:<10} {name:<10} {shown[0]}   {shown[1]}   ({len(low)} intervals)", flush=True)
    if len(widths) == 2:
        ratio = "  ".join(f"{one:.2f}" for one in widths["together"] / widths["resampled"])
        print(f"{case:<10} width over resampled  {ratio}", flush=True)


def simulated(case, law, arguments, replicate):
    """Return the columns of one table of several families."""
    runs = arguments.families * arguments.sizes
    small, large, first, last = (1e3, 3e4, 5e4, 3.2e6) if case == "remembered" else (1e7, 10**10.5, 1e9, 10**12.5)
    params = np.tile(np.repeat(np.geomspace(small, large, arguments.sizes), POINTS), arguments.families)
    data = np.tile(np.geomspace(first, last, POINTS), runs)
    run = np.repeat(np.arange(runs), POINTS)
    generator = np.random.default_rng([replicate, CASES.index(case), arguments.families, arguments.sizes, 47])
    own = generator.normal(size=run.size)
    if case == "remembered":
        errors = 0.09 * (params / small) ** -0.35 * remembered(own, data, runs, generator)
    else:
        share = float(case)
        errors = arguments.noise * (np.sqrt(1 - share) * own + np.sqrt(share) * generator.normal(size=runs)[run])
    loss = law[0] + law[1] * params ** -law[2] + law[3] * data ** -law[4]
    return {
        "params": params,
        "data": data,
        "flops": 6 * params * data,
        "loss": loss * np.exp(errors),
        "trajectory": run,
        "architecture": np.array([f"family {one // arguments.sizes}" for one in run]),
    }


def remembered(own, data, runs, generator):
    """Return errors of unit variance that a run remembers over MEMORY in ln D, but for a share WHITE."""
    state = np.empty((runs, POINTS))
    state[:, 0] = generator.normal(size=runs)
    for i in range(1, POINTS):
        kept = np.exp(-np.log(data[i] / data[i - 1]) / MEMORY)
        state[:, i] = kept * state[:, i - 1] + np.sqrt(1 - kept**2) * generator.normal(size=runs)
    return np.sqrt(1 - WHITE) * state.ravel() + np.sqrt(WHITE) * own


def values(law, computes):
    """Return a, then ln N* and ln L* at each compute, of a law with C = 6 N D."""
    asymptote, a, alpha, b, beta = law
    found = [beta / (alpha + beta)]
    for flops in computes:
        params = (alpha * a / (beta * b)) ** (1 / (alpha + beta)) * (flops / 6) ** (beta / (alpha + beta))
        found += [np.log(params), np.log(asymptote + a * params**-alpha + b * (flops / 6 / params) ** -beta)]
    return np.array(found)


def interval_ends(found, computes):
    """Return the ends of the intervals of the same quantities, shape (2, 5)."""
    low, high = [np.array(one) for one in zip(*intervals(found, computes), strict=True)]
    with np.errstate(divide="ignore"):
        low[1:], high[1:] = np.log(low[1:]), np.log(high[1:])
    return low, high


def intervals(found, computes):
    """Yield the intervals of a, and of N* and L* at each compute."""
    yield found.interval("a")
    for flops in computes:
        best = found.optimal(flops=flops)
        yield from (best.params.interval, best.loss.interval)


if __name__ == "__main__":
    main()
