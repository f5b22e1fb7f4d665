"""Starts for the laws that extend the additive one: near the additive law's own minimum, with a spread of the rest."""

from dataclasses import replace
from itertools import product

import numpy as np

from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.problem import ADDITIVE, PLACES, Problem
from raysweep.frontier.numerics.solver import solve
from raysweep.frontier.numerics.starts import grid_starts

LOG_COUPLING, BENDS = 5, ((2, 6, 7), (4, 8, 9))
"""Places of theta: ln k; and for N and for D the exponent, its change at the break, and the break."""
COUPLING_SD, BEND_SD = 0.7, 0.3
"""Widths of the priors on ln k and on the change of an exponent."""
_COUPLINGS, _BENDS, _WHERE = (-0.5, 0.0, 0.5), (-0.2, 0.2), (0.25, 0.5, 0.75)
_FEW = 12


def prior(problem: Problem) -> Floats:
    """Centre and precision of the prior on theta, shape (2, 10): around the additive law, with breaks in the data.

    It weighs as little as one point or so, and keeps what the points do not determine from running off.
    """
    found = np.zeros((2, PLACES))
    found[1, LOG_COUPLING] = COUPLING_SD**-2
    for (exponent, bend, place), values in zip(BENDS, (problem.x, problem.y), strict=True):
        offset = bool(np.any(problem.free[exponent] * problem.free[bend] < 0))
        if not offset:
            found[1, bend] = BEND_SD**-2
        spread = 0.5 * float(np.ptp(values)) + 0.5
        found[:, place] = float(values.min()) - (1.0 if offset else -spread), spread**-2
    free = np.abs(problem.free).sum(axis=1) > 0
    found[1] *= free
    return found


def extended_starts(problem: Problem, weights: Floats, count: int, seed: int, fixed: Floats, delta: float) -> Floats:
    """Start from the additive law's minimum, at several couplings, changes of exponents and breaks, shape (k, 10).

    Args:
        problem: of the extended law.
        weights: of the points, shape (n,).
        count: of the additive law's starts.
        seed: of theirs.
        fixed: theta where `problem.free` does not span it, shape (10,).
        delta: Huber's for the additive law.
    """
    held = np.abs(problem.free[0]).sum() == 0
    plain = replace(problem, free=np.eye(ADDITIVE)[:, 1 if held else 0 :], prior=None)
    start = grid_starts(plain, weights, min(count, _FEW), seed, fixed[:ADDITIVE])
    found = solve(plain, weights[None, :], start, delta, iterations=60)
    best = np.concatenate([found.theta[int(np.argmin(found.objective))], np.zeros(ADDITIVE)])
    rows = [_spread(problem, best, *choice) for choice in _choices(problem)]
    return np.asarray(np.clip(rows, problem.lower, problem.upper))


def _choices(problem: Problem) -> list[tuple[float, float, float]]:
    free = np.abs(problem.free).sum(axis=1) > 0
    couplings = _COUPLINGS if free[LOG_COUPLING] else (0.0,)
    bent = any(free[place] for _, _, place in BENDS)
    return list(product(couplings, _BENDS if bent else (0.0,), _WHERE if bent else (0.5,)))


def _spread(problem: Problem, best: Floats, coupling: float, change: float, where: float) -> Floats:
    start = best.copy()
    free = np.abs(problem.free).sum(axis=1) > 0
    start[LOG_COUPLING] = coupling * free[LOG_COUPLING]
    for (exponent, bend, place), values in zip(BENDS, (problem.x, problem.y), strict=True):
        if free[place]:
            offset = np.any(problem.free[exponent] * problem.free[bend] < 0)
            start[bend] = -start[exponent] if offset else change
            start[place] = float(values.min()) + (where - (1.0 if offset else 0.0)) * float(np.ptp(values))
    return start
