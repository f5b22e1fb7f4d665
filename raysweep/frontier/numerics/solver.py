"""The batched solver: many fits of the same law at once, by damped Newton with analytic derivatives."""

from dataclasses import dataclass, replace

import numpy as np

from raysweep.frontier.numerics.additive import evaluate_additive, gradient_additive, predict_additive
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask
from raysweep.frontier.numerics.extended import evaluate_extended, gradient_extended, predict_extended
from raysweep.frontier.numerics.problem import ADDITIVE, STEP, Evaluation, Problem


@dataclass(frozen=True)
class Solutions:
    """The minimum that `solve` found for each fit k of a batch.

    Attributes:
        theta: shape (k, P). objective: sum of weighted Huber losses, shape (k,).
        gradient_norm: largest component of the gradient, projected onto the bounds, over the sum of the absolute
            contributions that cancel in it: dimensionless, shape (k,).
        at_bound: shape (k, P), True where a bound holds a parameter.
        converged: shape (k,), True where the Newton decrement is below the tolerance.
    """

    theta: Floats
    objective: Floats
    gradient_norm: Floats
    at_bound: Mask
    converged: Mask


def predict(problem: Problem, theta: Floats) -> Floats:
    """Ln F at every point for every theta of the batch, shape (k, n)."""
    return predict_additive(problem, theta) if theta.shape[1] == ADDITIVE else predict_extended(problem, theta)


def log_slopes(problem: Problem, theta: Floats) -> Floats:
    """Derivatives of ln F in theta at every point for every theta of the batch, shape (k, P, n)."""
    return gradient_additive(problem, theta) if theta.shape[1] == ADDITIVE else gradient_extended(problem, theta)


def evaluate(problem: Problem, theta: Floats, weights: Floats, delta: Floats) -> Evaluation:
    """Evaluate the objective and its derivatives.

    Args:
        problem: the points and the law.
        theta: shape (k, 5) for the additive law, (k, 10) for those that extend it.
        weights: of the points, shape (k, n) or (1, n).
        delta: Huber's delta, shape (k, 1).
    """
    of = evaluate_additive if theta.shape[1] == ADDITIVE else evaluate_extended
    return of(problem, theta, weights, delta)


def _held(problem: Problem, theta: Floats, gradient: Floats) -> Mask:
    """Mark the free directions that a bound holds: at it and pushed outward, shape (k, p)."""
    low = (theta <= problem.lower) & (gradient > 0)
    high = (theta >= problem.upper) & (gradient < 0)
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
    shrink = np.max(np.abs(step) / STEP[: free.shape[0]], axis=1, keepdims=True)
    return np.asarray(step / np.maximum(shrink, 1.0)), np.asarray(decrement)


def solve(
    problem: Problem,
    weights: Floats,
    start: Floats,
    delta: Floats | float,
    *,
    iterations: int = 200,
    tolerance: float = 1e-13,
) -> Solutions:
    """Minimise the objective of every fit of a batch from its own start.

    Args:
        problem: the points and the law's free directions.
        weights: of the points in each fit, shape (k, n) or (1, n); bootstrap counts are weights.
        start: shape (k, P), inside the bounds.
        delta: Huber's delta of each fit, in units of log loss, shape (k,) or a number.
        iterations: limit of Newton steps.
        tolerance: of the Newton decrement, as a share of the objective, at which a step is the last.
    """
    count = start.shape[0]
    theta = np.clip(start, problem.lower, problem.upper)
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
        trial = np.clip(theta[active] + step, problem.lower, problem.upper)
        tried = evaluate(_rows(problem, active), trial, weights[active], delta[active])
        small = decrement <= tolerance * here.objective + 1e-26
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
    at_bound = ((theta <= problem.lower) | (theta >= problem.upper)) & movable
    return np.asarray(np.max(np.abs(gradient) / scale, axis=1)), np.asarray(at_bound)
