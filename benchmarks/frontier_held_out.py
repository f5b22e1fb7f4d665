"""Held-out largest runs of real data: relative error in both modes, and coverage of 95 % prediction intervals.

    python benchmarks/frontier_held_out.py DATA [--answers] [--only chinchilla]

`DATA` holds chinchilla/points.csv and forcefields/points.csv. A split fits the points up to a quantile of compute and
predicts the rest. Bars: geometric mean of the splits' mean relative errors .8 % in the default mode, 1.3 % with
purpose="prediction"; 95 % prediction intervals hold 85 % of the points. `--answers`: nominal 95 % intervals of
`loss` at the held-out runs, and of `optimal` at the held-out budgets, where the truth is the minimum of the budget's
own valley; bars: coverage 85-100 % each, median half-width at most 2.5 times the median error.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier import held_out, isoflop_valleys

LEAST_SIZES = 5
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
BARS = {"exponents": 0.008, "prediction": 0.013}


def columns(rows, names):
    """Return named columns of CSV rows as arrays; rows that lack one are left out."""
    kept = [row for row in rows if all(row[name] for name in names.values())]
    return {ours: np.array([float(row[theirs]) for row in kept]) for ours, theirs in names.items()}


def sets(root):
    """Return the real sets by name: Chinchilla's points, and each architecture and metric of the force fields."""
    with (root / "chinchilla" / "points.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["in_published_fit"] == "True"]
    found = {"chinchilla": columns(rows, {"params": "n_params", "data": "tokens", "flops": "flops", "loss": "loss"})}
    with (root / "forcefields" / "points.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    names = {"params": "N", "data": "D_atoms", "flops": "C_flops"}
    for architecture in dict.fromkeys(row["arch"] for row in rows):
        for metric in ("f_loss_l2", "force_mse_norm"):
            own = [row for row in rows if row["arch"] == architecture]
            found[f"{architecture} {metric}"] = columns(own, {**names, "loss": metric})
    return found


def at_budgets(table, found, level=0.95):
    """Compare `optimal` with the valleys of the held-out budgets, fitted to all points of the set.

    A budget counts where all its points are held out, with five sizes or more and a minimum among them. Yields, for N*
    and for L*, the error in ln, the half-width in ln, and whether the interval holds the valley's.
    """
    try:
        valleys = isoflop_valleys(table, bootstraps=0)
    except FrontierError:
        return
    for valley in valleys:
        sizes = np.unique(np.round(np.log(valley.params), 6)).size
        if valley.problem or sizes < LEAST_SIZES or not set(valley.rows) <= set(found.row):
            continue
        best = found.fit.optimal(valley.flops, level=level)
        yield {
            "optimal.params": score(best.params, valley.optimum.value),
            "optimal.loss": score(best.loss, valley.lowest),
        }


def score(answer, true):
    """Return the error in ln, the half-width in ln, and whether the interval holds the truth."""
    low, high = answer.interval.low, answer.interval.high
    return abs(np.log(true / answer.value)), 0.5 * np.log(high / low), low <= true <= high


def answers(chosen):
    """Print coverage and width of the answers beyond the points: a line for each split, and all together."""
    pooled = {"loss": [], "optimal.loss": [], "optimal.params": []}
    for name, table in chosen.items():
        for share in SHARES:
            try:
                found = held_out(table, share=share, bootstraps=300)
            except FrontierError:
                continue
            seen = {"loss": [], "optimal.loss": [], "optimal.params": []}
            error = np.abs(np.log(found.measured / found.predicted))
            inside = (found.measured >= found.low) & (found.measured <= found.high)
            seen["loss"] = list(zip(error, 0.5 * np.log(found.high / found.low), inside, strict=True))
            for one in at_budgets(table, found):
                for what, scored in one.items():
                    seen[what].append(scored)
            shown = "; ".join(f"{what} {told(scored)}" for what, scored in seen.items() if scored)
            print(f"{name:<24} {share:.0%} {found.fit.form.law:<13} {shown}", flush=True)
            for what, scored in seen.items():
                pooled[what].append(scored)
    for what, splits in pooled.items():
        some = [scored for scored in splits if scored]
        by_split = np.mean([np.mean([inside for _, _, inside in scored]) for scored in some])
        everything = [one for scored in some for one in scored]
        print(f"{what}: {told(everything)}; {by_split:.0%} by split (bars: 85-100 %, 2.5)")


def told(scored):
    """Return coverage, and the median half-width over the median error, as text."""
    error, half_width, inside = (np.array(column) for column in zip(*scored, strict=True))
    ratio = np.median(half_width) / np.median(error)
    return f"covers {np.mean(inside):.0%} of {inside.size}, half-width {np.median(half_width):.2%}, {ratio:.1f} x error"


def main():
    """Print a line for each split, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--answers", action="store_true", help="coverage and width of loss and optimal instead")
    parser.add_argument("--only", default="", help="sets whose name begins so")
    arguments = parser.parse_args()
    chosen = {name: one for name, one in sets(arguments.data).items() if name.startswith(arguments.only)}
    if arguments.answers:
        answers(chosen)
        return
    for purpose, bar in BARS.items():
        errors, covered, points = [], [], []
        for name, table in chosen.items():
            for share in SHARES:
                try:
                    found = held_out(table, share=share, purpose=purpose, bootstraps=300)
                except FrontierError as error:
                    print(f"{purpose:<10} {name:<24} {share:.0%}  refused: {str(error)[:80]}")
                    continue
                errors.append(found.error)
                covered.append(found.coverage)
                points.append(len(found.row))
                far = table["flops"].max() / found.largest_seen
                print(
                    f"{purpose:<10} {name:<24} {share:.0%}  {points[-1]:>3} runs, error {errors[-1]:.2%}, "
                    f"inside {covered[-1]:.0%}, as far as {far:.1f} times the largest C seen"
                )
        mean = np.exp(np.mean(np.log(errors)))
        pooled = np.average(covered, weights=points)
        print(
            f"{purpose}: geometric mean error {mean:.2%} (bar {bar:.1%}) over {len(errors)} splits; intervals hold "
            f"{np.mean(covered):.0%} by split, {pooled:.0%} by point (bar 85 %)\n"
        )


if __name__ == "__main__":
    main()
