"""The surface of one set of cells: a start, robust weights, and the window about the optimum.

A valley is a parabola with a cubic term only near its bottom, and steep where training nearly diverges. Runs therefore
weigh 1 - h / w by the height h of the parabola above its bottom (the kernel of Epanechnikov in the distance; it asks
the fitted surface and not the noisy losses), and w is the largest of a ladder whose law agrees with those of all
smaller windows within their standard errors (Lepski 1990).
"""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.fitting.robust import DOUBTED, EFFICIENT, LEAST_DELTA, SILENT, robust_scale
from raysweep.frontier.hyperparameters.surface import (
    Valley,
    distances,
    height,
    is_valley,
    residuals,
    solve,
)
from raysweep.frontier.numerics.arrays import Floats, Mask

LOWEST_WINDOW = 6.0
"""Noises: in a lower window the valley does not rise above the noise, and its shape is a guess."""
LADDER = 1.5
"""Ratio of a window to the next smaller one."""
AGREE = 0.8
"""Standard errors of the smaller window by which a larger one's law may differ from it, in quadratic mean over its
coefficients; about 0.7 is noise alone."""
ENOUGH = 2.0
"""Runs of the smallest window over coefficients: with fewer their scatter is not known well enough to compare."""
_ROUNDS = 15
_LOWEST_SHARE = 0.12
_BEYOND = 1.0 + 1e-9


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """A surface.

    Attributes:
        theta: shape (parameters,). kernel, trust: weights of the runs by height and by residual, shape (n,).
        window: height in ln L at which a run weighs nothing.
        noise: robust standard deviation of ln L about the surface. residuals: shape (n,).
        covariance: of theta from the runs' own scatter, shape (parameters, parameters).
        gradient_norm: largest gradient component over the sum of the contributions that cancel in it.
    """

    theta: Floats
    kernel: Floats
    trust: Floats
    window: float
    noise: float
    residuals: Floats
    covariance: Floats
    gradient_norm: float


def estimate(valley: Valley, weight: Floats) -> Estimated | None:
    """Fit the surface in the window that the rule chooses; None where the runs show no valley."""
    first = _first(valley, weight)
    if first is None:
        return None
    heights = height(valley, first.theta[None])[0]
    chosen: Estimated | None = None
    smaller: list[Estimated] = []
    for window in _ladder(valley, heights, first.noise):
        found = _in_window(valley, weight, first.theta if chosen is None else chosen.theta, window)
        if found is None:
            continue
        if smaller and not all(_agree(valley, found, one) for one in smaller):
            break
        chosen = found
        smaller.append(found)
    return first if chosen is None else chosen


def _ladder(valley: Valley, heights: Floats, noise: float) -> Floats:
    """Windows from the smallest informative one to the one that contains all runs."""
    enough = min(ENOUGH * (valley.parameters + valley.starts.size), heights.size)
    most = float(heights.max()) * _BEYOND
    least = max(LOWEST_WINDOW * noise, float(np.sort(heights)[int(np.ceil(enough)) - 1]) * _BEYOND)
    if least >= most:
        return np.array([most])
    steps = int(np.ceil(np.log(most / least) / np.log(LADDER)))
    return np.asarray(np.minimum(least * LADDER ** np.arange(steps + 1), most))


def _agree(valley: Valley, found: Estimated, smaller: Estimated) -> bool:
    law = slice(0, valley.places[-2].start)
    away = found.theta[law] - smaller.theta[law]
    return bool(away @ np.linalg.pinv(smaller.covariance[law, law], hermitian=True) @ away <= AGREE**2 * away.size)


def _first(valley: Valley, weight: Floats) -> Estimated | None:
    """Fit the lower half or so of the runs, from the centres of each cell's lowest ones."""
    theta = _start(valley)
    for share in (0.5, 0.7, 0.9, 1.0):
        for _ in range(3):
            window = float(np.quantile(height(valley, theta[None])[0], share)) * _BEYOND
            found = _in_window(valley, weight, theta, window)
            if found is None:
                break
            theta = found.theta
        if found is not None:
            return found
    return None


def _start(valley: Valley) -> Floats:
    """Laws through the centres of the lowest runs of each cell, and a round valley about them."""
    cells = valley.starts.size
    best, excess = np.zeros((cells, valley.axes)), np.zeros(valley.loss.size)
    for cell in range(cells):
        inside = np.flatnonzero(valley.cell == cell)
        lowest = inside[np.argsort(valley.loss[inside])][: max(1, round(_LOWEST_SHARE * inside.size))]
        best[cell] = valley.logs[lowest].mean(axis=0)
        excess[inside] = valley.loss[inside] - valley.loss[lowest[0]]
    theta = np.zeros(valley.parameters)
    for axis, (place, design) in enumerate(zip(valley.places, valley.designs, strict=False)):
        theta[place] = np.linalg.lstsq(design, best[:, axis], rcond=None)[0]
    near = excess <= np.quantile(excess, 0.6)
    half = 0.5 * np.sum(distances(valley, theta[None])[0][near] ** 2, axis=1)
    steep = max(float(np.sum(excess[near] * half) / max(np.sum(half**2), 1e-300)), 1e-9)
    first = valley.places[-2].start
    theta[first] = steep
    if valley.axes == 2:
        theta[first + 2] = steep
    return theta


def _in_window(valley: Valley, weight: Floats, theta: Floats, window: float) -> Estimated | None:
    """Fit with kernel and robust weights until both stand still; None where that is no valley or runs are too few."""
    trust, noise = np.ones(valley.loss.size), 0.0
    for _ in range(_ROUNDS):
        kernel = np.clip(1.0 - height(valley, theta[None])[0] / window, 0.0, 1.0)
        if not _enough(valley, kernel):
            return None
        solved = solve(valley, theta[None], (weight * kernel * trust)[None], 20)
        if not is_valley(valley, solved.theta)[0] or not np.all(np.isfinite(solved.theta)):
            return None
        step = solved.theta[0] - theta
        moved = float(np.sqrt(step @ solved.information[0] @ step / max(float(solved.objective[0]), 1e-300)))
        theta = solved.theta[0]
        left = residuals(valley, theta[None], (weight * kernel * trust)[None])[0]
        inside = kernel > 0
        noise = robust_scale(left[inside], valley.parameters + np.unique(valley.cell[inside]).size)
        trust = trust_of(left, noise)
        if moved < 1e-5:
            break
    weights = weight * kernel * trust
    return Estimated(
        theta=theta,
        kernel=kernel,
        trust=trust,
        window=window,
        noise=noise,
        residuals=left,
        covariance=_covariance(valley, theta, weights, solved.information[0], noise),
        gradient_norm=float(solved.gradient_norm[0]),
    )


def _enough(valley: Valley, kernel: Floats) -> bool:
    inside = kernel > 0
    return bool(inside.sum() > valley.parameters + np.unique(valley.cell[inside]).size + 1)


def trust_of(left: Floats, noise: float) -> Floats:
    """Huber's weight times Hampel's, by residuals: runs that failed lie above the surface and end up with none."""
    away = np.abs(left) / max(noise, LEAST_DELTA)
    hampel = np.clip((SILENT - away) / (SILENT - DOUBTED), 0.0, 1.0)
    return np.asarray(np.minimum(1.0, EFFICIENT / np.maximum(away, 1e-12)) * hampel)


def _covariance(valley: Valley, theta: Floats, weights: Floats, information: Floats, noise: float) -> Floats:
    """Of theta: noise² (J'WJ)^-1 J'W²J (J'WJ)^-1."""
    squared = solve(valley, theta[None], (weights**2)[None], 0).information[0]
    inverse = np.linalg.pinv(information, hermitian=True)
    return np.asarray(inverse @ squared @ inverse * max(noise, LEAST_DELTA) ** 2)


def in_use(found: Estimated) -> Mask:
    """Mark the runs in the window, shape (n,)."""
    return np.asarray(found.kernel > 0)
