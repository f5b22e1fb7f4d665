"""Lack of fit: how often `law_bends` is found where the additive law is wrong, and where it is right.

    python benchmarks/frontier_misspecification.py [--replicates 100] [--only runs]

Points: 40 on isoFLOP curves and 64 on an 8 x 8 grid of N and D, with the noise of frontier_simulation.py (.5 %); and
runs of force fields, 4 sizes x 1 seed x 7 budgets a factor 2 apart, whose deviations are remembered along them
(correlations .78, .6, .47 at factors 2, 4, 8; standard deviation 3 % in the middle, larger for small sizes).
Bars: wrong laws 90 % each; the true law 5 % at most, with three times the replicates, under every kind of noise.
"""

import argparse
import warnings

import numpy as np
from frontier_simulation import ALPHA, BETA, KINDS, A, B, E, layout, loss, noise

from raysweep.frontier import fit
from raysweep.frontier.laws.laws import effective_data
from raysweep.frontier.points.findings import Kind


def terms(params, data):
    """Return the law's terms in N and in D."""
    return A * params**-ALPHA, B * data**-BETA


def coupled(share):
    """Return a law with one more exponent between its terms."""

    def law(params, data):
        first, second = terms(params, data)
        return E + (first ** (1 / share) + second ** (1 / share)) ** share

    return law


def halved(which):
    """Return a law whose exponent of N or D halves in the middle of the points."""

    def law(params, data):
        first, second = terms(params, data)
        values, exponent = (params, ALPHA) if which == "N" else (data, BETA)
        middle = np.exp(np.mean(np.log(values)))
        slower = np.where(values > middle, (values / middle) ** (exponent / 2), 1.0)
        return E + (first * slower + second if which == "N" else first + second * slower)

    return law


def mistuned(side):
    """Return a law whose largest (side 1) or smallest (-1) third of sizes end up to 15 % too high."""

    def law(params, data):
        place = side * np.log(params)
        beyond = np.maximum(place - np.quantile(place, 0.65), 0.0)
        return loss(params, data) * (1 + 0.15 * beyond / beyond.max())

    return law


def repeated(params, data):
    """Return the loss where data beyond the middle amount are repeats (R* = 4)."""
    unique = np.minimum(data, np.quantile(data, 0.5))
    return loss(params, effective_data(data, unique, 4.0))


def warmed_up(params, data):
    """Return the loss where 70 % of the smallest amount of data teach nothing."""
    return loss(params, data - 0.7 * data.min())


WRONG = {
    "coupling 1/2": coupled(0.5),
    "coupling 2": coupled(2.0),
    "alpha halved": halved("N"),
    "beta halved": halved("D"),
    "large sizes mis-tuned": mistuned(1),
    "small sizes mis-tuned": mistuned(-1),
    "repeats": repeated,
    "long warm-up": warmed_up,
}


def grid():
    """Return params, data and flops of an 8 x 8 grid."""
    params, data = (side.ravel() for side in np.meshgrid(np.geomspace(1e7, 1e10, 8), np.geomspace(1e9, 1e12, 8)))
    return params, data, 6 * params * data


def bends(points):
    """Return whether the finding is there."""
    return fit(points, bootstraps=0, window="all").status.found(Kind.LAW_BENDS)


def share(found):
    """Return a share as text."""
    return f"{np.mean(found):6.1%}"


def points_of(law, where, kind, generator):
    """Return a table of simulated points."""
    params, data, flops = where
    losses = law(params, data) * np.exp(noise(kind, flops, generator))
    return {"params": params, "data": data, "flops": flops, "loss": losses}


def runs_of(start, generator, sizes=4, budgets=7):
    """Return a table of runs that share a start of higher losses (`start`: its share at the first budget)."""
    params = np.repeat(np.geomspace(1e3, 5e4, sizes), budgets)
    data = np.tile(4.8e4 * 2.0 ** np.arange(budgets), sizes)
    gap = np.abs(np.arange(budgets)[:, None] - np.arange(budgets))
    remembered = generator.normal(size=(sizes, budgets)) @ np.linalg.cholesky(0.78**gap).T
    spread = 0.03 * (params / 7e3) ** -0.25
    law = (0.02 + 4 * params**-0.4 + 60 * data**-0.5) / (1 + start * 4.8e4 / data)
    losses = law * np.exp(spread * remembered.ravel())
    run = np.repeat(np.arange(sizes), budgets).astype(str)
    return {"params": params, "data": data, "flops": 50 * params * data, "loss": losses, "trajectory": run}


def main():
    """Print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--only", choices=("isoflop", "grid", "runs"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    count = arguments.replicates
    for name, where in {"isoflop": layout(40), "grid": grid()}.items():
        if arguments.only not in (None, name):
            continue
        for kind, law in WRONG.items():
            found = [bends(points_of(law, where, "gauss", np.random.default_rng([k, 17]))) for k in range(count)]
            print(f"{name:<8} {kind:<22} {share(found)}", flush=True)
        for kind in KINDS:
            found = [bends(points_of(loss, where, kind, np.random.default_rng([k, 19]))) for k in range(3 * count)]
            print(f"{name:<8} true law, {kind:<12} {share(found)}", flush=True)
    if arguments.only in (None, "runs"):
        for start in (0.0, 0.5, 1.0, 1.5):
            seeds = range(count if start else 3 * count)
            found = [bends(runs_of(start, np.random.default_rng([k, 23]))) for k in seeds]
            label = f"transition {start:g}" if start else "true law"
            print(f"runs     {label:<22} {share(found)}", flush=True)


if __name__ == "__main__":
    main()
