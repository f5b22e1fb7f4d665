"""Held-out largest runs of real data: relative error in both modes, and coverage of 95 % prediction intervals.

    python benchmarks/frontier_held_out.py DATA

`DATA` holds chinchilla/points.csv and forcefields/points.csv. A split fits the points up to a quantile of compute and
predicts the rest. Bars: geometric mean of the splits' mean relative errors .8 % in the default mode, 1.3 % with
purpose="prediction"; 95 % prediction intervals hold 85 % of the points.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier import held_out

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


def main():
    """Print a line for each split, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    chosen = sets(parser.parse_args().data)
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
