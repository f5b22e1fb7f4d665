"""Coverage of differences between families, and whether the probabilities of their orders are as frequent as stated.

    python benchmarks/frontier_contrasts.py [--replicates 100] [--only runs] [--bootstraps 400] [--share E]

Each table has three families whose laws are drawn anew: exponents about Chinchilla's with a standard deviation of .02
each, terms equal in the middle of the points up to 3 %, one asymptote. Designs: "points", 40 independent points a
family (`frontier_simulation.py`, .5 % noise); "runs", four sizes of one seed with seven amounts of data each, half of
the noise's variance common to a run (`frontier_run_noise.py`). Compared are gamma, and the loss at the largest compute
and at ten times that.

Bars: 93-97 % of the nominal 95 % intervals of differences hold; of the pairs, orders and best families that are given
a probability, as many are right as it says. The margin of a coverage from 300 differences, of which those of one table
are alike, is 3-4 %.
"""

import argparse
import itertools
import warnings

import numpy as np
from frontier_run_noise import values
from frontier_simulation import ALPHA, BETA, NOISE, A, B, E, layout

from raysweep.frontier import contrasts, fit_families

FAMILIES = ("first", "second", "third")
SPREAD, APART = 0.02, 0.03
DESIGNS = ("points", "runs")
SIZES, AMOUNTS = np.geomspace(1e7, 10**10.5, 4), np.geomspace(1e9, 10**12.5, 7)
BINS = (0.5, 0.75, 0.9, 0.98, 1.0 + 1e-9)


def design(name):
    """Return params, data, flops and the number of the run of each point of one family."""
    if name == "points":
        return (*layout(40), np.arange(40))
    params, data = np.repeat(SIZES, AMOUNTS.size), np.tile(AMOUNTS, SIZES.size)
    return params, data, 6 * params * data, np.repeat(np.arange(SIZES.size), AMOUNTS.size)


def law(generator, params, data):
    """Draw a family's law: E, A, alpha, B, beta."""
    alpha, beta = ALPHA + SPREAD * generator.normal(), BETA + SPREAD * generator.normal()
    middle_n, middle_d = np.exp(np.log(params).mean()), np.exp(np.log(data).mean())
    first, second = np.exp(APART * generator.normal(size=2))
    return E, A * middle_n ** (alpha - ALPHA) * first, alpha, B * middle_d ** (beta - BETA) * second, beta


def errors(name, run, generator):
    """Draw errors of ln loss: independent ones, or half of whose variance a run has in common."""
    own = NOISE * generator.normal(size=run.size)
    if name == "points":
        return own
    return np.sqrt(0.5) * (own + NOISE * generator.normal(size=int(run.max()) + 1)[run])


def simulated(name, seed):
    """Return one table, and each family's gamma, ln loss at the largest compute and at ten times that."""
    generator = np.random.default_rng([seed, DESIGNS.index(name), 61])
    params, data, flops, run = design(name)
    tables, truth = [], []
    for place, family in enumerate(FAMILIES):
        one = law(generator, params, data)
        loss = one[0] + one[1] * params ** -one[2] + one[3] * data ** -one[4]
        columns = {"params": params, "data": data, "flops": flops, "family": np.repeat(family, run.size)}
        columns["loss"] = loss * np.exp(errors(name, run, generator))
        if name == "runs":
            columns["trajectory"] = run + place * SIZES.size
        tables.append(columns)
        found = values(one, (flops.max(), 10 * flops.max()))
        truth.append([one[2] * one[4] / (one[2] + one[4]), found[2], found[4]])
    return {key: np.concatenate([one[key] for one in tables]) for key in tables[0]}, np.array(truth)


def asked(fits, top):
    """Yield the contrasts: of gamma, and of the loss at two computes."""
    yield contrasts(fits)
    for flops in (top, 10 * top):
        yield contrasts(fits, "loss", flops)


def main():
    """Print coverage, and stated and true shares of what is called probable, for each design and quantity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--bootstraps", type=int, default=400)
    parser.add_argument("--share", nargs="*", default=(), help="parameters that the families are fitted with in common")
    parser.add_argument("--only", choices=DESIGNS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in DESIGNS if arguments.only is None else (arguments.only,):
        cell(name, arguments)


def cell(name, arguments):
    """Run and print one design."""
    inside, widths, said = [[], [], []], [[], [], []], [[], [], []]
    for seed in range(arguments.replicates):
        points, truth = simulated(name, seed)
        fits = fit_families(points, bootstraps=arguments.bootstraps, seed=seed, share=tuple(arguments.share))
        for place, found in enumerate(asked(fits, points["flops"].max())):
            own = dict(zip(FAMILIES, truth[:, place], strict=True))
            for pair in found.pairs:
                gap = own[pair.first] - own[pair.second]
                told = gap if place == 0 else np.expm1(gap)
                low, high = pair.difference.interval
                inside[place].append(low <= told <= high)
                widths[place].append(high - low)
                said[place].append((pair.probability, gap > 0))
            first = (min if found.lowest_first else max)(own, key=own.get)
            likely = max(found.best, key=found.best.get)
            said[place].append((found.best[likely], likely == first))
    for place, quantity in enumerate(("gamma", "loss at C", "loss at 10 C")):
        shown = f"{np.mean(inside[place]):6.1%} of {len(inside[place])}, width {np.median(widths[place]):.4f}"
        print(f"{name:<7} {quantity:<13} covers {shown}; {calibration(said[place])}", flush=True)


def calibration(said):
    """Compare stated probabilities, of whatever is the more probable, with how often it is true."""
    stated, true = np.array(said, dtype=float).T
    true = np.where(stated < 0.5, 1.0 - true, true)
    stated = np.maximum(stated, 1.0 - stated)
    parts = []
    for low, high in itertools.pairwise(BINS):
        some = (stated >= low) & (stated < high)
        if some.any():
            parts.append(f"{stated[some].mean():.1%} {true[some].mean():.1%} ({some.sum()})")
    return "stated, true: " + ", ".join(parts)


if __name__ == "__main__":
    main()
