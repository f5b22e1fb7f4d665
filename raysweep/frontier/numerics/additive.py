"""The additive law for the solver: ln F and the objective with its exact derivatives."""

import numpy as np

from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.problem import SMALL, Evaluation, Problem

_MANY_POINTS, _CHUNK = 1000, 50_000
"""Points from which on a batch is evaluated in parts, and the numbers in an array of one: the cache holds that."""


def predict_additive(problem: Problem, theta: Floats) -> Floats:
    """Ln F at every point for every theta of the batch, shape (k, n)."""
    return np.asarray(np.log(_parts(problem, theta)[2]))


def gradient_additive(problem: Problem, theta: Floats) -> Floats:
    """Derivatives of ln F in theta at every point, shape (k, 5, n)."""
    first, second, total = _parts(problem, theta)
    second = np.broadcast_to(second, first.shape)
    slopes = [np.ones_like(first), first, -problem.x * first, second, -problem.y * second]
    return np.stack(slopes, axis=1) / np.maximum(total, 1e-300)[:, None, :]


def _parts(problem: Problem, theta: Floats) -> tuple[Floats, Floats, Floats]:
    first = np.exp(theta[:, 1:2] - theta[:, 2:3] * problem.x)
    if problem.terms == 1:
        return first, np.zeros((1, 1)), theta[:, 0:1] + first
    second = np.exp(theta[:, 3:4] - theta[:, 4:5] * problem.y)
    return first, second, theta[:, 0:1] + first + second


def evaluate_additive(problem: Problem, theta: Floats, weights: Floats, delta: Floats) -> Evaluation:
    """Evaluate the objective and its derivatives.

    Args:
        problem: the points.
        theta: shape (k, 5).
        weights: of the points, shape (k, n) or (1, n).
        delta: Huber's delta, shape (k, 1).
    """
    size = max(1, _CHUNK // problem.x.size)
    if problem.x.size < _MANY_POINTS or theta.shape[0] <= size or problem.z.ndim > 1:
        return _evaluate(problem, theta, weights, delta)
    weights = np.broadcast_to(weights, (theta.shape[0], problem.x.size))
    cuts = [slice(first, first + size) for first in range(0, theta.shape[0], size)]
    parts = [_evaluate(problem, theta[rows], weights[rows], delta[rows]) for rows in cuts]
    names = ("objective", "gradient", "hessian", "scale")
    return Evaluation(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _evaluate(problem: Problem, theta: Floats, weights: Floats, delta: Floats) -> Evaluation:
    first, second, total = _parts(problem, theta)
    total = np.maximum(total, 1e-300)
    residual = problem.z - np.log(total)
    inverse = 1.0 / total
    psi = np.clip(residual, -delta, delta)
    side = weights if problem.over == 1.0 else weights * np.where(residual > 0, problem.over, 1.0)
    objective = (side * psi * (residual - 0.5 * psi)).sum(axis=1)
    curvature = side * (np.abs(residual) < delta)
    psi = side * psi
    # gradient of ln F: (1/F, pA, -x pA, pB, -y pB), where pA and pB are the shares of the two terms in F.
    share_a, share_b = first * inverse, second * inverse
    gradient = -_moments(problem, psi, inverse, share_a, share_b)
    scale = _absolute_moments(problem, np.abs(psi), weights, inverse, share_a, share_b)
    hessian = _hessian(problem, curvature + psi, psi, inverse, share_a, share_b)
    return Evaluation(objective, gradient, hessian, scale)


def _moments(problem: Problem, psi: Floats, inverse: Floats, share_a: Floats, share_b: Floats) -> Floats:
    on_a, on_b = psi * share_a, psi * share_b
    columns = [(psi * inverse).sum(1), on_a.sum(1), -(on_a @ problem.x), on_b.sum(1), -(on_b @ problem.y)]
    return np.stack(columns, axis=1)


def _absolute_moments(
    problem: Problem, psi: Floats, weights: Floats, inverse: Floats, share_a: Floats, share_b: Floats
) -> Floats:
    size = np.maximum(psi, SMALL * weights)
    on_a, on_b = size * share_a, size * share_b
    x, y = np.abs(problem.x), np.abs(problem.y)
    return np.stack([(size * inverse).sum(1), on_a.sum(1), on_a @ x, on_b.sum(1), on_b @ y], axis=1)


def _hessian(problem: Problem, outer: Floats, psi: Floats, inverse: Floats, share_a: Floats, share_b: Floats) -> Floats:
    """Second derivatives of the objective, shape (k, 5, 5).

    With g the gradient of ln F, the Hessian of ln F is  sum over terms of p u u' - g g'  (u: the derivative of a term's
    exponent), so that of the objective is  sum (rho'' + psi) g g' - sum psi p u u'.
    """
    x, y = problem.x, problem.y
    hessian = np.zeros((psi.shape[0], 5, 5))
    one_x = np.stack([np.ones_like(x), x, x * x], axis=1)
    outer_e, outer_a = outer * inverse, outer * share_a
    hessian[:, 0, 0] = (outer_e * inverse).sum(1)
    against_a = (outer_e * share_a) @ one_x[:, :2]
    hessian[:, 0, 1], hessian[:, 0, 2] = against_a[:, 0], -against_a[:, 1]
    within_a = (outer_a * share_a - psi * share_a) @ one_x
    hessian[:, 1, 1], hessian[:, 1, 2], hessian[:, 2, 2] = within_a[:, 0], -within_a[:, 1], within_a[:, 2]
    if problem.terms == 2:
        one_y = np.stack([np.ones_like(y), y, y * y], axis=1)
        mixed = np.stack([np.ones_like(x), x, y, x * y], axis=1)
        against_b = (outer_e * share_b) @ one_y[:, :2]
        hessian[:, 0, 3], hessian[:, 0, 4] = against_b[:, 0], -against_b[:, 1]
        within_b = (outer * share_b * share_b - psi * share_b) @ one_y
        hessian[:, 3, 3], hessian[:, 3, 4], hessian[:, 4, 4] = within_b[:, 0], -within_b[:, 1], within_b[:, 2]
        between = (outer_a * share_b) @ mixed
        hessian[:, 1, 3], hessian[:, 2, 3] = between[:, 0], -between[:, 1]
        hessian[:, 1, 4], hessian[:, 2, 4] = -between[:, 2], between[:, 3]
    rows, columns = np.triu_indices(5, 1)
    hessian[:, columns, rows] = hessian[:, rows, columns]
    return hessian
