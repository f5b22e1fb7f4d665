"""Starts for the solver: given the exponents, the law is linear in E, A and B (variable projection)."""

import numpy as np
from scipy.optimize import nnls

from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.problem import Problem

_FLOOR = 1e-4
"""Least share of the loss that a term of a start has: its logarithm must exist, and Newton can shrink it."""


def grid_starts(problem: Problem, weights: Floats, count: int, seed: int, fixed: Floats | None = None) -> Floats:
    """Spread starts over the exponents, each with the best non-negative E, A, B for them, shape (count, 5).

    Args:
        problem: the points.
        weights: of the points, shape (n,).
        count: number of starts.
        seed: of the random exponents, log-uniform between .03 and 2.5 (measured ones lie well inside).
        fixed: theta whose entries replace those that `problem.free` does not span, shape (5,).
    """
    generator = np.random.default_rng(seed)
    alpha, beta = np.exp(generator.uniform(np.log(0.03), np.log(2.5), (2, count)))
    ratio = _ratio(problem)
    if ratio is not None:
        beta = alpha * ratio
    starts = np.array([_linear(problem, weights, a, b) for a, b in zip(alpha, beta, strict=True)])
    if fixed is not None:
        held = np.abs(problem.free).sum(axis=1) == 0
        starts[:, held] = fixed[held]
    return np.asarray(np.clip(starts, problem.lower, problem.upper))


def _ratio(problem: Problem) -> float | None:
    """The ratio of beta to alpha where the law ties them, None where it does not."""
    (tied,) = np.nonzero(problem.free[2] * problem.free[4])
    return float(problem.free[4, tied[0]] / problem.free[2, tied[0]]) if tied.size else None


def _linear(problem: Problem, weights: Floats, alpha: float, beta: float) -> Floats:
    """Theta with the best non-negative (E, A, B) in relative residuals, which are log residuals to first order."""
    first, second = np.exp(-alpha * problem.x), np.exp(-beta * problem.y)
    columns = [np.ones_like(first), first] + ([second] if problem.terms == 2 else [])
    root = np.sqrt(weights)
    design = np.stack(columns, axis=1) * (root * np.exp(-problem.z))[:, None]
    widths = np.maximum(np.sqrt((design**2).sum(axis=0)), 1e-300)
    try:
        found = nnls(design / widths, root)[0] / widths
    except RuntimeError:  # nnls cycles on some degenerate designs; any positive start will do there
        found = 1.0 / widths
    least = _FLOOR * np.exp(problem.z.mean())
    first_log = np.log(max(found[1], least))
    second_log = np.log(max(found[2], least)) if problem.terms == 2 else 0.0
    return np.array([found[0], first_log, alpha, second_log, beta])
