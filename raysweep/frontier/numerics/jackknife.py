"""The infinitesimal jackknife: the fit without each unit, by one Newton step from the optimum instead of a refit.

Without unit u the gradient at the optimum is -g_u and the Hessian H - h_u, so that theta moves by (H - h_u)^-1 g_u:
exact to first order in a unit's share of the points (Jaeckel 1972; Efron 1982, chapter 6; 1806.00550). It is linear
in points, where refits are quadratic.
"""

import numpy as np

from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.numerics.problem import Problem
from raysweep.frontier.numerics.solver import evaluate, log_slopes, predict


def step_without_each(problem: Problem, theta: Floats, weights: Floats, delta: float, unit: Indices) -> Floats:
    """Approximate the minimum without each unit.

    Args:
        problem: the points and the law's free directions.
        theta: the minimum of all points, shape (P,).
        weights: of the points, shape (n,).
        delta: Huber's delta in ln loss.
        unit: of each point, numbered from 0, shape (n,).

    Returns:
        Theta without each unit, inside the bounds, shape (units, P). A parameter that a bound holds stays there.
    """
    count, one = int(unit.max()) + 1, theta[None, :]
    held = ((theta <= problem.lower) | (theta >= problem.upper)).astype(float) @ np.abs(problem.free) > 0
    free = problem.free[:, ~held]
    slopes = log_slopes(problem, one)[0].T @ free
    residual = problem.z - predict(problem, one)[0]
    side = weights * np.where(residual > 0, problem.over, 1.0)
    pull = -(side * np.clip(residual, -delta, delta))[:, None] * slopes
    curvature = (side * (np.abs(residual) < delta))[:, None, None] * slopes[:, :, None] * slopes[:, None, :]
    gradient, part = (np.zeros((count, *values.shape[1:])) for values in (pull, curvature))
    np.add.at(gradient, unit, pull)
    np.add.at(part, unit, curvature)
    whole = free.T @ evaluate(problem, one, weights[None, :], np.full((1, 1), delta)).hessian[0] @ free
    step = newton_steps(whole - part, gradient)
    return np.asarray(np.clip(theta + step @ free.T, problem.lower, problem.upper))


def newton_steps(hessian: Floats, gradient: Floats) -> Floats:
    """Solve each system of a Hessian (k, p, p) and a gradient (k, p); directions without curvature do not move."""
    width = np.sqrt(np.maximum(np.abs(np.einsum("kpp->kp", hessian)), 1e-300))
    values, vectors = np.linalg.eigh(hessian / (width[:, :, None] * width[:, None, :]))
    along = ((gradient / width)[:, None, :] @ vectors)[:, 0, :]
    along = np.where(np.abs(values) > 1e-12, along / np.where(values == 0.0, 1.0, values), 0.0)
    return np.asarray((vectors @ along[:, :, None])[:, :, 0] / width)
