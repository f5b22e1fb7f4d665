"""Simulated runs with a known law of the best learning rate and batch size."""

from collections.abc import Sequence

import numpy as np

RATE = (1.79, -0.713, 0.307)
"""Factor, exponent of N and of D of 2503.04715's best learning rate."""
BATCH = (0.58, 0.571)
CELLS = tuple((n, d) for n in (6e7, 2.5e8, 1e9) for d in (2e9, 1.4e10, 1e11))
RATES = 2.0 ** np.arange(-12.5, -5.5, 0.5)
BATCHES = 2.0 ** np.arange(15, 23)


def best_rate(params: float, data: float) -> float:
    """The true best learning rate."""
    return float(RATE[0] * params ** RATE[1] * data ** RATE[2])


def best_batch(data: float) -> float:
    """The true best batch size."""
    return float(BATCH[0] * data ** BATCH[1])


def twin(
    seed: int,
    *,
    cells: Sequence[tuple[float, float]] = CELLS,
    rates: Sequence[float] = RATES,
    batches: Sequence[float] | None = BATCHES,
    noise: float = 0.0015,
    scatter: float = 0.05,
    failed: float = 0.0,
) -> dict[str, list[float]]:
    """Runs over a grid of rates and batch sizes in each cell, steep on the side of high rates.

    Args:
        seed: of noise and scatter.
        cells: pairs of N and D.
        rates, batches: tried in each cell; None: every run has the best batch size, and the table no such column.
        noise: standard deviation of ln L. scatter: of ln of the best values about their laws, the same for all runs of
            a cell.
        failed: share of runs that end above the valley by a tenth or so.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for params, data in cells:
        level = 1.7 + 400 * params**-0.34 + 800 * data**-0.33
        rate_at = np.log(best_rate(params, data)) + scatter * generator.normal()
        batch_at = np.log(best_batch(data)) + scatter * generator.normal()
        for rate in rates:
            for batch in [np.exp(batch_at)] if batches is None else batches:
                u, v = np.log(rate) - rate_at, np.log(batch) - batch_at
                excess = 0.048 * (np.exp(0.5 * u) - 0.5 * u - 1) + 0.003 * v**2 - 0.002 * u * v
                error = noise * generator.normal()
                error += generator.exponential(0.1) if generator.random() < failed else 0.0
                rows.append((params, data, rate, batch, level * np.exp(excess + error)))
    names = ("params", "data", "learning_rate", "batch", "loss")
    table = {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    if batches is None:
        del table["batch"]
    return table
