"""Robust fitting with a threshold that follows the noise: Huber's function, and Hampel's weights for outliers."""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.numerics.problem import Problem
from raysweep.frontier.numerics.solver import Solutions, predict, solve

EFFICIENT = 1.7
"""Huber's delta over the noise. The classical 1.345 is 95 % efficient on Gaussian residuals (Huber 1981), this 98 %; it
may be larger because `outlier_weights` takes care of distant points (benchmarks/frontier_efficiency.py)."""
DOUBTED, SILENT = 3.0, 6.0
"""Noises from the law at which a point begins to lose weight, and at which it has none (Hampel 1974)."""
MAD_TO_SIGMA = 0.6744897501960817
"""Median absolute deviation of a Gaussian over its standard deviation."""
LEAST_DELTA = 1e-6
"""Log residuals below this are rounding, not noise."""
MOST_DELTA = 0.1
MOST_SILENCED, MOST_FAR = 0.25, 0.45
"""Share of the points that may lose their weight; where most have a law and the others lie far from it (`majority`)."""
AGREES = 1e-6
"""Share by which a start's objective may exceed the best one and still count as having reached it."""


@dataclass(frozen=True, kw_only=True)
class Minimum:
    """The best minimum that many starts reached, and how certain it is.

    Attributes:
        theta: of the solver, shape (5,). at_bound: which of its entries a bound holds.
        delta: Huber's delta in ln loss. objective: the sum of weighted Huber losses.
        gradient_norm: largest gradient component over the sum of the contributions that cancel in it.
        starts, agreeing: the number of starts, and of those that reached this minimum.
        residuals: ln of measured over predicted loss, shape (n,).
        noise: robust standard deviation of the residuals, corrected for the fitted parameters.
    """

    theta: Floats
    at_bound: Mask
    delta: float
    objective: float
    gradient_norm: float
    starts: int
    agreeing: int
    residuals: Floats
    noise: float


def best_minimum(problem: Problem, found: Solutions, delta: float) -> Minimum:
    """Choose the lowest of the minima that the starts reached; all solutions are of the same points and weights."""
    best = int(np.argmin(found.objective))
    floor = float(found.objective[best])
    residuals = problem.z - predict(problem, found.theta[[best]])[0]
    return Minimum(
        theta=found.theta[best],
        at_bound=found.at_bound[best],
        delta=delta,
        objective=floor,
        gradient_norm=float(found.gradient_norm[best]),
        starts=found.theta.shape[0],
        agreeing=int(np.sum(found.objective <= floor * (1 + AGREES) + 1e-18 * problem.x.size)),
        residuals=residuals,
        noise=robust_scale(residuals, problem.free.shape[1]),
    )


def loss_scale(loss: Floats) -> float:
    """The lowest loss, which solvers divide by and bound E by; a few losses far below the others do not set it."""
    return max(float(loss.min()), 0.5 * float(np.quantile(loss, 0.25)))


def robust_scale(residuals: Floats, parameters: int) -> float:
    """Estimate the noise's standard deviation from the median absolute residual, corrected for fitted parameters."""
    degrees_of_freedom = residuals.size - parameters
    if degrees_of_freedom <= 0:
        return 0.0
    mad = float(np.median(np.abs(residuals)))
    return mad / MAD_TO_SIGMA * float(np.sqrt(residuals.size / degrees_of_freedom))


def outlier_weights(problem: Problem, theta: Floats, noise: float, most: float = MOST_SILENCED) -> Floats:
    """Weights of the points by their distance from each law: 1 up to DOUBTED σ, 0 from SILENT on; shape (k, n).

    Huber's function bounds the pull of an outlier but never ends it, and failed runs all pull to one side, above the
    law; a redescending weight (Hampel 1974) ends it at little cost on Gaussian noise.
    Where that would silence a share over `most` of the points, it is the law that is wrong, and all keep their weight.
    """
    away = np.abs(problem.z - predict(problem, theta)) / max(noise, LEAST_DELTA)
    trust = np.clip((SILENT - away) / (SILENT - DOUBTED), 0.0, 1.0)
    silenced = np.mean(trust < 0.5, axis=1, keepdims=True) > most
    return np.asarray(np.where(silenced, 1.0, trust))


def adapt_delta(problem: Problem, weights: Floats, found: Solutions) -> float:
    """Find the delta that is `EFFICIENT` times the noise of its own fit: a fixed point, reached from above."""
    theta = found.theta[[int(np.argmin(found.objective))]]
    delta = MOST_DELTA
    for _ in range(30):
        residuals = problem.z - predict(problem, theta)[0]
        scale = robust_scale(residuals, problem.free.shape[1])
        proposed = float(np.clip(EFFICIENT * scale, LEAST_DELTA, MOST_DELTA))
        if abs(proposed / delta - 1) < 1e-4:
            break
        delta = proposed
        theta = solve(problem, weights, theta, delta).theta
    return delta


def descend(
    problem: Problem,
    weights: Floats,
    theta: Floats,
    delta: float,
    *,
    largest: float = MOST_DELTA,
    iterations: int = 200,
) -> Solutions:
    """Solve with a delta that shrinks to the wanted one: near least squares first, where the landscape is smooth."""
    stages = max(int(np.ceil(np.log(max(largest / delta, 1.0)) / np.log(4.0))), 1)
    found = None
    for step in range(1, stages + 1):
        found = solve(problem, weights, theta, largest * (delta / largest) ** (step / stages), iterations=iterations)
        theta = found.theta
    assert found is not None
    return found
