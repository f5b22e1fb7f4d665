"""Answers beyond the points where the law is wrong: coverage of L*, N* at 3 and 10 times the largest compute.

    python benchmarks/frontier_beyond.py [--replicates 20] [--only isoflop] [--kind "true law"]

Points and wrong laws are those of frontier_misspecification.py, continued beyond the points as they are; the truth is
the lowest loss at the compute and its N. A nominal 95 % interval of a law that is wrong cannot hold in all cases; where
the last third of the sizes is mis-tuned the points say nothing of how well larger ones will be.
Bars: L* 85 % of each kind, half-width at most 2.5 times the median error; the true law 93-97 %.
"""

import argparse
import warnings

import numpy as np
from frontier_misspecification import WRONG, grid, points_of, repeated, terms, warmed_up
from frontier_simulation import ALPHA, BETA, E, layout, loss
from scipy.optimize import minimize_scalar

from raysweep.frontier import fit
from raysweep.frontier.laws.laws import effective_data

TIMES = (3, 10)
TRUE = "true law"


def continued(kind, params, data):
    """Return the law of a kind as a function of N and D, with what it takes from the points frozen."""
    if kind == TRUE:
        return loss
    law = WRONG[kind]
    if kind.endswith("halved"):
        of_n = kind.startswith("alpha")
        middle = np.exp(np.mean(np.log(params if of_n else data)))

        def halved(n, d):
            first, second = terms(n, d)
            slower = np.maximum((n if of_n else d) / middle, 1.0) ** ((ALPHA if of_n else BETA) / 2)
            return E + (first * slower + second if of_n else first + second * slower)

        return halved
    if kind.endswith("mis-tuned"):
        side = 1 if kind.startswith("large") else -1
        place = side * np.log(params)
        end, start = place.max(), np.quantile(place, 0.65)
        return lambda n, d: loss(n, d) * (1 + 0.15 * np.maximum(side * np.log(n) - start, 0.0) / (end - start))
    if law is repeated:
        unique = np.quantile(data, 0.5)
        return lambda n, d: loss(n, effective_data(d, np.minimum(d, unique), 4.0))
    if law is warmed_up:
        return lambda n, d: loss(n, d - 0.7 * data.min())
    return law


def optimum(law, flops):
    """Return ln N* and ln L* of a law at C = 6 N D."""
    middle = 0.5 * np.log(flops / 6)
    found = minimize_scalar(
        lambda place: float(law(np.exp(place), flops / 6 / np.exp(place))),
        bounds=(middle - 9, middle + 5),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return found.x, np.log(found.fun)


def scored(answer, true):
    """Return the error in ln, the half-width in ln, and whether the interval holds the truth."""
    low, high = np.log(list(answer.interval))
    return abs(np.log(answer.value) - true), 0.5 * (high - low), low <= true <= high


def cell(name, kind, where, arguments):
    """Run and print one kind of law on one layout."""
    law, seen = continued(kind, *where[:2]), {"L*": [], "N*": []}
    for seed in range(arguments.replicates):
        points = points_of(law, where, "gauss", np.random.default_rng([seed, 17]))
        found = fit(points, bootstraps=arguments.bootstraps, seed=seed)
        for factor in TIMES:
            flops = factor * where[2].max()
            best, (params, lowest) = found.optimal(flops), optimum(law, flops)
            seen["N*"].append(scored(best.params, params))
            seen["L*"].append(scored(best.loss, lowest))
    shown = []
    for what, scores in seen.items():
        error, half_width, inside = np.array(scores, dtype=float).T
        ratio = np.median(half_width) / np.median(error)
        shown.append(
            f"{what} covers {inside.mean():4.0%}, half-width {np.median(half_width):7.2%}, {ratio:.1f} x error"
        )
    print(f"{name:<8} {kind:<22} {'   '.join(shown)}", flush=True)


def main():
    """Print a line for each layout and kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=20)
    parser.add_argument("--bootstraps", type=int, default=200)
    parser.add_argument("--only", choices=("isoflop", "grid"))
    parser.add_argument("--kind", choices=(TRUE, *WRONG))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, where in {"isoflop": layout(40), "grid": grid()}.items():
        if arguments.only in (None, name):
            for kind in (TRUE, *WRONG) if arguments.kind is None else (arguments.kind,):
                cell(name, kind, where, arguments)


if __name__ == "__main__":
    main()
