"""Draws of a law as the noise of its runs leaves it open, and the law without each run in turn."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from raysweep.frontier.fitting.run_noise.covariance import sample
from raysweep.frontier.fitting.run_noise.mixed import MixedFit, uniform
from raysweep.frontier.fitting.run_noise.refits import refit
from raysweep.frontier.fitting.run_noise.runs import Memory, Runs, draw_errors, whiten
from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.numerics.intervals import MANY_UNITS
from raysweep.frontier.numerics.jackknife import newton_steps
from raysweep.frontier.numerics.problem import Problem
from raysweep.frontier.numerics.solver import predict

_BATCH = 1_000_000
"""Numbers in the whitened Jacobian of the draws that are fitted at once."""
_MANY = 5000
"""Numbers in the Jacobian from which on batches are an eighth of that, which stays in the cache."""
_ENOUGH = 1e4
"""Variances of the noise that the tolerance of a draw's fit is a share of at the least: with 1e-8, its last step begins
within 1 % of a standard error."""
_SHORT = 1e-3
"""Variances of the noise that the square of a draw's last step is at most, where runs are many: .03 standard errors."""
_RIDGE = 1e-10


def draw_mixed(mixed: MixedFit, count: int, seed: int) -> tuple[Floats, Mask]:
    """Draw laws from their uncertainty given the noise, shape (count, 5); also return which of the fits converged.

    Draw k of each family of a posterior is of the same covariance.
    """
    noise, level, normal = draw_noise(mixed, count, seed)
    if mixed.independent:
        return _draw_independent(mixed, noise, level, (seed, mixed.place))
    numbers = mixed.deviations.jacobian.size
    batch = max((_BATCH if numbers < _MANY else _BATCH // 8) // numbers, 1)
    order = np.lexsort((noise.slope, noise.white, noise.memory))  # equal covariances side by side are whitened once
    found = [
        _draw(mixed, noise.take(part), normal[part], level[part])
        for part in (order[start : start + batch] for start in range(0, count, batch))
    ]
    back = np.argsort(order)
    return np.concatenate([one[0] for one in found])[back], np.concatenate([one[1] for one in found])[back]


def draw_noise(mixed: MixedFit, count: int, seed: int) -> tuple[Memory, Floats, Floats]:
    """Draw covariances of the posterior, their standard deviations (count,), and standard normal numbers (count, p)."""
    parameters = mixed.deviations.jacobian.shape[1]
    common, own = uniform(count, 1, seed), uniform(count, 1 + parameters, seed, 1 + mixed.place)
    which, level = sample(mixed.posterior, mixed.place, np.column_stack([common, own[:, 0]]))
    normal = ndtri(np.clip(own[:, 1:], 1e-9, 1.0 - 1e-9))
    return mixed.posterior.memory.take(which), np.exp(level), normal


def _draw_independent(mixed: MixedFit, noise: Memory, level: Floats, seed: tuple[int, int]) -> tuple[Floats, Mask]:
    """Fit the law of independent points to its own losses with errors of each covariance."""
    problem, runs = mixed.fit.prepared.problem, mixed.deviations.runs
    start = np.repeat(mixed.fit.minimum.theta[None, :], level.size, axis=0)
    moved = replace(problem, z=predict(problem, start[:1]) + draw_errors(runs, noise, np.log(level), seed))
    found = refit(moved, runs, mixed.memory.take(np.zeros(level.size, dtype=np.int64)), start)
    return found.theta, found.converged


def _draw(mixed: MixedFit, noise: Memory, normal: Floats, level: Floats) -> tuple[Floats, Mask]:
    """Fit the law to drawn losses. Where runs are many, the move and one step lead to the fit."""
    problem, theta, runs = mixed.fit.prepared.problem, mixed.fit.minimum.theta, mixed.deviations.runs
    tangent = _tangent(mixed, noise)
    losses, moved = _moved(mixed, tangent, normal, level)
    target, least = replace(problem, z=losses), _ENOUGH * level**2
    if runs.place.shape[0] < MANY_UNITS:
        found = refit(target, runs, noise, np.repeat(theta[None, :], normal.shape[0], axis=0), least=least)
        return found.theta, found.converged
    start = theta + moved @ problem.free.T
    step, length = _further(target, runs, noise, start, tangent)
    start += step @ problem.free.T
    movable = np.abs(problem.free).sum(axis=1) > 0
    inside = np.all(~movable | ((start > problem.lower) & (start < problem.upper)), axis=1)
    good = inside & (length <= _SHORT * level**2)
    if not good.all():
        left = np.flatnonzero(~good)
        rest = replace(target, z=target.z[left])
        found = refit(rest, runs, noise.take(left), start[left], least=least[left])
        start[left], good[left] = found.theta, found.converged
    return start, good


def draw_losses(mixed: MixedFit, noise: Memory, normal: Floats, level: Floats) -> tuple[Floats, Floats]:
    """Move the law's losses along its tangent by an error of each covariance and of its level (k,).

    `normal` (k, p) is standard normal. Returned are ln losses (k, n) and by how much the free parameters moved (k, p).
    """
    return _moved(mixed, _tangent(mixed, noise), normal, level)


@dataclass(frozen=True)
class _Tangent:
    """The whitened Jacobian (k, n, p), the axes of its Gram matrix with their values, and the residuals along them."""

    jacobian: Floats
    own: Floats
    values: Floats
    vectors: Floats


def _tangent(mixed: MixedFit, noise: Memory) -> _Tangent:
    columns = np.column_stack([mixed.deviations.jacobian, mixed.deviations.residuals])
    form = np.stack([noise.memory, noise.white, noise.slope], axis=1)
    _, first, same = np.unique(form, axis=0, return_index=True, return_inverse=True)
    white, _ = whiten(mixed.deviations.runs, noise.take(first), columns[None])
    white = white[same.reshape(-1)]
    gram = white.transpose(0, 2, 1) @ white
    values, vectors = np.linalg.eigh(gram[:, :-1, :-1])
    values = np.maximum(values, _RIDGE * values[:, -1:])
    along = (gram[:, None, -1, :-1] @ vectors)[:, 0, :]
    return _Tangent(white[..., :-1], along, values, vectors)


def _moved(mixed: MixedFit, tangent: _Tangent, normal: Floats, level: Floats) -> tuple[Floats, Floats]:
    problem, theta = mixed.fit.prepared.problem, mixed.fit.minimum.theta
    # Each covariance has its own best fit, off the one of the mean covariance; errors are about that.
    along = tangent.own / tangent.values + level[:, None] * normal / np.sqrt(tangent.values)
    moved = (tangent.vectors @ along[..., None])[..., 0]
    return predict(problem, theta[None, :]) + moved @ mixed.deviations.jacobian.T, moved


def _further(target: Problem, runs: Runs, noise: Memory, start: Floats, tangent: _Tangent) -> tuple[Floats, Floats]:
    """A Gauss-Newton step (k, p) by the tangent nearby, and its squared length in units of the losses' variance."""
    error, _ = whiten(runs, noise, (target.z - predict(target, start))[..., None])
    along = ((tangent.jacobian.transpose(0, 2, 1) @ error)[..., 0][:, None, :] @ tangent.vectors)[:, 0, :]
    step = (tangent.vectors @ (along / tangent.values)[..., None])[..., 0]
    return step, np.asarray((along**2 / tangent.values).sum(axis=1))


def without_each_run(mixed: MixedFit) -> Floats:
    """Fit the law without each run in turn, shape (runs, 5); by one step from the optimum where runs are many."""
    count = mixed.deviations.runs.place.shape[0]
    if count >= MANY_UNITS:
        return _step_without_each_run(mixed)
    noise = mixed.memory.take(np.zeros(count, dtype=np.int64))
    start = np.repeat(mixed.fit.minimum.theta[None, :], count, axis=0)
    kept = 1.0 - np.eye(count)
    return refit(mixed.fit.prepared.problem, mixed.deviations.runs, noise, start, kept=kept).theta


def _step_without_each_run(mixed: MixedFit) -> Floats:
    """The Gauss-Newton step to the fit without each run, as `numerics.jackknife` takes it, shape (runs, 5)."""
    problem, runs, minimum = mixed.fit.prepared.problem, mixed.deviations.runs, mixed.fit.minimum
    movable = minimum.at_bound.astype(float) @ np.abs(problem.free) == 0
    jacobian, free = mixed.deviations.jacobian[:, movable], problem.free[:, movable]
    white, _ = whiten(runs, mixed.memory, np.column_stack([jacobian, mixed.deviations.residuals])[None])
    of_run = white.reshape(*runs.place.shape, -1)
    gram = of_run.transpose(0, 2, 1) @ of_run
    rest = gram.sum(axis=0) - gram
    step = newton_steps(rest[:, :-1, :-1], rest[:, :-1, -1])
    return np.asarray(np.clip(minimum.theta + step @ free.T, problem.lower, problem.upper))
