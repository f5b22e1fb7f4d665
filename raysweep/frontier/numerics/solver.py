"""The batched solver: many fits of the same law at once, by damped Newton with analytic derivatives.

The law, in coordinates that make it well conditioned (x, y: centred ln N and ln D; losses divided by a scale):

    F(x, y) = t + exp(p - alpha x) + exp(q - beta y)         theta = (t, p, alpha, q, beta)

and the objective is the **sum** over points of w rho(ln loss - ln F), rho Huber's function (2404.10102, eq. 2). A sum,
not a mean, and tolerances relative to the objective: a mean of Huber losses of size 1e-3 lets an optimizer with
absolute tolerances stop at its start (what happened to the published fit of 2203.15556).
"""

from dataclasses import dataclass, replace

import numpy as np

from raysweep.frontier.numerics.arrays import Floats, Indices, Mask

LOWER = np.array([0.0, -60.0, 1e-3, -60.0, 1e-3])
UPPER = np.array([2.0, 60.0, 5.0, 60.0, 5.0])
"""Bounds of theta. Exponents of measured losses lie between .03 and 1.5; a fit at a bound says so in its status."""

_STEP = np.array([0.5, 2.0, 0.3, 2.0, 0.3])
_SMALL = 1e-9
"""Log residuals below this count as zero in the certificate: double precision leaves no meaning in them."""


@dataclass(frozen=True)
class Problem:
    """Points as the solver sees them, shared by all fits of a batch.

    Attributes:
        x, y: centred ln N and ln D, shape (n,).
        z: ln of the loss over the loss scale, shape (n,), or (k, n) where every fit of the batch has its own losses.
        free: columns span the directions in which theta may move, shape (5, p): the identity for the additive law,
            fewer columns where a parameter is fixed, two ones in a column where two are tied.
        terms: 2, or 1 where the law has no term in y.
        over: weight of points above the law (loss higher than predicted) relative to those below it.
    """

    x: Floats
    y: Floats
    z: Floats
    free: Floats
    terms: int = 2
    over: float = 1.0


@dataclass(frozen=True)
class Solutions:
    """The minimum that `solve` found for each fit k of a batch.

    Attributes:
        theta: shape (k, 5). objective: sum of weighted Huber losses, shape (k,).
        gradient_norm: largest component of the gradient, projected onto the bounds, over the sum of the absolute
            contributions that cancel in it: dimensionless, shape (k,).
        at_bound: shape (k, 5), True where a bound holds a parameter.
        converged: shape (k,), True where the Newton decrement is below the tolerance.
    """

    theta: Floats
    objective: Floats
    gradient_norm: Floats
    at_bound: Mask
    converged: Mask


@dataclass
class Evaluation:
    """The objective of each fit of a batch, shape (k,), with its gradient (k, 5) and Hessian (k, 5, 5) in theta."""

    objective: Floats
    gradient: Floats
    hessian: Floats
    scale: Floats
    """The sum of the absolute contributions to each gradient component, shape (k, 5)."""


def predict(problem: Problem, theta: Floats) -> Floats:
    """Ln F at every point for every theta of the batch, shape (k, n)."""
    return np.asarray(np.log(_parts(problem, theta)[2]))


def _parts(problem: Problem, theta: Floats) -> tuple[Floats, Floats, Floats]:
    first = np.exp(theta[:, 1:2] - theta[:, 2:3] * problem.x)
    if problem.terms == 1:
        return first, np.zeros((1, 1)), theta[:, 0:1] + first
    second = np.exp(theta[:, 3:4] - theta[:, 4:5] * problem.y)
    return first, second, theta[:, 0:1] + first + second


def evaluate(problem: Problem, theta: Floats, weights: Floats, delta: Floats) -> Evaluation:
    """Evaluate the objective and its derivatives.

    Args:
        problem: the points and the law.
        theta: shape (k, 5).
        weights: of the points, shape (k, n) or (1, n).
        delta: Huber's delta, shape (k, 1).
    """
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
    size = np.maximum(psi, _SMALL * weights)
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


def _held(problem: Problem, theta: Floats, gradient: Floats) -> Mask:
    """Mark the free directions that a bound holds: at it and pushed outward, shape (k, p)."""
    low = (theta <= LOWER) & (gradient > 0)
    high = (theta >= UPPER) & (gradient < 0)
    return np.asarray(((low | high).astype(float) @ np.abs(problem.free)) > 0)


def _newton_step(state: Evaluation, held: Mask, damping: Floats, free: Floats) -> tuple[Floats, Floats]:
    """The step in theta, and the Newton decrement.

    The absolute values of negative curvatures are taken, so that a saddle repels instead of attracting.
    """
    gradient = np.where(held, 0.0, state.gradient @ free)
    hessian = free.T @ state.hessian @ free
    both = held[:, :, None] | held[:, None, :]
    hessian = np.where(both, 0.0, hessian)
    width = np.sqrt(np.maximum(np.abs(np.einsum("kpp->kp", hessian)), 1e-300))
    width = np.where(held | (width < 1e-140), 1.0, width)
    scaled = hessian / (width[:, :, None] * width[:, None, :])
    values, vectors = np.linalg.eigh(scaled)
    along = ((gradient / width)[:, None, :] @ vectors)[:, 0, :]
    size = np.maximum(np.abs(values), 1e-12) + damping[:, None]
    decrement = np.where(np.abs(along) > 0, along**2 / np.maximum(np.abs(values), 1e-12), 0.0).sum(1)
    step = -(vectors @ (along / size)[:, :, None])[:, :, 0] / width
    step = np.where(held, 0.0, step) @ free.T
    shrink = np.max(np.abs(step) / _STEP, axis=1, keepdims=True)
    return np.asarray(step / np.maximum(shrink, 1.0)), np.asarray(decrement)


def solve(
    problem: Problem, weights: Floats, start: Floats, delta: Floats | float, *, iterations: int = 200
) -> Solutions:
    """Minimise the objective of every fit of a batch from its own start.

    Args:
        problem: the points and the law's free directions.
        weights: of the points in each fit, shape (k, n) or (1, n); bootstrap counts are weights.
        start: shape (k, 5), inside the bounds.
        delta: Huber's delta of each fit, in units of log loss, shape (k,) or a number.
        iterations: limit of Newton steps.
    """
    count = start.shape[0]
    theta = np.clip(start, LOWER, UPPER)
    weights = np.broadcast_to(weights, (count, problem.x.size))
    delta = np.broadcast_to(np.asarray(delta, dtype=float), (count,))[:, None]
    state = evaluate(problem, theta, weights, delta)
    damping = np.full(count, 1e-3)
    converged = np.zeros(count, dtype=bool)
    stalled = np.zeros(count, dtype=np.int64)
    active = np.arange(count)
    for _ in range(iterations):
        if active.size == 0:
            break
        here = Evaluation(state.objective[active], state.gradient[active], state.hessian[active], state.scale[active])
        held = _held(problem, theta[active], here.gradient)
        step, decrement = _newton_step(here, held, damping[active], problem.free)
        trial = np.clip(theta[active] + step, LOWER, UPPER)
        tried = evaluate(_rows(problem, active), trial, weights[active], delta[active])
        small = decrement <= 1e-13 * here.objective + 1e-26
        better = (tried.objective <= here.objective) & np.isfinite(tried.objective)
        _take(state, theta, active[better], tried, trial, better)
        damping[active] = np.where(better, np.maximum(damping[active] * 0.2, 1e-12), damping[active] * 6.0 + 1e-9)
        stalled[active] = np.where(better, 0, stalled[active] + 1)
        converged[active] |= small
        active = active[~small & (stalled[active] < 25)]
    gradient_norm, at_bound = _certificate(problem, theta, state)
    converged |= gradient_norm < 1e-7
    return Solutions(theta, state.objective, gradient_norm, at_bound, converged)


def _rows(problem: Problem, active: Indices) -> Problem:
    return problem if problem.z.ndim == 1 else replace(problem, z=problem.z[active])


def _take(state: Evaluation, theta: Floats, rows: Indices, tried: Evaluation, trial: Floats, better: Mask) -> None:
    theta[rows] = trial[better]
    state.objective[rows] = tried.objective[better]
    state.gradient[rows] = tried.gradient[better]
    state.hessian[rows] = tried.hessian[better]
    state.scale[rows] = tried.scale[better]


def _certificate(problem: Problem, theta: Floats, state: Evaluation) -> tuple[Floats, Mask]:
    held = _held(problem, theta, state.gradient)
    gradient = np.where(held, 0.0, state.gradient @ problem.free)
    scale = np.maximum(state.scale @ np.abs(problem.free), 1e-300)
    movable = np.abs(problem.free).sum(axis=1) > 0
    at_bound = ((theta <= LOWER) | (theta >= UPPER)) & movable
    return np.asarray(np.max(np.abs(gradient) / scale, axis=1)), np.asarray(at_bound)
