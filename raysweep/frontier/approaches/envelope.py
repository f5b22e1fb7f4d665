"""Approach 1: the lowest loss at each compute over all runs, then a power law through it.

Biased where runs are few at some computes and many at others: the lowest of many noisy losses lies lower than the
lowest of few. Drop the warm-up of runs before (the reader keeps points that left the plateau).
"""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.approaches.parametric import (
    AGREES,
    MOST_DELTA,
    STARTS,
    adapt_delta,
    descend,
    robust_scale,
)
from raysweep.frontier.laws.laws import Curve
from raysweep.frontier.numerics.solver import Floats, Mask, Problem, predict, solve
from raysweep.frontier.numerics.starts import grid_starts
from raysweep.frontier.points.cleaning import Samples


@dataclass(frozen=True, kw_only=True)
class PowerCurve:
    """A fit of z = E + F C^-gamma and what the solver said about it."""

    problem: Problem
    theta: Floats
    centre: float
    scale: float
    delta: float
    objective: float
    gradient_norm: float
    starts: int
    agreeing: int
    converged: bool
    at_bound: Mask
    residuals: Floats
    noise: float


@dataclass(frozen=True, kw_only=True)
class EnvelopeFit:
    """What the envelope approach found: the curve, the power law behind it and which points lie on the envelope."""

    curve: Curve
    power: PowerCurve
    chosen: Mask
    """Of the samples, in the order in which they were given."""


def on_envelope(samples: Samples, weights: Floats) -> Mask:
    """Return which points have a lower loss than every point of less or equal compute, for each bootstrap (k, n)."""
    order = np.lexsort((samples.loss, samples.cost))
    loss = np.where(weights[:, order] > 0, samples.loss[order], np.inf)
    before = np.minimum.accumulate(loss, axis=1)
    lowest = np.concatenate([np.full((loss.shape[0], 1), np.inf), before[:, :-1]], axis=1)
    chosen = np.zeros_like(weights, dtype=bool)
    chosen[:, order] = loss < lowest
    return chosen


def fit_power_curve(
    cost: Floats, loss: Floats, weights: Floats, asymptote: float | None, delta: float | None, seed: int
) -> PowerCurve:
    """Fit loss = E + F cost^-gamma to points of weights (n,) from many starts; a weight of 0 leaves a point out."""
    x = np.log(cost)
    centre, scale = float(x.mean()), float(loss.min())
    free, fixed = np.eye(5)[:, :3], np.zeros(5)
    if asymptote is not None:
        free, fixed[0] = free[:, 1:], asymptote / scale
    problem = Problem(x=x - centre, y=np.zeros_like(x), z=np.log(loss / scale), free=free, terms=1)
    start = grid_starts(problem, weights, STARTS, seed, fixed)
    found = solve(problem, weights[None, :], start, MOST_DELTA)
    if delta is None:
        delta = adapt_delta(problem, weights[None, :], found)
    found = descend(problem, weights[None, :], found.theta, delta, MOST_DELTA)
    best = int(np.argmin(found.objective))
    floor = float(found.objective[best])
    residuals = problem.z - predict(problem, found.theta[[best]])[0]
    return PowerCurve(
        problem=problem,
        theta=found.theta[best],
        centre=centre,
        scale=scale,
        delta=delta,
        objective=floor,
        gradient_norm=float(found.gradient_norm[best]),
        starts=STARTS,
        agreeing=int(np.sum(found.objective <= floor * (1 + AGREES) + 1e-18 * x.size)),
        converged=bool(found.converged[best]),
        at_bound=found.at_bound[best],
        residuals=residuals,
        noise=robust_scale(residuals[weights > 0], free.shape[1]),
    )


def curve_of(power: PowerCurve, theta: Floats, through: tuple[Floats, Floats, Floats, Floats]) -> Curve:
    """Return the frontier: the power law of theta (..., 5) and the straight lines of ln N* and ln D* in ln C."""
    log_scale = np.log(power.scale)
    return Curve(
        E=theta[..., 0] * power.scale,
        log_F=theta[..., 1] + theta[..., 2] * power.centre + log_scale,
        gamma=theta[..., 2],
        log_n=through[0],
        params_exponent=through[1],
        log_d=through[2],
        data_exponent=through[3],
    )


def straight(log_cost: Floats, values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return intercept and slope of values against ln C by weighted least squares, for weights of shape (k, n).

    `values` has shape (n,) or (k, n).
    """
    total = weights.sum(axis=1)
    mean_x = (weights * log_cost).sum(axis=1) / total
    mean_y = (weights * values).sum(axis=1) / total
    away = log_cost - mean_x[:, None]
    spread = np.maximum((weights * away**2).sum(axis=1), 1e-300)
    slope = (weights * away * values).sum(axis=1) / spread
    return mean_y - slope * mean_x, slope


def _lines(samples: Samples, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    log_cost = np.log(samples.cost)
    return (
        *straight(log_cost, np.log(samples.params), weights),
        *straight(log_cost, np.log(samples.data), weights),
    )


def fit_envelope(samples: Samples, asymptote: float | None, delta: float | None, seed: int) -> EnvelopeFit:
    """Fit the frontier to the envelope of the points."""
    chosen = on_envelope(samples, np.ones((1, samples.count)))[0]
    best = samples.take(chosen)
    power = fit_power_curve(best.cost, best.loss, best.weight, asymptote, delta, seed)
    lines = _lines(best, best.weight[None, :])
    single = lines[0][0], lines[1][0], lines[2][0], lines[3][0]
    return EnvelopeFit(curve=curve_of(power, power.theta, single), power=power, chosen=chosen)


def draw_envelopes(samples: Samples, fit: EnvelopeFit, weights: Floats) -> tuple[Curve, Mask]:
    """Return the frontier of every bootstrap: its own envelope, its own power law."""
    chosen = on_envelope(samples, weights)
    mass = np.where(chosen, samples.weight, 0.0)
    problem = Problem(
        x=np.log(samples.cost) - fit.power.centre,
        y=np.zeros(samples.count),
        z=np.log(samples.loss / fit.power.scale),
        free=fit.power.problem.free,
        terms=1,
    )
    start = np.repeat(fit.power.theta[None, :], weights.shape[0], axis=0)
    found = descend(problem, mass, start, fit.power.delta, MOST_DELTA)
    enough = chosen.sum(axis=1) >= 4
    return curve_of(fit.power, found.theta, _lines(samples, mass)), found.converged & enough
