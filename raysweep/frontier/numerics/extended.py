"""The laws that extend the additive one, for the solver: ln F, and the objective with Gauss-Newton's Hessian.

Coupled terms after 2001.08361 (eq. 1.5), whose outer exponent k = e^c is here; smoothly broken powers after 2210.14891.
An offset of the data, (D + D_0)^-beta, is a power that breaks from 0: delta_D = -beta.
"""

import numpy as np

from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.problem import PLACES, SMALL, Evaluation, Problem

_CHUNK = 400_000
"""Numbers in one array of the derivatives: larger ones leave the cache."""


def predict_extended(problem: Problem, theta: Floats) -> Floats:
    """Ln F at every point for every theta of the batch, shape (k, n)."""
    return np.asarray(np.log(_value(problem, theta)[0]))


def gradient_extended(problem: Problem, theta: Floats) -> Floats:
    """Derivatives of ln F in theta at every point, shape (k, 10, n)."""
    return _slopes(problem, theta)[1]


def evaluate_extended(problem: Problem, theta: Floats, weights: Floats, delta: Floats) -> Evaluation:
    """Evaluate the objective and its derivatives; the arguments are those of `solver.evaluate`."""
    count, points = theta.shape[0], problem.x.size
    size = max(1, _CHUNK // (points * PLACES))
    weights = np.broadcast_to(weights, (count, points))
    parts = [
        _evaluate(
            problem, theta[rows], weights[rows], delta[rows], problem.z if problem.z.ndim == 1 else problem.z[rows]
        )
        for rows in (slice(first, first + size) for first in range(0, count, size))
    ]
    names = ("objective", "gradient", "hessian", "scale")
    found = Evaluation(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    return found if problem.prior is None else _with_prior(found, problem.prior, theta, delta)


def _evaluate(problem: Problem, theta: Floats, weights: Floats, delta: Floats, z: Floats) -> Evaluation:
    log_value, slopes = _slopes(problem, theta)
    residual = z - log_value
    psi = np.clip(residual, -delta, delta)
    side = weights if problem.over == 1.0 else weights * np.where(residual > 0, problem.over, 1.0)
    objective = (side * psi * (residual - 0.5 * psi)).sum(axis=1)
    # Huber's weights stand for the second derivative, which is 0 beyond delta: outliers then keep the Hessian positive.
    curvature = side * np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300))
    gradient = -(slopes @ (side * psi)[:, :, None])[:, :, 0]
    scale = (np.abs(slopes) @ np.maximum(side * np.abs(psi), SMALL * weights)[:, :, None])[:, :, 0]
    hessian = (slopes * curvature[:, None, :]) @ np.swapaxes(slopes, 1, 2)
    return Evaluation(objective, gradient, hessian, scale)


def _with_prior(found: Evaluation, prior: Floats, theta: Floats, delta: Floats) -> Evaluation:
    precision = prior[1] * delta**2
    away = theta - prior[0]
    found.objective = found.objective + 0.5 * (precision * away**2).sum(axis=1)
    found.gradient = found.gradient + precision * away
    found.scale = found.scale + np.abs(precision * away)
    found.hessian = found.hessian + precision[:, :, None] * np.eye(PLACES)
    return found


def _value(problem: Problem, theta: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """F, its part above t, the share of the term in N in that part, and the entropy of the shares, each (k, n)."""
    t, p, alpha, q, beta, c, bend_n, x_b, bend_d, y_b = (theta[:, place, None] for place in range(PLACES))
    k = np.exp(c)
    u = (p - alpha * problem.x + bend_n * np.logaddexp(0.0, x_b - problem.x)) / k
    v = (q - beta * problem.y + bend_d * np.logaddexp(0.0, y_b - problem.y)) / k
    both = np.logaddexp(u, v)
    share = np.exp(u - both)
    above = np.exp(k * both)
    entropy = both - share * u - (1.0 - share) * v
    return np.maximum(t + above, 1e-300), above, share, entropy


def _slopes(problem: Problem, theta: Floats) -> tuple[Floats, Floats]:
    """Ln F (k, n) and its derivatives in theta (k, 10, n)."""
    value, above, share, entropy = _value(problem, theta)
    rise = above / value
    on_n, on_d = rise * share, rise * (1.0 - share)
    out = np.empty((theta.shape[0], PLACES, problem.x.size))
    out[:, 0] = 1.0 / value
    out[:, 5] = rise * np.exp(theta[:, 5, None]) * entropy
    for first, bend, on, coordinate in ((1, 6, on_n, problem.x), (3, 8, on_d, problem.y)):
        before = theta[:, bend + 1, None] - coordinate
        out[:, first] = on
        out[:, first + 1] = -coordinate * on
        out[:, bend] = np.logaddexp(0.0, before) * on
        out[:, bend + 1] = theta[:, bend, None] / (1.0 + np.exp(-before)) * on
    return np.log(value), out
