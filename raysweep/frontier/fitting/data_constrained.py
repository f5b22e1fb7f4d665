"""The data-constrained law of 2305.16264: each repeat of the same data teaches less, and little is left after R*.

R* is the one parameter unknown to the batched solver. It is profiled: the others are fitted at each of its values.
"""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from raysweep.frontier.fitting.robust import best_minimum, descend
from raysweep.frontier.fitting.surfaces import SurfaceFit, draw_surfaces, fit_surface, prepare, to_surface
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import CostModel, Surface
from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.points.samples import Samples

LEAST, MOST = 0.1, 1e4
"""Bounds of R*; 2305.16264 found 15.4 for language models."""
_FIRST = 15.0
_GRID = np.geomspace(1 / 16, 16, 17)
"""Values of R* over the fit's own at which each bootstrap is fitted; its own lies between."""
_NAMES = ("E", "log_A", "alpha", "log_B", "beta", "log_repeats")


def fit_data_constrained(
    samples: Samples, form: Form, delta: float | None, seed: int, starts: int, iterations: int
) -> tuple[SurfaceFit, float]:
    """Fit the law and R*; arguments as in `fit_surface`."""
    first = fit_surface(samples, form, delta, seed, starts, iterations, _FIRST)

    def objective(log_repeats: float) -> float:
        return _nearby(samples, form, first, float(np.exp(log_repeats))).minimum.objective

    found = minimize_scalar(objective, bounds=(np.log(LEAST), np.log(MOST)), method="bounded", options={"xatol": 1e-5})
    best = float(np.exp(found.x))
    return fit_surface(samples, form, delta, seed, starts, iterations, best), best


def _nearby(samples: Samples, form: Form, fit: SurfaceFit, repeats: float) -> SurfaceFit:
    """Fit the law at another R*, from the fit at one."""
    prepared, delta = prepare(samples, form, repeats), fit.minimum.delta
    weights = samples.weight[None, :] / samples.weight.mean()
    found = descend(prepared.problem, weights, fit.minimum.theta[None, :], delta)
    minimum = best_minimum(prepared.problem, found, delta)
    surface = to_surface(prepared, minimum.theta, fit.surface.cost, form, repeats)
    return SurfaceFit(surface=surface, prepared=prepared, minimum=minimum, trust=np.ones(samples.count))


def draw_data_constrained(
    samples: Samples, fit: SurfaceFit, form: Form, weights: Floats, repeats: float
) -> tuple[Surface, Mask]:
    """Refit every bootstrap at values of R* about the fit's own (`repeats`), and interpolate to its best."""
    values, laws, good, cost = _profile(samples, fit, form, weights, repeats)
    rows = np.arange(weights.shape[0])
    middle = np.clip(np.argmin(values, axis=0), 1, _GRID.size - 2)
    shares = _vertex_shares(*(values[middle + side, rows] for side in (-1, 0, 1)))

    def interpolate(name: str) -> Floats:
        near = [laws[name][middle + side, rows] * share for side, share in zip((-1, 0, 1), shares, strict=True)]
        return np.asarray(near[0] + near[1] + near[2])

    surface = Surface(
        E=interpolate("E"),
        log_A=interpolate("log_A"),
        alpha=interpolate("alpha"),
        log_B=interpolate("log_B"),
        beta=interpolate("beta"),
        log_repeats=interpolate("log_repeats"),
        cost=cost,
    )
    return surface, good[middle, rows]


def _profile(
    samples: Samples, fit: SurfaceFit, form: Form, weights: Floats, repeats: float
) -> tuple[Floats, dict[str, Floats], Mask, CostModel]:
    """Refit every bootstrap along `_GRID`, from coarse to fine: at 9 of the 17 values, those about its best.

    Returns:
        The objectives, infinite where a bootstrap was not fitted, the laws, and which refits converged, each of shape
        (values, k); and the costs.
    """
    shape, cost = (_GRID.size, weights.shape[0]), fit.surface.cost
    values, good = np.full(shape, np.inf), np.zeros(shape, dtype=bool)
    laws = {name: np.full(shape, np.nan) for name in _NAMES}
    for stride in (4, 2, 1):
        best = np.argmin(values, axis=0)
        for place in range(0, _GRID.size, stride):
            near = (np.abs(best - place) <= stride) | (stride == 4)
            chosen = np.flatnonzero(near & np.isinf(values[place]))
            if not chosen.size:
                continue
            held = float(np.clip(repeats * _GRID[place], LEAST, MOST))
            moved = _nearby(samples, form, fit, held)
            judged = replace(moved, trust=fit.trust, minimum=replace(moved.minimum, noise=fit.minimum.noise))
            surfaces, good[place, chosen] = draw_surfaces(samples, judged, form, weights[chosen], held)
            values[place, chosen] = _objectives(samples, moved, held, surfaces, weights[chosen])
            for name in _NAMES:
                laws[name][place, chosen] = getattr(surfaces, name)
            cost = surfaces.cost if stride == 4 else cost  # of all bootstraps; it does not depend on R*
    return values, laws, good, cost


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
