"""A sweep's storage as `raysweep run` leaves it, from a known law: four families, four sizes, eight budgets."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raysweep.core.hashing import content_id
from raysweep.core.points import Point, to_table

TRIVIAL = 2.0
LAWS = {
    # family: (architecture, E, A, alpha, B, beta, FLOPs per parameter and atom)
    "mpnn": ("mpnn", 0.15, 9.0, 0.28, 120.0, 0.42, 12.0),
    "egnn": ("egnn", 0.12, 12.0, 0.36, 160.0, 0.48, 60.0),
    "tensor-l1": ("tensor", 0.10, 20.0, 0.48, 300.0, 0.56, 140.0),
    "tensor-l2": ("tensor", 0.08, 40.0, 0.60, 500.0, 0.62, 260.0),
}
SIZES = {
    "mpnn": (8_000, 20_000, 50_000, 120_000),
    "egnn": (9_000, 21_000, 56_000, 130_000),
    "tensor-l1": (4_000, 9_000, 17_000, 36_000),
    "tensor-l2": (3_000, 8_000, 19_000, 34_000),
}
BUDGETS = tuple(float(round(d)) for d in np.geomspace(6_000, 400_000, 8))


def loss(family: str, params: float, data: float) -> float:
    """Return the loss that the law of a family gives."""
    _, e, a, alpha, b, beta, _ = LAWS[family]
    return float(e + a * params**-alpha + b * data**-beta)


def exponents(family: str) -> tuple[float, float, float]:
    """Return a, b and gamma of a family where C is proportional to N D."""
    _, _, _, alpha, _, beta, _ = LAWS[family]
    return beta / (alpha + beta), alpha / (alpha + beta), alpha * beta / (alpha + beta)


def points(families: tuple[str, ...] = tuple(LAWS), noise: float = 0.01, sizes: int = 4, budgets: int = 8) -> pa.Table:
    """Return the sweep-level table: POINT_SCHEMA, family and stage."""
    rng = np.random.default_rng(7)
    rows, labels = [], []
    for family in families:
        architecture, *_, kappa = LAWS[family]
        for width, n in enumerate(SIZES[family][:sizes]):
            for step, d in enumerate(BUDGETS[:budgets]):
                value = loss(family, n, d) * float(np.exp(noise * rng.standard_normal()))
                rows.append(_point(family, architecture, width, n, d, step, kappa, min(value, 0.98 * TRIVIAL)))
                labels.append(family)
    table = to_table(rows)
    return table.append_column("family", pa.array(labels, pa.string())).append_column(
        "stage", pa.array(["grid"] * len(labels), pa.string())
    )


def _point(
    family: str, architecture: str, width: int, n: int, d: float, step: int, kappa: float, value: float
) -> Point:
    return Point(
        trial_id=f"{list(LAWS).index(family)}{width}".rjust(16, "0"),
        architecture=architecture,
        size=json.dumps({"width": 8 * 2**width}),
        seed=0,
        learning_rate=0.01,
        step=step * 100,
        budget=d,
        budget_kind="data",
        params=n,
        data=d,
        flops=kappa * n * d,
        seconds=kappa * n * d / 3e9,
        device="cpu",
        loss=value,
        trivial_loss=TRIVIAL,
        energy_mae=value / 20,
        force_l2=value / 2,
    )


def searches() -> dict[str, object]:
    """Return the content of learning_rates.json."""
    cells = []
    for i, family in enumerate(LAWS):
        best = 0.004 * 1.6**i
        rates = [float(f"{rate:.4g}") for rate in np.geomspace(1e-3, 0.1, 7)]
        losses = [[(1 + 0.25 * np.log(rate / best) ** 2) * scale for scale in (1.8, 1.4, 1.1)] for rate in rates]
        order = sorted(range(7), key=lambda k: losses[k][0])
        trials = [
            {
                "trial_id": f"f{i}{k}".rjust(16, "0"),
                "learning_rate": rate,
                "state": "diverged" if rate == 0.1 and i == 0 else "done" if order.index(k) < 3 else "stopped",
                "data": [1.0, 2.0, 3.0][: 3 if order.index(k) < 3 else 1],
                "losses": losses[k][: 3 if order.index(k) < 3 else 0 if rate == 0.1 and i == 0 else 1],
            }
            for k, rate in enumerate(rates)
        ]
        cells.append(
            {
                "key": f"{i:016d}",
                "family": family,
                "size": {"width": 16, "depth": 3},
                "seed": 0,
                "rate": best,
                "method": ("lowest", "centre", "parabola")[min(i, 2)],
                "edge": None if i else "low",
                "widened": 0,
                "trials": trials,
            }
        )
    return {"sha256": content_id(cells), "cells": cells}


def storage(folder: Path, table: pa.Table | None = None) -> Path:
    """Write a sweep's storage and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(points() if table is None else table, folder / "points.parquet")
    (folder / "learning_rates.json").write_text(json.dumps(searches()))
    facts = {
        "name": "synthetic",
        "fingerprint": "ab" * 32,
        "space": {"name": "synthetic", "families": {family: {"architecture": LAWS[family][0]} for family in LAWS}},
        "versions": {"raysweep": "0.1.0", "python": "3.11.7"},
    }
    (folder / "sweep.json").write_text(json.dumps(facts))
    return folder


def write_state(folder: Path, trial_id: str, **content: object) -> None:
    """Write a trial's state file."""
    place = folder / "trials" / trial_id
    place.mkdir(parents=True)
    (place / "state.json").write_text(json.dumps({**content, "sha256": content_id(content)}))
