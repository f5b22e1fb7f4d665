"""The valley of the loss about the best hyperparameters, and the law of its bottom; fitted by weighted least squares.

In a cell, that is at one N and D, with u the log distances of a run's hyperparameters from the best ones,

    ln L = g + e^(s n + t d) P(u),    P(u) = u' Q u / 2 + cubic terms,    u_j = ln h_j - (c_j + a_j ln N + b_j ln D)

g is the cell's own; the valley's shape (Q, and cubic terms, which make it steeper towards high learning rates) is
shared by all cells up to a factor that changes with N and D. P has no linear term, so the valley's bottom is at u = 0.
Many refits are solved at once: arrays have a leading axis b.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raysweep.frontier.numerics.arrays import Floats, Indices, Mask

_MOST_SLOPE = 3.0
"""Largest magnitude of s n + t d: beyond it the factor would be e^3 at some cell."""


@dataclass(frozen=True, kw_only=True)
class Valley:
    """The runs that a surface is fitted to, sorted by cell.

    Attributes:
        logs: ln of learning rate, of batch size, or of both, shape (n, axes), centred.
        loss: ln L, shape (n,).
        cell: number of each run's cell, shape (n,), from 0, rising.
        designs: for each axis the regressors of its best value, shape (cells, coefficients).
        scale: regressors of the factor of the valley's shape, shape (cells, 0 to 2).
        cubic: whether the shape has cubic terms.
    """

    logs: Floats
    loss: Floats
    cell: Indices
    designs: tuple[Floats, ...]
    scale: Floats
    cubic: bool

    @cached_property
    def starts(self) -> Indices:
        """First run of each cell, shape (cells,)."""
        return np.flatnonzero(np.r_[True, np.diff(self.cell) > 0])

    @cached_property
    def axes(self) -> int:
        """1 or 2."""
        return len(self.designs)

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Places in theta: the coefficients of each axis, the shape (quadratic, cubic), the factor's slopes."""
        sizes = [design.shape[1] for design in self.designs]
        sizes += [_terms(self.axes, self.cubic), self.scale.shape[1]]
        ends = np.cumsum(sizes)
        return tuple(slice(int(end - size), int(end)) for size, end in zip(sizes, ends, strict=True))

    @property
    def parameters(self) -> int:
        """Length of theta."""
        return int(self.places[-1].stop)


def _terms(axes: int, cubic: bool) -> int:
    return {1: 2, 2: 7}[axes] if cubic else {1: 1, 2: 3}[axes]


def distances(valley: Valley, theta: Floats) -> Floats:
    """Log distances u of the runs from the best hyperparameters, shape (b, n, axes)."""
    best = [theta[:, place] @ design.T for place, design in zip(valley.places, valley.designs, strict=False)]
    return np.stack([valley.logs[:, j] - one[:, valley.cell] for j, one in enumerate(best)], axis=-1)


def factor(valley: Valley, theta: Floats) -> Floats:
    """The factor of the valley's shape at each run, shape (b, n)."""
    slope = np.clip(theta[:, valley.places[-1]] @ valley.scale.T, -_MOST_SLOPE, _MOST_SLOPE)
    return np.asarray(np.exp(slope)[:, valley.cell])


def shape_terms(u: Floats, cubic: bool) -> Floats:
    """The terms of P, shape (..., terms), at distances of shape (..., axes)."""
    x = u[..., 0]
    if u.shape[-1] == 1:
        terms = [x**2 / 2] + ([x**3 / 6] if cubic else [])
    else:
        y = u[..., 1]
        terms = [x**2 / 2, x * y, y**2 / 2]
        terms += [x**3 / 6, x**2 * y / 2, x * y**2 / 2, y**3 / 6] if cubic else []
    return np.stack(terms, axis=-1)


def shape_slopes(u: Floats, shape: Floats) -> list[Floats]:
    """dP/du of each axis, at distances of shape (b, n, axes) and shapes of shape (b, terms)."""
    x, one = u[..., 0], shape[:, None, :]
    cubic = shape.shape[-1] in (2, 7)
    if u.shape[-1] == 1:
        return [one[..., 0] * x + (one[..., 1] * x**2 / 2 if cubic else 0.0)]
    y = u[..., 1]
    along_x = one[..., 0] * x + one[..., 1] * y
    along_y = one[..., 1] * x + one[..., 2] * y
    if cubic:
        along_x = along_x + one[..., 3] * x**2 / 2 + one[..., 4] * x * y + one[..., 5] * y**2 / 2
        along_y = along_y + one[..., 4] * x**2 / 2 + one[..., 5] * x * y + one[..., 6] * y**2 / 2
    return [along_x, along_y]


def curvature(shape: Floats, axes: int) -> Floats:
    """The matrix Q, shape (b, axes, axes)."""
    if axes == 1:
        return shape[:, :1, None]
    return np.stack([shape[:, [0, 1]], shape[:, [1, 2]]], axis=1)


def is_valley(valley: Valley, theta: Floats) -> Mask:
    """Whether Q is positive definite, so that the surface has a lowest point, shape (b,)."""
    lowest = np.linalg.eigvalsh(curvature(theta[:, valley.places[-2]], valley.axes))[:, 0]
    return np.asarray(lowest > 0)


def height(valley: Valley, theta: Floats) -> Floats:
    """Quadratic part of the excess of ln L over the valley's bottom, shape (b, n)."""
    u, q = distances(valley, theta), curvature(theta[:, valley.places[-2]], valley.axes)
    return np.asarray(factor(valley, theta) * 0.5 * np.einsum("bni,bij,bnj->bn", u, q, u))


def _model(valley: Valley, theta: Floats) -> tuple[Floats, Floats]:
    """Excess over the bottom, shape (b, n), and its derivatives by theta, shape (b, n, parameters)."""
    u, scale = distances(valley, theta), factor(valley, theta)
    shape = theta[:, valley.places[-2]]
    terms = shape_terms(u, valley.cubic)
    value = scale * np.einsum("bnt,bt->bn", terms, shape)
    jacobian = np.empty((*value.shape, valley.parameters))
    for place, design, slope in zip(valley.places, valley.designs, shape_slopes(u, shape), strict=False):
        jacobian[..., place] = -(scale * slope)[..., None] * design[valley.cell]
    jacobian[..., valley.places[-2]] = scale[..., None] * terms
    jacobian[..., valley.places[-1]] = value[..., None] * valley.scale[valley.cell]
    return value, jacobian


def residuals(valley: Valley, theta: Floats, weights: Floats) -> Floats:
    """Of ln L about the surface, each cell's level taken from its weighted runs, shape (b, n)."""
    return _centred(valley, (valley.loss - _value(valley, theta))[..., None], weights)[..., 0]


def _value(valley: Valley, theta: Floats) -> Floats:
    terms = shape_terms(distances(valley, theta), valley.cubic)
    return np.asarray(factor(valley, theta) * np.einsum("bnt,bt->bn", terms, theta[:, valley.places[-2]]))


def _centred(valley: Valley, columns: Floats, weights: Floats) -> Floats:
    """Columns less their weighted mean in each cell, shape (b, n, m)."""
    total = np.maximum(np.add.reduceat(weights, valley.starts, axis=1), 1e-300)
    mean = np.add.reduceat(columns * weights[..., None], valley.starts, axis=1) / total[..., None]
    return np.asarray(columns - mean[:, valley.cell])


@dataclass(frozen=True, kw_only=True)
class Solved:
    """Solutions of b weighted least-squares problems.

    Attributes:
        theta: shape (b, parameters). information: J'WJ there, shape (b, parameters, parameters).
        objective: weighted sum of squares, shape (b,). gradient_norm: gradient over the sum of what cancels in it.
    """

    theta: Floats
    information: Floats
    objective: Floats
    gradient_norm: Floats


def solve(valley: Valley, theta: Floats, weights: Floats, iterations: int = 50, tolerance: float = 1e-7) -> Solved:
    """Fit the surface by damped Gauss-Newton.

    Args:
        valley: the runs.
        theta: starts, shape (b, parameters).
        weights: shape (b, n).
        iterations: limit.
        tolerance: length of a step in the metric of J'WJ, over the root of the objective, that ends the search.
    """
    theta = theta.copy()
    damping = np.full(theta.shape[0], 1e-4)
    state = _normal(valley, theta, weights)
    for _ in range(iterations):
        information, gradient, objective, scale = state
        diagonal = np.einsum("bpp->bp", information)
        damped = information + np.einsum("bp,pq->bpq", damping[:, None] * diagonal + 1e-300, np.eye(diagonal.shape[1]))
        step = _steps(damped, gradient)
        tried = _normal(valley, theta + step, weights)
        better = tried[2] <= objective * (1 + 1e-14)
        theta[better] += step[better]
        state = tuple(_chosen(better, new, old) for new, old in zip(tried, state, strict=True))  # type: ignore[assignment]
        damping = np.clip(np.where(better, damping * 0.1, damping * 8.0), 1e-12, 1e8)
        size = np.sqrt(np.einsum("bp,bp->b", step**2, np.maximum(diagonal, 0.0)))
        if np.all(size <= tolerance * np.sqrt(objective + 1e-300)):
            break
    information, gradient, objective, scale = state
    norm = np.max(np.abs(gradient) / np.maximum(scale, 1e-300), axis=1)
    return Solved(theta=theta, information=information, objective=objective, gradient_norm=np.asarray(norm))


def _normal(valley: Valley, theta: Floats, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """J'WJ, J'Wr, r'Wr, and the sum of the magnitudes in J'Wr."""
    value, jacobian = _model(valley, theta)
    left = _centred(valley, (valley.loss - value)[..., None], weights)[..., 0]
    inner = _centred(valley, jacobian, weights)
    weighted = inner * weights[..., None]
    information = np.matmul(weighted.transpose(0, 2, 1), inner)
    parts = weighted * left[..., None]
    return information, parts.sum(axis=1), np.sum(weights * left**2, axis=1), np.abs(parts).sum(axis=1)


def _steps(matrix: Floats, gradient: Floats) -> Floats:
    """Solve the normal equations, scaled to a unit diagonal."""
    root = np.sqrt(np.maximum(np.einsum("bpp->bp", matrix), 1e-300))
    scaled = matrix / (root[:, :, None] * root[:, None, :])
    scaled = scaled + 1e-13 * np.eye(scaled.shape[-1])
    return np.asarray(np.linalg.solve(scaled, (gradient / root)[..., None])[..., 0] / root)


def _chosen(better: Mask, new: Floats, old: Floats) -> Floats:
    return np.asarray(np.where(better.reshape((-1,) + (1,) * (new.ndim - 1)), new, old))
