"""The data-constrained law of 2305.16264: each repeat of the same data teaches less, and little is left after R*.

R* is the one parameter unknown to the batched solver. It is profiled: the others are fitted at each of its values.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from raysweep.frontier.fitting.surfaces import SurfaceFit, draw_surfaces, fit_surface
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.points.samples import Samples

LEAST, MOST = 0.1, 1e4
"""Bounds of R*; 2305.16264 found 15.4 for language models."""
_FIRST = 15.0
_GRID = np.geomspace(1 / 16, 16, 17)
"""Values of R* over the fit's own at which each bootstrap is fitted; its own lies between."""
_STARTS = 8
"""Of the fits along the profile, which begin near each other."""


def fit_data_constrained(
    samples: Samples, form: Form, delta: float | None, seed: int, starts: int, iterations: int
) -> tuple[SurfaceFit, float]:
    """Fit the law and R*; arguments as in `fit_surface`."""
    first = fit_surface(samples, form, delta, seed, starts, iterations, _FIRST)

    def objective(log_repeats: float) -> float:
        repeats = float(np.exp(log_repeats))
        return fit_surface(samples, form, first.minimum.delta, seed, _STARTS, iterations, repeats).minimum.objective

    found = minimize_scalar(objective, bounds=(np.log(LEAST), np.log(MOST)), method="bounded", options={"xatol": 1e-6})
    best = float(np.exp(found.x))
    return fit_surface(samples, form, delta, seed, starts, iterations, best), best


def draw_data_constrained(
    samples: Samples, fit: SurfaceFit, form: Form, weights: Floats, repeats: float
) -> tuple[Surface, Mask]:
    """Refit every bootstrap at each R* of a grid about the fit's own (`repeats`), and interpolate to its best."""
    objectives, found, good = [], [], []
    for factor in _GRID:
        held = float(np.clip(repeats * factor, LEAST, MOST))
        moved = fit_surface(samples, form, fit.minimum.delta, 0, _STARTS, repeats=held)
        judged = replace(moved, trust=fit.trust, minimum=replace(moved.minimum, noise=fit.minimum.noise))
        surfaces, converged = draw_surfaces(samples, judged, form, weights, held)
        objectives.append(_objectives(samples, moved, held, surfaces, weights))
        found.append(surfaces)
        good.append(converged)
    values = np.array(objectives)
    rows = np.arange(weights.shape[0])
    middle = np.clip(np.argmin(values, axis=0), 1, len(_GRID) - 2)
    shares = _vertex_shares(*(values[middle + side, rows] for side in (-1, 0, 1)))

    def interpolate(name: str) -> Floats:
        every = np.stack([np.broadcast_to(getattr(one, name), rows.shape) for one in found])
        near = [every[middle + side, rows] * share for side, share in zip((-1, 0, 1), shares, strict=True)]
        return np.asarray(near[0] + near[1] + near[2])

    surface = Surface(
        E=interpolate("E"),
        log_A=interpolate("log_A"),
        alpha=interpolate("alpha"),
        log_B=interpolate("log_B"),
        beta=interpolate("beta"),
        log_repeats=interpolate("log_repeats"),
        cost=found[0].cost,
    )
    return surface, np.asarray(np.stack(good)[middle, rows])


def _vertex_shares(left: Floats, centre: Floats, right: Floats) -> tuple[Floats, Floats, Floats]:
    """Compute Lagrange's weights of three grid values at the vertex of the parabola through their objectives."""
    bend = np.maximum(left - 2.0 * centre + right, 1e-300)
    at = np.clip(0.5 * (left - right) / bend, -1.0, 1.0)
    return 0.5 * at * (at - 1.0), 1.0 - at**2, 0.5 * at * (at + 1.0)


def _objectives(samples: Samples, fit: SurfaceFit, repeats: float, surfaces: Surface, weights: Floats) -> Floats:
    assert samples.unique_data is not None
    law = replace(surfaces.wide(), cost=fit.surface.cost, log_repeats=np.log(repeats))
    away = np.abs(np.log(samples.loss / law.loss(samples.params, samples.data, samples.unique_data)))
    bent = np.minimum(away, fit.minimum.delta)
    return np.asarray((weights * samples.weight * fit.trust * bent * (away - 0.5 * bent)).sum(axis=1))
