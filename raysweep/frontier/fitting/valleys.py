"""Valleys of loss against model size, one at each compute budget, fitted together (approach 2 of 2203.15556).

A parabola in ln N is biased on an asymmetric valley, noise-free, by +16 % to +30 % in N* for alpha/beta = 3
(2603.22339). Here a valley has the shape that an additive law gives it, E_k + A_k N^-alpha + B_k D^-beta with its own
E_k, A_k, B_k and exponents that all valleys share: as many coefficients per valley as a parabola, and no bias under the
law. D is the point's own, so that budgets which scatter by tens of per cent do no harm.
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from raysweep.frontier.fitting.budgets import log_budget_costs
from raysweep.frontier.laws.laws import CostModel
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask
from raysweep.frontier.points.samples import Samples

_CHUNK = 100
"""Bootstraps at once: more would not fit the processor's cache."""
_PRIOR_LOG, _PRIOR_SD = np.log(0.35), 1.5
"""A weak prior on ln alpha and ln beta, in units of noise: it decides only where valleys leave the shape open."""
_LOG_BOUNDS = np.log(0.02), np.log(4.0)


@dataclass(frozen=True, kw_only=True)
class Valleys:
    """The valleys of k fits; every array has a leading axis k.

    Attributes:
        exponents: alpha and beta, shape (k, 2).
        coefficients: E, A, B of each budget in the centred coordinates, shape (k, budgets, 3).
        params, data, loss: at the minimum, shape (k, budgets); `variance` is that of ln N* per unit noise.
        positive, inside: whether a valley has a minimum, and has it between the sizes that were run.
        objective, gradient_norm: of each fit, shape (k,). residuals: relative, shape (k, n).
    """

    exponents: Floats
    coefficients: Floats
    params: Floats
    data: Floats
    loss: Floats
    variance: Floats
    positive: Mask
    inside: Mask
    objective: Floats
    residuals: Floats
    gradient_norm: Floats

    @property
    def usable(self) -> Mask:
        """Whether a valley has a minimum between the smallest and the largest size that was run."""
        return self.positive & self.inside


@dataclass(frozen=True, kw_only=True)
class _Design:
    """Points by budget, centred; `one_hot` (n, budgets)."""

    x: Floats
    y: Floats
    loss: Floats
    one_hot: Floats
    label: Indices
    low: Floats
    high: Floats
    log_cost: Floats
    centre_x: float
    centre_y: float


def _design(samples: Samples, label: Indices) -> _Design:
    count = int(label.max()) + 1
    one_hot = (label[:, None] == np.arange(count)).astype(float)
    x, y = np.log(samples.params), np.log(samples.data)
    rows = [np.flatnonzero(label == k) for k in range(count)]
    return _Design(
        x=x - x.mean(),
        y=y - y.mean(),
        loss=samples.loss,
        one_hot=one_hot,
        label=label,
        low=np.array([x[r].min() for r in rows]),
        high=np.array([x[r].max() for r in rows]),
        log_cost=log_budget_costs(samples, label),
        centre_x=float(x.mean()),
        centre_y=float(y.mean()),
    )


def fit_valleys(
    samples: Samples,
    label: Indices,
    cost: CostModel,
    weights: Floats,
    *,
    start: Floats | None = None,
    noise: float = 0.0,
    delta: float = np.inf,
    iterations: int = 60,
) -> Valleys:
    """Fit the valleys of every bootstrap by Gauss-Newton on the two exponents, with the coefficients projected out.

    Args:
        samples: points that belong to a budget (label >= 0 throughout).
        label: budget of each point, shape (n,).
        cost: what N and D cost.
        weights: shape (k, n).
        start: exponents to start from, shape (2,).
        noise: standard deviation of relative losses, scales the weak prior (0 switches it off).
        delta: Huber's delta on relative residuals.
        iterations: limit of steps.
    """
    design = _design(samples, label)
    count = weights.shape[0]
    u = np.broadcast_to(np.log([0.35, 0.35] if start is None else start), (count, 2)).copy()
    chunks = [slice(low, low + _CHUNK) for low in range(0, count, _CHUNK)]
    parts = [_fit_chunk(design, cost, weights[rows], u[rows], noise, delta, iterations) for rows in chunks]
    return Valleys(
        **{name.name: np.concatenate([getattr(part, name.name) for part in parts]) for name in fields(Valleys)}
    )


def _fit_chunk(
    design: _Design, cost: CostModel, weights: Floats, u: Floats, noise: float, delta: float, iterations: int
) -> Valleys:
    count = weights.shape[0]
    damping = np.full(count, 1e-3)
    robust = weights
    state = _project(design, u, robust)
    value = _objective(state.residual, weights, delta) + _prior(u, noise)
    for _ in range(iterations):
        robust = weights * _huber_weights(state.residual, delta)
        state = _project(design, u, robust)
        step, gradient = _gauss_newton(state, robust, u, damping, noise)
        trial = np.clip(u + step, *_LOG_BOUNDS)
        tried = _project(design, trial, robust)
        new = _objective(tried.residual, weights, delta) + _prior(trial, noise)
        better = new <= value
        u = np.where(better[:, None], trial, u)
        damping = np.where(better, np.maximum(damping * 0.2, 1e-12), damping * 8.0)
        moved = np.where(better, np.abs(step).max(axis=1), np.where(damping > 1e8, 0.0, 1.0))
        state = _merge(state, tried, better)
        value = np.where(better, new, value)
        if np.all(moved < 1e-10):
            break
    scale = np.maximum((robust[:, :, None] * np.abs(state.tangent * state.residual[:, :, None])).sum(axis=1), 1e-300)
    return _minima(design, state, u, cost, value, np.max(np.abs(gradient) / np.maximum(scale, 1e-9), axis=1))


@dataclass
class _Projected:
    coefficients: Floats  # (k, budgets, 3)
    residual: Floats  # (k, n), relative
    tangent: Floats  # (k, n, 2), of the residual in ln alpha and ln beta, coefficients projected out
    normal: Floats  # (k, budgets, 3, 3)


def _project(design: _Design, u: Floats, weights: Floats) -> _Projected:
    alpha, beta = np.exp(u[:, :1]), np.exp(u[:, 1:])
    inverse = np.broadcast_to(1.0 / design.loss, weights.shape)
    first = np.exp(-alpha * design.x) * inverse
    second = np.exp(-beta * design.y) * inverse
    basis = (inverse, first, second)
    # Right-hand sides: the losses (1, relative), and what the two exponents do to the terms. Their own factors A and B
    # come out of the first solution.
    sides = (np.ones_like(first), -alpha * design.x * first, -beta * design.y * second)
    normal = np.empty((u.shape[0], design.one_hot.shape[1], 3, 3))
    moments = np.empty_like(normal)
    for i, one in enumerate(basis):
        weighted = one * weights
        for j in range(i, 3):
            normal[:, :, i, j] = normal[:, :, j, i] = (weighted * basis[j]) @ design.one_hot
        for j, side in enumerate(sides):
            moments[:, :, i, j] = (weighted * side) @ design.one_hot
    ridge = 1e-13 * np.einsum("kbii->kb", normal)[:, :, None, None] * np.eye(3)
    solved = np.linalg.solve(normal + ridge + 1e-300 * np.eye(3), moments)
    away = [side - _combine(design, basis, solved[:, :, :, j]) for j, side in enumerate(sides)]
    scale = solved[:, :, 1:, 0]
    tangent = np.stack([-away[j + 1] * scale[:, design.label, j] for j in range(2)], axis=2)
    return _Projected(solved[:, :, :, 0], away[0], tangent, normal)


def _combine(design: _Design, basis: tuple[Floats, Floats, Floats], coefficients: Floats) -> Floats:
    at_points = coefficients[:, design.label, :]
    return basis[0] * at_points[:, :, 0] + basis[1] * at_points[:, :, 1] + basis[2] * at_points[:, :, 2]


def _gauss_newton(
    state: _Projected, weights: Floats, u: Floats, damping: Floats, noise: float
) -> tuple[Floats, Floats]:
    tangent, residual = state.tangent, state.residual
    square = np.einsum("kni,knj,kn->kij", tangent, tangent, weights, optimize=True)
    gradient = np.einsum("kni,kn,kn->ki", tangent, residual, weights, optimize=True)
    prior = (noise / _PRIOR_SD) ** 2
    square = square + prior * np.eye(2)
    gradient = gradient + prior * (u - _PRIOR_LOG)
    diagonal = np.einsum("kii->ki", square)
    square = square + np.eye(2) * ((damping[:, None] * diagonal)[:, None, :] + 1e-300)
    step = -np.linalg.solve(square, gradient[:, :, None])[:, :, 0]
    return np.clip(step, -1.0, 1.0), gradient


def _objective(residual: Floats, weights: Floats, delta: float) -> Floats:
    psi = np.clip(residual, -delta, delta)
    return np.asarray((weights * psi * (residual - 0.5 * psi)).sum(axis=1))


def _prior(u: Floats, noise: float) -> Floats:
    return np.asarray(0.5 * (noise / _PRIOR_SD) ** 2 * ((u - _PRIOR_LOG) ** 2).sum(axis=1))


def _huber_weights(residual: Floats, delta: float) -> Floats:
    return np.asarray(np.minimum(1.0, delta / np.maximum(np.abs(residual), 1e-300)))


def _merge(old: _Projected, new: _Projected, better: Mask) -> _Projected:
    wide = better[:, None]
    return replace(
        old,
        coefficients=np.where(wide[:, :, None], new.coefficients, old.coefficients),
        residual=np.where(wide, new.residual, old.residual),
        tangent=np.where(wide[:, :, None], new.tangent, old.tangent),
        normal=np.where(wide[:, :, None, None], new.normal, old.normal),
    )


def _minima(
    design: _Design, state: _Projected, u: Floats, cost: CostModel, objective: Floats, gradient_norm: Floats
) -> Valleys:
    """Find where each valley is lowest at its budget's cost."""
    alpha, beta = np.exp(u[:, :1]), np.exp(u[:, 1:])
    p, q = float(cost.params_power), float(cost.data_power)
    base, first, second = (state.coefficients[:, :, j] for j in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.log(first * alpha / p) - np.log(second * beta / q)
        share = share + alpha * design.centre_x - beta * design.centre_y
        log_data_at_one = (design.log_cost - float(cost.log_kappa)) / q
        log_params = (share + beta * log_data_at_one) / (alpha + beta * p / q)
        log_data = log_data_at_one - log_params * p / q
        loss = (
            base
            + first * np.exp(-alpha * (log_params - design.centre_x))
            + second * np.exp(-beta * (log_data - design.centre_y))
        )
    return Valleys(
        exponents=np.exp(u),
        coefficients=state.coefficients,
        params=np.exp(log_params),
        data=np.exp(log_data),
        loss=loss,
        variance=_share_variance(state) / (alpha + beta * p / q) ** 2,
        positive=(first > 0) & (second > 0),
        inside=(log_params >= design.low) & (log_params <= design.high),
        objective=objective,
        residuals=state.residual,
        gradient_norm=gradient_norm,
    )


def _share_variance(state: _Projected) -> Floats:
    """Propagate unit noise to ln(A / B) of each valley, shape (k, budgets)."""
    first, second = state.coefficients[:, :, 1], state.coefficients[:, :, 2]
    with np.errstate(invalid="ignore", divide="ignore"):
        away = np.stack([np.zeros_like(first), 1.0 / first, -1.0 / second], axis=2)
    away = np.where(np.isfinite(away), away, 0.0)
    ridge = 1e-12 * np.einsum("kbii->kb", state.normal)[:, :, None, None] * np.eye(3)
    return np.asarray(np.einsum("kbi,kbij,kbj->kb", away, np.linalg.pinv(state.normal + ridge), away, optimize=True))
