"""The law fitted with a known covariance of errors: generalised least squares, one fit or a batch of draws.

A draw moves the losses along the law's tangent by an error of the covariance drawn for it, and fits the law to them in
full. Where the law bends in its parameters, or a bound holds one of them, intervals follow (the parametric bootstrap).
"""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.fitting.run_noise.runs import Memory, Runs, whiten
from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.numerics.problem import Problem
from raysweep.frontier.numerics.solver import predict

_STEP = 1e-5
_MOST = 0.7
"""Longest step of a parameter in one iteration."""
_RIDGE = 1e-10


@dataclass(frozen=True, kw_only=True)
class Refits:
    """Fits of a batch.

    Attributes:
        theta: shape (k, q). squares: sums of squared whitened errors, shape (k,).
        at_bound: shape (k, q), True where a bound holds a parameter.
        gradient_norm: largest component of the gradient over the sum of the contributions that cancel in it, (k,).
        converged: shape (k,).
    """

    theta: Floats
    squares: Floats
    at_bound: Mask
    gradient_norm: Floats
    converged: Mask


def gradient(problem: Problem, theta: Floats) -> Floats:
    """Differentiate ln loss at n points along p free directions by central differences, theta (k, q): (k, n, p)."""
    columns = []
    for direction in problem.free.T:
        ahead, behind = predict(problem, theta + _STEP * direction), predict(problem, theta - _STEP * direction)
        columns.append((ahead - behind) / (2.0 * _STEP))
    return np.stack(columns, axis=2)


def refit(
    problem: Problem,
    runs: Runs,
    noise: Memory,
    start: Floats,
    *,
    kept: Floats | None = None,
    least: Floats | float = 1e-20,
    tolerance: float = 1e-8,
    iterations: int = 60,
) -> Refits:
    """Fit the law to each row of losses with its covariance, by damped Gauss-Newton steps on whitened errors.

    Args:
        problem: the law, and losses `z` of shape (n,) or (k, n).
        runs: of the points.
        noise: k covariances.
        start: theta, shape (k, q).
        kept: 1 for each run that a fit sees, 0 for one that it does not, shape (k, r); None: it sees all.
        least: squares that the tolerance is a share of at the least, shape (k,): where losses lie on the law but for
            its tangent, squares go to zero.
        tolerance: of the squares that another step would take away, as a share of them.
        iterations: at most.
    """
    z = np.broadcast_to(problem.z, (start.shape[0], problem.x.size))
    seen = np.repeat(np.ones((z.shape[0], runs.place.shape[0])) if kept is None else kept, runs.place.shape[1], axis=1)
    theta = np.clip(start, problem.lower, problem.upper)
    squares = _squares(problem, runs, noise, z, theta, seen)
    least = np.broadcast_to(least, (theta.shape[0],))
    damping = np.full(theta.shape[0], 1e-3)
    converged = np.zeros(theta.shape[0], dtype=bool)
    norm = np.full(theta.shape[0], np.inf)
    active = np.arange(theta.shape[0])
    for _ in range(iterations):
        here, covariance = theta[active], noise.take(active)
        step, decrement, norm[active] = _step(problem, runs, covariance, z[active], here, seen[active], damping[active])
        small = decrement <= tolerance * np.maximum(squares[active], least[active])
        trial = np.clip(here + step, problem.lower, problem.upper)
        tried = _squares(problem, runs, covariance, z[active], trial, seen[active])
        better = tried <= squares[active]
        theta[active[better]], squares[active[better]] = trial[better], tried[better]
        damping[active] = np.where(better, np.maximum(0.2 * damping[active], 1e-9), 8.0 * damping[active])
        converged[active] |= small
        active = active[~small & (damping[active] < 1e8)]
        if not active.size:
            break
    at_bound = ((theta <= problem.lower) | (theta >= problem.upper)) & (np.abs(problem.free).sum(axis=1) > 0)
    return Refits(theta=theta, squares=squares, at_bound=at_bound, gradient_norm=norm, converged=converged)


def _squares(problem: Problem, runs: Runs, noise: Memory, z: Floats, theta: Floats, seen: Floats) -> Floats:
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        white, _ = whiten(runs, noise, (z - predict(problem, theta))[..., None])
        squares = (seen * white[..., 0] ** 2).sum(axis=1)
    return np.asarray(np.where(np.isfinite(squares), squares, np.inf))


def _step(
    problem: Problem, runs: Runs, noise: Memory, z: Floats, theta: Floats, seen: Floats, damping: Floats
) -> tuple[Floats, Floats, Floats]:
    """The damped Gauss-Newton step in theta, the decrement, and the gradient's certificate."""
    columns = np.concatenate([gradient(problem, theta), (z - predict(problem, theta))[..., None]], axis=2)
    white, _ = whiten(runs, noise, columns)
    jacobian, error = white[..., :-1] * seen[..., None], white[..., -1]
    slope = (jacobian.transpose(0, 2, 1) @ error[..., None])[..., 0]
    held = _held(problem, theta, slope)
    slope = np.where(held, 0.0, slope)
    gram = jacobian.transpose(0, 2, 1) @ jacobian
    gram = np.where(held[:, :, None] | held[:, None, :], 0.0, gram)
    width = np.sqrt(np.einsum("kpp->kp", gram))
    width = np.where(width > 0, width, 1.0)
    values, vectors = np.linalg.eigh(gram / (width[:, :, None] * width[:, None, :]))
    along = ((slope / width)[:, None, :] @ vectors)[:, 0, :]
    sure = np.maximum(values, _RIDGE)
    step = (vectors @ (along / (sure + damping[:, None]))[..., None])[..., 0] / width
    step = np.where(held, 0.0, step) @ problem.free.T
    scale = (np.abs(jacobian) * np.abs(error)[..., None]).sum(axis=1) + 1e-9 * np.abs(jacobian).sum(axis=1)
    norm = np.max(np.abs(slope) / np.maximum(scale, 1e-300), axis=1)
    step /= np.maximum(np.max(np.abs(step), axis=1, keepdims=True) / _MOST, 1.0)
    return step, (along**2 / sure).sum(axis=1), norm


def _held(problem: Problem, theta: Floats, slope: Floats) -> Mask:
    """Mark the free directions that a bound holds: at it and pushed outward, shape (k, p)."""
    low = ((theta <= problem.lower).astype(float) @ np.abs(problem.free) > 0) & (slope < 0)
    high = ((theta >= problem.upper).astype(float) @ np.abs(problem.free) > 0) & (slope > 0)
    return np.asarray(low | high)
