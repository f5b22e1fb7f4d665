"""Known surfaces to fit: grids of points whose law is given."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

CHINCHILLA = {"E": 1.8172, "A": 482.0, "alpha": 0.3478, "B": 2085.4, "beta": 0.3658}


def surface(law, params, data):
    return law["E"] + law["A"] * params ** -law["alpha"] + law["B"] * data ** -law["beta"]


def optimum(law, flops):
    """Return N*, D*, L* of a law for C = 6 N D."""
    a, b = law["alpha"], law["beta"]
    params = (a * law["A"] / (b * law["B"])) ** (1 / (a + b)) * (flops / 6) ** (b / (a + b))
    return params, flops / 6 / params, surface(law, params, flops / 6 / params)


def valleys(law, *, budgets=5, sizes=8, window=16.0, drift=0.0, lowest=1e18, highest=1e22, noise=0.0, seed=0):
    """Return isoFLOP points: `sizes` sizes within `window` of the optimum (times e^(drift k)) at each budget k."""
    rows = []
    for k, flops in enumerate(np.geomspace(lowest, highest, budgets)):
        best = optimum(law, flops)[0] * np.exp(drift * (k - (budgets - 1) / 2))
        rows += [(params, flops / 6 / params, flops) for params in best * np.geomspace(1 / window, window, sizes)]
    params, data, flops = np.array(rows).T
    noisy = np.exp(noise * np.random.default_rng(seed).normal(size=params.size))
    return {"params": params, "data": data, "flops": flops, "loss": surface(law, params, data) * noisy}


def shared(name):
    """Return the path of shared data, skipping the test where it is absent."""
    given = os.environ.get("RAYSWEEP_SHARED_DATA")
    root = Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "data"
    if not (root / name).exists():
        pytest.skip(f"no {name} in {root}")
    return root / name


def chinchilla():
    """Return the 240 points of the published fit."""
    with shared("chinchilla/points.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["in_published_fit"] == "True"]
    names = {"params": "n_params", "data": "tokens", "flops": "flops", "loss": "loss"}
    return {ours: np.array([float(row[theirs]) for row in rows]) for ours, theirs in names.items()}
