"""One family as a joint fit sees it: its law with the shared parameters held, and the derivatives about that.

Points are independent and drawn anew by their weights (`Member`), or runs have noise, and losses are drawn instead
(`NoisyMember`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from raysweep.frontier.fitting.robust import LEAST_DELTA
from raysweep.frontier.fitting.run_noise.mixed import MixedFit
from raysweep.frontier.fitting.run_noise.refits import gradient, refit
from raysweep.frontier.fitting.run_noise.runs import Memory, whiten
from raysweep.frontier.fitting.surfaces import SurfaceFit
from raysweep.frontier.laws.forms import ALPHA, BETA, E
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask
from raysweep.frontier.numerics.problem import Problem
from raysweep.frontier.numerics.solver import evaluate, predict, solve

PLACES = {"E": E, "alpha": ALPHA, "beta": BETA}
"""Parameters that may be shared, and their places in the solver's theta."""
_PRECISE = 1e-12
"""Tolerance of the fits with the shared parameters held: below that of the joint fit."""


@dataclass(frozen=True, kw_only=True)
class HeldFits:
    """Fits of a batch with the shared parameters held.

    Attributes:
        theta, at_bound: shape (k, P). objective, gradient_norm, converged: shape (k,).
        gradient, hessian: of the objective in all of theta, (k, P) and (k, P, P).
    """

    theta: Floats
    at_bound: Mask
    objective: Floats
    gradient_norm: Floats
    converged: Mask
    gradient: Floats
    hessian: Floats


@dataclass(frozen=True, kw_only=True)
class _Family:
    """What both kinds know: `fit` is the family's own, all parameters free."""

    fit: SurfaceFit

    def units(self, names: Sequence[str]) -> Floats:
        """The user's unit of each shared parameter in the solver's: E is divided by the family's scale."""
        return np.array([self.fit.prepared.scale if name == "E" else 1.0 for name in names])

    def directions(self, names: Sequence[str]) -> tuple[Floats, Problem]:
        """The directions of theta that shared parameters move, shape (P, m), and the problem without them."""
        problem = self.fit.prepared.problem
        shared = [int(np.flatnonzero(problem.free[PLACES[name]])[0]) for name in names]
        rest = np.setdiff1d(np.arange(problem.free.shape[1]), shared)
        return problem.free[:, shared], replace(problem, free=problem.free[:, rest])


@dataclass(frozen=True, kw_only=True)
class Member(_Family):
    """A family of independent points, or of trajectories that are drawn whole.

    Attributes:
        weights: of its points in each fit of the batch, shape (k, n).
    """

    weights: Floats
    tolerance = 1e-12
    """Share of the objective that the joint fit may still fall by."""
    least = 1e-20

    @property
    def variance(self) -> Floats:
        """Of its points, in ln loss, shape (1,)."""
        return np.array([max(self.fit.minimum.noise, LEAST_DELTA) ** 2])

    @property
    def freedom(self) -> int:
        """Points less parameters."""
        problem = self.fit.prepared.problem
        return max(int(problem.x.size) - int(problem.free.shape[1]), 1)

    def take(self, rows: Indices) -> "Member":
        """Some fits of the batch."""
        return replace(self, weights=self.weights[rows])

    def solved(self, problem: Problem, start: Floats) -> HeldFits:
        """Fit the parameters that the problem leaves free, from theta (k, P)."""
        delta = self.fit.minimum.delta
        found = solve(problem, self.weights, start, delta)
        state = evaluate(problem, found.theta, self.weights, np.full((start.shape[0], 1), delta))
        return HeldFits(
            theta=found.theta,
            at_bound=found.at_bound,
            objective=found.objective,
            gradient_norm=found.gradient_norm,
            converged=found.converged,
            gradient=state.gradient,
            hessian=state.hessian,
        )

    def rise(self, objective: float) -> float:
        """Rise of the objective over that of the free fit, in units of the points' variance."""
        own = max(self.fit.minimum.objective, 1e-300)
        return (objective - own) / own * self.freedom


@dataclass(frozen=True, kw_only=True)
class NoisyMember(_Family):
    """A family whose runs have noise: a batch of losses, each with its covariance.

    Attributes:
        mixed: the family's own fit with the noise of runs; `fit` is its law.
        noise, level: k covariances up to the level, and their standard deviations, shape (k,).
        losses: ln loss in the solver's unit, shape (k, n).
        kept: 1 for each run that a fit sees, 0 for one that it does not, shape (k, r).
    """

    mixed: MixedFit
    noise: Memory
    level: Floats
    losses: Floats
    kept: Floats
    tolerance = 1e-6
    """In units of the noise's variance, so that the last step is below a thousandth of a standard error."""
    least = 1.0

    @property
    def variance(self) -> Floats:
        """Of a run at the size where its level is taken, shape (k,)."""
        return np.asarray(self.level**2)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the noise of runs."""
        return max(int(self.mixed.noise.degrees_of_freedom), 1)

    def take(self, rows: Indices) -> "NoisyMember":
        """Some fits of the batch."""
        return replace(
            self,
            noise=self.noise.take(rows),
            level=self.level[rows],
            losses=self.losses[rows],
            kept=self.kept[rows],
        )

    def solved(self, problem: Problem, start: Floats) -> HeldFits:
        """Fit the parameters that the problem leaves free, from theta (k, P)."""
        runs, problem = self.mixed.deviations.runs, replace(problem, z=self.losses)
        found = refit(problem, runs, self.noise, start, kept=self.kept, least=self.variance, tolerance=_PRECISE)
        every = replace(problem, free=np.eye(start.shape[1]))
        errors = self.losses - predict(problem, found.theta)
        white, _ = whiten(runs, self.noise, np.concatenate([gradient(every, found.theta), errors[..., None]], axis=2))
        white *= np.repeat(self.kept, runs.place.shape[1], axis=1)[..., None]
        jacobian, error = white[..., :-1], white[..., -1:]
        return HeldFits(
            theta=found.theta,
            at_bound=found.at_bound,
            objective=0.5 * found.squares,
            gradient_norm=found.gradient_norm,
            converged=found.converged,
            gradient=-(jacobian.transpose(0, 2, 1) @ error)[..., 0],
            hessian=jacobian.transpose(0, 2, 1) @ jacobian,
        )

    def rise(self, objective: float) -> float:
        """Rise of the squares over those of the free fit, in units of the noise's variance."""
        return 2.0 * (objective - self.fit.minimum.objective) / float(self.variance[0])


AnyMember: TypeAlias = Member | NoisyMember
