"""The law of the majority of points, for when so many are far away that a fit to all of them misses the rest.

Least trimmed squares by concentration steps (Rousseeuw and Van Driessen 2006): fit, keep the nearest share, fit again.
Huber's function and Hampel's weights start from a fit to all points, which over a quarter of diverged runs carry away.
"""

import numpy as np

from raysweep.frontier.fitting.robust import DOUBTED, MOST_DELTA, SILENT, robust_scale
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.problem import Problem
from raysweep.frontier.numerics.solver import predict, solve

KEPT = 0.55
"""Share of the points that the law has to hold for."""
FAR = float(np.log(1.3))
"""ln of the ratio of loss and law from which on a point is far away, whatever the noise."""
MANY = 0.05
"""Share of far points that keep their weight at which the law of the majority is looked for."""
_STEPS = 8


def many_far(problem: Problem, theta: Floats, trust: Floats) -> bool:
    """Whether a fit, theta (5,), leaves many points far away without having taken their weight."""
    far = np.abs(problem.z - predict(problem, theta[None, :])[0]) > FAR
    return bool(np.mean(far & (trust > 0.5)) > MANY)


def majority(problem: Problem, weights: Floats, starts: Floats) -> Floats | None:
    """The theta (5,) of the law that holds for most points; None where none does, or far points are within its noise.

    Args:
        problem: the points.
        weights: shape (1, n).
        starts: shape (k, 5).
    """
    kept = int(np.ceil(KEPT * problem.x.size))
    if kept <= problem.free.shape[1] + 1:
        return None
    theta, alike = starts, (weights > 0).astype(float)  # a heavy point is no majority
    for _ in range(_STEPS):
        away = np.abs(problem.z - predict(problem, theta))
        near = away <= np.partition(away, kept - 1, axis=1)[:, kept - 1 : kept]
        theta = solve(problem, alike * near, theta, MOST_DELTA, iterations=30).theta
    away = np.sort(np.abs(problem.z - predict(problem, theta)), axis=1)[:, :kept]
    best = theta[int(np.argmin((away**2).sum(axis=1)))]
    residuals = problem.z - predict(problem, best[None, :])[0]
    noise = robust_scale(residuals, problem.free.shape[1])
    holds = noise < FAR / SILENT and np.mean(np.abs(residuals) < DOUBTED * noise) >= KEPT
    return best if holds else None
