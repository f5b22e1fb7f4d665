"""The data-constrained law of 2305.16264: repeats of the same data are worth less and less, after R* of them little.

R*, the one parameter that the batched solver does not know, is profiled: every other one is fitted at each value of it.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from raysweep.frontier.approaches.parametric import Form, SurfaceFit, draw_surfaces, fit_surface
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.solver import Floats, Mask
from raysweep.frontier.points.cleaning import Samples

LEAST, MOST = 0.1, 1e4
"""Bounds of R*; 2305.16264 found 15.4 for language models."""
_FIRST = 15.0
_GRID = np.geomspace(1 / 16, 16, 17)
"""Values of R* over the fit's own at which each bootstrap is fitted; its own lies between."""


def fit_data_constrained(
    samples: Samples, form: Form, delta: float | None, seed: int, starts: int, iterations: int
) -> tuple[SurfaceFit, Form]:
    """Fit the law and R*; return the fit and the form with R* in it."""
    first = fit_surface(samples, replace(form, repeats=_FIRST), delta, seed, starts, iterations)

    def objective(log_repeats: float) -> float:
        held = replace(form, repeats=float(np.exp(log_repeats)))
        return fit_surface(samples, held, first.delta, seed, 8, iterations).objective

    found = minimize_scalar(objective, bounds=(np.log(LEAST), np.log(MOST)), method="bounded", options={"xatol": 1e-6})
    best = replace(form, repeats=float(np.exp(found.x)))
    return fit_surface(samples, best, delta, seed, starts, iterations), best


def draw_data_constrained(samples: Samples, fit: SurfaceFit, form: Form, weights: Floats) -> tuple[Surface, Mask]:
    """Refit every bootstrap at each R* of a grid about the fit's own, and keep its best."""
    objectives, found, good = [], [], []
    for factor in _GRID:
        held = replace(form, repeats=float(np.clip(form.repeats * factor, LEAST, MOST)))
        moved = fit_surface(samples, held, fit.delta, 0, 8)
        surfaces, converged = draw_surfaces(samples, replace(moved, trust=fit.trust, noise=fit.noise), held, weights)
        objectives.append(_objectives(samples, moved, held, surfaces, weights))
        found.append(surfaces)
        good.append(converged)
    values = np.array(objectives)
    rows = np.arange(weights.shape[0])
    middle = np.clip(np.argmin(values, axis=0), 1, len(_GRID) - 2)
    shares = _vertex_shares(*(values[middle + side, rows] for side in (-1, 0, 1)))

    def pick(name: str) -> Floats:
        every = np.stack([np.broadcast_to(getattr(one, name), rows.shape) for one in found])
        near = [every[middle + side, rows] * share for side, share in zip((-1, 0, 1), shares, strict=True)]
        return np.asarray(near[0] + near[1] + near[2])

    names = ("E", "log_A", "alpha", "log_B", "beta", "log_repeats")
    surface = Surface(**{name: pick(name) for name in names}, cost=found[0].cost)
    return surface, np.asarray(np.stack(good)[middle, rows])


def _vertex_shares(left: Floats, centre: Floats, right: Floats) -> tuple[Floats, Floats, Floats]:
    """Return Lagrange's weights of three grid values at the vertex of the parabola through their objectives."""
    bend = np.maximum(left - 2.0 * centre + right, 1e-300)
    at = np.clip(0.5 * (left - right) / bend, -1.0, 1.0)
    return 0.5 * at * (at - 1.0), 1.0 - at**2, 0.5 * at * (at + 1.0)


def _objectives(samples: Samples, fit: SurfaceFit, form: Form, surfaces: Surface, weights: Floats) -> Floats:
    assert samples.unique_data is not None
    wide = {name: np.asarray(getattr(surfaces, name))[:, None] for name in ("E", "log_A", "alpha", "log_B", "beta")}
    law = Surface(**wide, cost=fit.surface.cost, log_repeats=np.log(form.repeats))
    away = np.abs(np.log(samples.loss / law.loss(samples.params, samples.data, samples.unique_data)))
    bent = np.minimum(away, fit.delta)
    return np.asarray((weights * samples.weight * fit.trust * bent * (away - 0.5 * bent)).sum(axis=1))
