"""Chinchilla's 240 points: the certified optimum, the starts, the published intervals, and the time of one core.

    OMP_NUM_THREADS=1 python benchmarks/frontier_chinchilla.py points.csv

`points.csv` has n_params, tokens, flops, loss and in_published_fit: the points of 2203.15556 as 2404.10102 traced them.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from raysweep.frontier import fit

PUBLISHED = {
    "E": (1.771, 1.869),
    "A": (287, 728),
    "B": (1046, 5709),
    "alpha": (0.317, 0.372),
    "beta": (0.332, 0.414),
    "a": (0.481, 0.556),
}


def read(path):
    """Return the points of the published fit as columns."""
    with Path(path).open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["in_published_fit"] == "True"]
    names = {"params": "n_params", "data": "tokens", "flops": "flops", "loss": "loss"}
    return {ours: np.array([float(row[theirs]) for row in rows]) for ours, theirs in names.items()}


def main():
    """Fit, time and print each figure beside its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("points")
    points = read(parser.parse_args().points)
    fit(points, loss_delta=1e-3, bootstraps=0, law="additive")  # imports and first calls are not what is timed
    began = time.process_time()
    found = fit(points, loss_delta=1e-3, bootstraps=0, law="additive")
    alone = time.process_time() - began
    began = time.process_time()
    whole = fit(points, loss_delta=1e-3, bootstraps=1000, law="additive")
    together = time.process_time() - began
    print(f"objective            {found.objective:.12e}   (bar 1.0182741e-03)")
    print(f"a                    {found.params_exponent:.6f}           (bar .51390 +- 1e-4)")
    print(f"gradient norm        {found.gradient_norm:.1e}")
    print(f"starts at optimum    {found.starts_agreeing}/{found.starts}              (bar 95 %)")
    print(f"fit                  {alone:.3f} s CPU        (bar 0.3)")
    print(f"fit + 1,000 boots    {together:.3f} s CPU        (bar 2)")
    for name, (low, high) in PUBLISHED.items():
        got = whole.interval(name, method="percentile")
        off = max(abs(got.low / low - 1), abs(got.high / high - 1))
        print(f"{name:<6} {got.low:>9.4g} to {got.high:<9.4g} published {low:g} to {high:g}: off by {off:.1%}")


if __name__ == "__main__":
    main()
