"""The joint fit of several families that share parameters: Newton's method on the profile of the shared ones.

With the shared parameters held, each family is fitted by itself; what is left is a function of the shared ones alone.
Its gradient is the families' own, and its Hessian their Schur complements, H_ss - H_sr H_rr^-1 H_rs: these are the
steps of Newton's method on all parameters at once, by block elimination. Families weigh by their noise: the objective
is the sum over families of their sums of Huber losses over their variance; of half their squared errors, whitened by
the noise of runs, where that is in the fit. All resamples are fitted in one batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.frontier.families.members import PLACES, AnyMember, HeldFits
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask
from raysweep.frontier.numerics.problem import Problem

_ITERATIONS = 60
_LONGEST = {"E": 0.25, "alpha": 0.3, "beta": 0.3}
"""Longest step: of E as a share of the lowest loss."""


@dataclass(frozen=True, kw_only=True)
class Joint:
    """The joint fits of a batch.

    Attributes:
        shared: in the user's units, shape (k, m). theta: of each family, (k, P).
        objectives: each family's own sum of Huber losses, shape (families, k).
        at_bound: of each family, (k, P). gradient_norm: of each family's own parameters, (families, k).
        converged: shape (k,).
    """

    shared: Floats
    theta: tuple[Floats, ...]
    objectives: Floats
    at_bound: tuple[Mask, ...]
    gradient_norm: Floats
    converged: Mask


def fit_jointly(parts: Sequence[AnyMember], names: Sequence[str], start: Floats, thetas: Sequence[Floats]) -> Joint:
    """Fit families with shared parameters, to each row of their weights.

    Args:
        parts: the families.
        names: of the shared parameters.
        start: of these, in the user's units, shape (k, m).
        thetas: of each family, to start from, (k, P).
    """
    low, high = _bounds(parts, names)
    shared = np.clip(start, low, high)
    state = _Profile(parts, names, shared, thetas)
    damping, converged = np.full(shared.shape[0], 1e-6), np.zeros(shared.shape[0], dtype=bool)
    longest = np.array([_LONGEST[name] for name in names]) * np.min([part.units(names) for part in parts], axis=0)
    active = np.arange(shared.shape[0])
    for _ in range(_ITERATIONS):
        step, decrement = _newton(state.gradient, state.hessian, shared, (low, high), damping, longest)
        converged[active] |= (decrement <= parts[0].tolerance * np.maximum(state.total, parts[0].least))[active]
        active = np.flatnonzero(~converged)
        if not active.size:
            break
        trial = np.clip(shared[active] + step[active], low, high)
        tried = _Profile(
            [part.take(active) for part in parts],
            names,
            trial,
            [theta[active] for theta in state.theta],
        )
        better = tried.total <= state.total[active] * (1 + 1e-13)
        state.take(active[better], tried, better)
        shared[active[better]] = trial[better]
        damping[active] = np.where(better, np.maximum(damping[active] * 0.1, 1e-12), damping[active] * 10.0 + 1e-6)
    return Joint(
        shared=shared,
        theta=tuple(state.theta),
        objectives=state.objectives,
        at_bound=tuple(state.at_bound),
        gradient_norm=state.gradient_norm,
        converged=converged & state.converged,
    )


class _Profile:
    """The families fitted with the shared parameters held, and the derivatives in these of what is left."""

    def __init__(
        self, parts: Sequence[AnyMember], names: Sequence[str], shared: Floats, thetas: Sequence[Floats]
    ) -> None:
        self.theta, self.at_bound = [], []
        objectives, norms = [], []
        self.gradient = np.zeros(shared.shape)
        self.hessian = np.zeros((*shared.shape, shared.shape[1]))
        self.converged = np.ones(shared.shape[0], dtype=bool)
        for part, theta in zip(parts, thetas, strict=True):
            moved, problem = part.directions(names)
            away = shared / part.units(names) - theta[:, [PLACES[name] for name in names]]
            started = theta + away @ moved.T
            found = part.solved(problem, started)
            gradient, hessian = _eliminated(found, moved / part.units(names), problem)
            self.gradient += gradient / part.variance[:, None]
            self.hessian += hessian / part.variance[:, None, None]
            self.theta.append(found.theta)
            self.at_bound.append(found.at_bound)
            objectives.append(found.objective)
            norms.append(found.gradient_norm)
            self.converged &= found.converged
        self.objectives, self.gradient_norm = np.array(objectives), np.array(norms)
        self.total = np.sum([one / part.variance for one, part in zip(objectives, parts, strict=True)], axis=0)

    def take(self, rows: Indices, other: "_Profile", better: Mask) -> None:
        """Take over some rows of another profile."""
        for name in ("gradient", "hessian", "total", "converged"):
            getattr(self, name)[rows] = getattr(other, name)[better]
        for mine, new in ((self.theta, other.theta), (self.at_bound, other.at_bound)):
            for place in range(len(mine)):
                mine[place][rows] = new[place][better]
        self.objectives[:, rows] = other.objectives[:, better]
        self.gradient_norm[:, rows] = other.gradient_norm[:, better]


def _eliminated(found: HeldFits, moved: Floats, problem: Problem) -> tuple[Floats, Floats]:
    """Derivatives in the shared directions, (k, m) and (k, m, m), once the others follow: the Schur complement."""
    free, gradient, hessian = problem.free, found.gradient, found.hessian
    movable = found.at_bound.astype(float) @ np.abs(free) == 0
    cross = np.where(movable[:, None, :], moved.T @ hessian @ free, 0.0)
    rest = free.T @ hessian @ free
    rest = np.where(movable[:, :, None] & movable[:, None, :], rest, np.eye(free.shape[1]))
    width = np.sqrt(np.maximum(np.abs(np.einsum("kpp->kp", rest)), 1e-300))
    scaled = rest / (width[:, :, None] * width[:, None, :]) + 1e-13 * np.eye(free.shape[1])
    cross = cross / width[:, None, :]
    follow = np.linalg.solve(scaled, cross.transpose(0, 2, 1))
    return np.asarray(gradient @ moved), np.asarray(moved.T @ hessian @ moved - cross @ follow)


def _bounds(parts: Sequence[AnyMember], names: Sequence[str]) -> tuple[Floats, Floats]:
    """The narrowest bounds of the families, in the user's units, each of shape (m,)."""
    places = [PLACES[name] for name in names]
    low = np.max([part.fit.prepared.problem.lower[places] * part.units(names) for part in parts], axis=0)
    high = np.min([part.fit.prepared.problem.upper[places] * part.units(names) for part in parts], axis=0)
    return low, high


def _newton(
    gradient: Floats, hessian: Floats, shared: Floats, bounds: tuple[Floats, Floats], damping: Floats, longest: Floats
) -> tuple[Floats, Floats]:
    """The damped step of the shared parameters, and the Newton decrement; a bound holds what is pushed against it."""
    held = ((shared <= bounds[0]) & (gradient > 0)) | ((shared >= bounds[1]) & (gradient < 0))
    slope = np.where(held, 0.0, gradient)
    curved = np.where(held[:, :, None] | held[:, None, :], np.eye(shared.shape[1]), hessian)
    width = np.sqrt(np.maximum(np.abs(np.einsum("kpp->kp", curved)), 1e-300))
    values, vectors = np.linalg.eigh(curved / (width[:, :, None] * width[:, None, :]))
    along = ((slope / width)[:, None, :] @ vectors)[:, 0, :]
    size = np.maximum(np.abs(values), 1e-10)
    step = -(vectors @ (along / (size + damping[:, None]))[:, :, None])[:, :, 0] / width
    shrink = np.maximum(np.max(np.abs(step) / longest, axis=1, keepdims=True), 1.0)
    return np.where(held, 0.0, step / shrink), np.asarray((along**2 / size).sum(axis=1))
