"""The choice of a learning rate by the losses of its trials: a parabola's minimum, not the luckiest trial."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.core.text import rounded

RATE_DIGITS = 4
"""Significant digits of a rate: its noise is far larger, and the rate that is printed is the one that runs."""

WINDOW = 1.3
"""Trials within this factor of the lowest loss count as the best region."""

LEVEL = 1.1
"""Losses within this factor of the lowest count as equally good where no parabola can be fitted."""

Curves = Sequence[tuple[float, Sequence[float]]]
"""(learning rate, losses at the rungs that it reached) of each trial; fewer losses where it was stopped or diverged."""


@dataclass(frozen=True)
class Choice:
    """A learning rate and how it was found."""

    rate: float
    method: str
    """How: "parabola", the vertex of a quadratic in log rate; "centre", the middle of the rates that do equally well;
    "lowest", the trial with the lowest loss."""
    edge: str | None
    """"low" or "high" where the best trial is the first or last of all that were tried: the optimum may lie beyond."""


def choose(curves: Curves, rungs: int) -> Choice | None:
    """Choose the learning rate, None if no trial was completed.

    The parabola goes through the best region at the last rung; earlier rungs are ignored, since they favour higher
    rates than all of the data does. Where there is none, the loss typically rises like a cliff above the best
    rate, and the lowest loss stands at its brink: then the middle of the rates that do equally well is taken.
    """
    final = [(rate, losses[-1]) for rate, losses in curves if len(losses) == rungs]
    if not final:
        return None
    best_rate, _ = min(final, key=lambda pair: (pair[1], pair[0]))
    tried = [rate for rate, _ in curves]
    edge = "low" if best_rate <= min(tried) else "high" if best_rate >= max(tried) else None
    vertex = None if edge else _vertex(final, best_rate)
    if vertex is not None:
        return Choice(vertex, "parabola", None)
    level = [math.log(rate) for rate, loss in final if loss <= LEVEL * min(loss for _, loss in final)]
    if edge is None and len(level) > 1:
        return Choice(rounded(math.exp(sum(level) / len(level)), RATE_DIGITS), "centre", None)
    return Choice(best_rate, "lowest", edge)


def _vertex(trials: Sequence[tuple[float, float]], best_rate: float) -> float | None:
    """Return the minimum of a parabola in (log rate, log loss), None if it has none near the best trial."""
    lowest = min(loss for _, loss in trials)
    region = [(rate, loss) for rate, loss in trials if loss <= WINDOW * lowest]
    below, above = [r for r, _ in region if r < best_rate], [r for r, _ in region if r > best_rate]
    if not below or not above or lowest <= 0:
        return None
    x = np.log(np.array([rate for rate, _ in region]) / best_rate)
    curvature, slope, _ = np.polyfit(x, np.log([loss for _, loss in region]), 2)
    if curvature <= 0:
        return None
    rate = best_rate * math.exp(-slope / (2 * curvature))
    if not max(below) < rate < min(above):
        return None
    return rounded(rate, RATE_DIGITS)
