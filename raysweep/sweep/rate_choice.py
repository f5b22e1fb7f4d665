"""Which learning rate to take from the losses of its trials: a parabola's minimum, not the lucky one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WINDOW = 1.3
"""Trials within this factor of the lowest loss count as the best region."""


@dataclass(frozen=True)
class Choice:
    """A learning rate and how it was found."""

    rate: float
    method: str
    """"parabola": the vertex of a quadratic in log rate; "lowest": the trial with the lowest loss."""
    edge: str | None
    """"low" or "high" where the best trial is the first or last of all that were tried: the optimum may lie beyond."""


def choose(tried: Sequence[float], complete: Sequence[tuple[float, float]]) -> Choice | None:
    """Return the learning rate to take, None where no trial was completed.

    Args:
        tried: all learning rates, those stopped or diverged too: the best one is at an edge if none lies beyond it.
        complete: (learning rate, final loss) of the trials that ran to the end.
    """
    finite = sorted((rate, loss) for rate, loss in complete if math.isfinite(loss))
    if not finite:
        return None
    best_rate, best_loss = min(finite, key=lambda pair: (pair[1], pair[0]))
    edge = "low" if best_rate <= min(tried) else "high" if best_rate >= max(tried) else None
    vertex = None if edge else _vertex([p for p in finite if p[1] <= WINDOW * best_loss], best_rate)
    if vertex is None:
        return Choice(best_rate, "lowest", edge)
    return Choice(vertex, "parabola", None)


def _vertex(region: Sequence[tuple[float, float]], best_rate: float) -> float | None:
    """Return the minimum of a parabola in (log rate, log loss); None where the region holds none around its best."""
    rates = [rate for rate, _ in region]
    if len(set(rates)) < 3 or not min(rates) < best_rate < max(rates) or min(loss for _, loss in region) <= 0:
        return None
    x = np.log(np.array(rates) / best_rate)
    curvature, slope, _ = np.polyfit(x, np.log([loss for _, loss in region]), 2)
    if curvature <= 0:
        return None
    place = -slope / (2 * curvature)
    if not x.min() < place < x.max():
        return None
    return float(f"{best_rate * math.exp(place):.4g}")  # noise is far above four digits; short rates read better
