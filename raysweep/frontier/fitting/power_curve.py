"""A power law of compute, E + F C^-gamma, with the straight lines of ln N* and ln D* beside it; and the lower envelope.

Approach 1 of 2203.15556 takes the lowest loss at each compute over all runs. It is biased where runs are few at some
computes and many at others: the lowest of many noisy losses lies lower than the lowest of few. Drop the warm-up of runs
before (the reader keeps points that left the plateau).
"""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.fitting.robust import MOST_DELTA, Minimum, adapt_delta, best_minimum, descend, loss_scale
from raysweep.frontier.laws.laws import Curve
from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.numerics.problem import Problem
from raysweep.frontier.numerics.solver import solve
from raysweep.frontier.numerics.starts import grid_starts
from raysweep.frontier.points.samples import Samples

STARTS = 64
LEAST_ENVELOPE = 4
"""Points on a bootstrap's envelope; the law has three parameters."""


@dataclass(frozen=True, kw_only=True)
class PowerCurve:
    """A power law fitted to losses; `centre` is the mean ln C and `scale` about the lowest loss."""

    problem: Problem
    minimum: Minimum
    centre: float
    scale: float


@dataclass(frozen=True, kw_only=True)
class EnvelopeFit:
    """A frontier fitted to the lower envelope: the curve, the power law behind it, and the points on the envelope."""

    curve: Curve
    power: PowerCurve
    chosen: Mask
    """Of the samples, in the order in which they were given."""


def on_envelope(samples: Samples, weights: Floats) -> Mask:
    """Mark the points whose loss is lower than that of every point of less or equal compute, per bootstrap (k, n)."""
    order = np.lexsort((samples.loss, samples.cost))
    loss = np.where(weights[:, order] * samples.weight[order] > 0, samples.loss[order], np.inf)
    before = np.minimum.accumulate(loss, axis=1)
    lowest = np.concatenate([np.full((loss.shape[0], 1), np.inf), before[:, :-1]], axis=1)
    chosen = np.zeros_like(weights, dtype=bool)
    chosen[:, order] = loss < lowest
    return chosen


def fit_power_curve(
    cost: Floats, loss: Floats, weights: Floats, asymptote: float | None, delta: float | None, seed: int
) -> PowerCurve:
    """Fit loss = E + F cost^-gamma to points of positive weights (n,); with `delta` None, delta follows the noise."""
    x = np.log(cost)
    centre, scale = float(x.mean()), loss_scale(loss)
    free, fixed = np.eye(5)[:, :3], np.zeros(5)
    if asymptote is not None:
        free, fixed[0] = free[:, 1:], asymptote / scale
    problem = Problem(x=x - centre, y=np.zeros_like(x), z=np.log(loss / scale), free=free, terms=1)
    start = grid_starts(problem, weights, STARTS, seed, fixed)
    found = solve(problem, weights[None, :], start, MOST_DELTA)
    if delta is None:
        delta = adapt_delta(problem, weights[None, :], found)
    found = descend(problem, weights[None, :], found.theta, delta)
    return PowerCurve(problem=problem, minimum=best_minimum(problem, found, delta), centre=centre, scale=scale)


Lines = tuple[Floats, Floats, Floats, Floats]
"""Intercept and slope of ln N*, intercept and slope of ln D*, in ln C."""


def to_curve(power: PowerCurve, theta: Floats, lines: Lines) -> Curve:
    """Combine power laws of theta (..., 5) with the lines of ln N* and ln D* to a frontier in the user's units."""
    log_scale = np.log(power.scale)
    return Curve(
        E=theta[..., 0] * power.scale,
        log_F=theta[..., 1] + theta[..., 2] * power.centre + log_scale,
        gamma=theta[..., 2],
        log_n=lines[0],
        params_exponent=lines[1],
        log_d=lines[2],
        data_exponent=lines[3],
    )


def straight_line(log_cost: Floats, values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Fit intercept and slope of values (n,) or (k, n) against ln C by least squares with weights of shape (k, n)."""
    total = weights.sum(axis=1)
    mean_x = (weights * log_cost).sum(axis=1) / total
    mean_y = (weights * values).sum(axis=1) / total
    away = log_cost - mean_x[:, None]
    spread = np.maximum((weights * away**2).sum(axis=1), 1e-300)
    slope = (weights * away * values).sum(axis=1) / spread
    return mean_y - slope * mean_x, slope


def _lines(samples: Samples, weights: Floats) -> Lines:
    log_cost = np.log(samples.cost)
    return (
        *straight_line(log_cost, np.log(samples.params), weights),
        *straight_line(log_cost, np.log(samples.data), weights),
    )


def fit_envelope(samples: Samples, asymptote: float | None, delta: float | None, seed: int) -> EnvelopeFit:
    """Fit the frontier to the envelope of the points."""
    chosen = on_envelope(samples, np.ones((1, samples.count)))[0]
    best = samples.take(chosen)
    power = fit_power_curve(best.cost, best.loss, best.weight, asymptote, delta, seed)
    lines = _lines(best, best.weight[None, :])
    single = lines[0][0], lines[1][0], lines[2][0], lines[3][0]
    return EnvelopeFit(curve=to_curve(power, power.minimum.theta, single), power=power, chosen=chosen)


def draw_envelopes(samples: Samples, fit: EnvelopeFit, weights: Floats) -> tuple[Curve, Mask]:
    """Refit every bootstrap, with its own envelope and power law; also return which refits are sound."""
    chosen = on_envelope(samples, weights)
    mass = np.where(chosen, samples.weight, 0.0)
    problem = Problem(
        x=np.log(samples.cost) - fit.power.centre,
        y=np.zeros(samples.count),
        z=np.log(samples.loss / fit.power.scale),
        free=fit.power.problem.free,
        terms=1,
    )
    start = np.repeat(fit.power.minimum.theta[None, :], weights.shape[0], axis=0)
    found = descend(problem, mass, start, fit.power.minimum.delta)
    enough = chosen.sum(axis=1) >= LEAST_ENVELOPE
    return to_curve(fit.power, found.theta, _lines(samples, mass)), found.converged & enough
