"""Approach 3 of 2203.15556: a law in N and D fitted to all points at once, and refitted to bootstrap resamples."""

from dataclasses import dataclass, replace

import numpy as np

from raysweep.frontier.fitting.costs import fit_cost, fit_cost_draws, is_proportional
from raysweep.frontier.fitting.majority import majority, many_far
from raysweep.frontier.fitting.robust import (
    MOST_DELTA,
    MOST_FAR,
    MOST_SILENCED,
    Minimum,
    adapt_delta,
    best_minimum,
    descend,
    loss_scale,
    outlier_weights,
    robust_scale,
)
from raysweep.frontier.laws.extension import Extension
from raysweep.frontier.laws.forms import LAWS, Form
from raysweep.frontier.laws.laws import CostModel, Surface, effective_data
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask
from raysweep.frontier.numerics.extended import gradient_extended
from raysweep.frontier.numerics.extended_starts import extended_starts, prior
from raysweep.frontier.numerics.jackknife import step_without_each
from raysweep.frontier.numerics.problem import ADDITIVE, Problem
from raysweep.frontier.numerics.progress import shown
from raysweep.frontier.numerics.solver import Solutions, predict, solve
from raysweep.frontier.numerics.starts import grid_starts
from raysweep.frontier.points.samples import Samples

STARTS = 64
MANY_POINTS = 1000
"""Points from which on resamples are refitted from the optimum alone: it is within a few standard errors of theirs."""
_CHUNK = 50_000
"""Weights in one array of those refits: larger ones leave the cache."""
_TOLERANCE, _ROUGH = 1e-8, 1e-3
"""Of the refits' Newton decrement (see `solve`), and where outliers are judged next, and the law is fitted again."""
OUTLIER_ROUNDS = 2
"""Times that the outliers are judged anew by the law fitted without them."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A problem for the solver, with the numbers that lead back to the user's units.

    `fixed` (P,) holds theta where `problem.free` does not span it; `centre_x` and `centre_y` are the means of ln N and
    ln D, `scale` is about the lowest loss, `log_reference` ln of the largest cost.
    """

    problem: Problem
    fixed: Floats
    centre_x: float
    centre_y: float
    scale: float
    log_reference: float


@dataclass(frozen=True, kw_only=True)
class SurfaceFit:
    """A law fitted to points; `trust` (n,) is the weight that outliers were left with, 1 for all others."""

    surface: Surface
    prepared: Prepared
    minimum: Minimum
    trust: Floats


def prepare(samples: Samples, form: Form, repeats: float = np.inf) -> Prepared:
    """Centre and scale the points for the solver; `repeats` is R* of the data-constrained law."""
    x, y = np.log(samples.params), np.log(samples.data)
    if form.law == "data":
        x = y
    if form.law == "data_constrained":
        assert samples.unique_data is not None
        y = np.log(effective_data(samples.data, samples.unique_data, repeats))
    scale = loss_scale(samples.loss)
    free = LAWS[form.law].directions
    fixed = np.zeros(free.shape[0])
    if form.asymptote is not None:
        fixed[0] = form.asymptote / scale
        free = free[:, 1:]
    problem = Problem(
        x=x - x.mean(),
        y=y - y.mean(),
        z=np.log(samples.loss / scale),
        free=free,
        terms=1 if form.law in ("params", "data") else 2,
        over=form.over,
    )
    if LAWS[form.law].extended:
        problem = replace(problem, prior=prior(problem))
    return Prepared(
        problem=problem,
        fixed=fixed,
        centre_x=float(x.mean()),
        centre_y=float(y.mean()),
        scale=scale,
        log_reference=float(np.log(samples.cost.max())),
    )


def fit_surface(
    samples: Samples,
    form: Form,
    delta: float | None,
    seed: int,
    starts: int = STARTS,
    iterations: int = 200,
    repeats: float = np.inf,
) -> SurfaceFit:
    """Fit the law from many starts.

    Args:
        samples: the points.
        form: of the law.
        delta: Huber's in ln loss; None lets it follow the noise, and outliers lose their weight.
        seed: of the starts.
        starts: their number.
        iterations: of the solver at most.
        repeats: R* of the data-constrained law.
    """
    prepared = prepare(samples, form, repeats)
    problem, weights = prepared.problem, samples.weight[None, :] / samples.weight.mean()
    if LAWS[form.law].extended:
        start = extended_starts(problem, weights[0], starts, seed, prepared.fixed, delta or MOST_DELTA)
    else:
        start = grid_starts(problem, weights[0], starts, seed, prepared.fixed)
    found = _search(problem, weights, start, seed, iterations)
    adaptive = delta is None
    if delta is None:
        delta = adapt_delta(problem, weights, found)
    found = descend(problem, weights, found.theta, delta, iterations=iterations)
    trust = np.ones(samples.count)
    if adaptive:
        found, trust = _without_outliers(problem, weights, found, delta, iterations)
        best = found.theta[int(np.argmin(found.objective))]
        if many_far(problem, best, trust):
            theta = majority(problem, weights, start)
            if theta is not None:
                found, trust, delta = _of_majority(problem, weights, theta, start, iterations)
    minimum = best_minimum(problem, found, delta)
    surface = to_surface(prepared, minimum.theta, fit_cost(samples), form, repeats)
    return SurfaceFit(surface=surface, prepared=prepared, minimum=minimum, trust=trust)


def _search(problem: Problem, weights: Floats, start: Floats, seed: int, iterations: int) -> Solutions:
    """Solve from each start with the largest delta; on some of the points first where they are many."""
    if problem.x.size > MANY_POINTS:
        rows = np.random.default_rng(seed).choice(problem.x.size, MANY_POINTS, replace=False)
        some = replace(problem, x=problem.x[rows], y=problem.y[rows], z=problem.z[rows])
        return solve(some, weights[:, rows], start, MOST_DELTA, iterations=iterations)
    return solve(problem, weights, start, MOST_DELTA, iterations=iterations)


def _without_outliers(
    problem: Problem, weights: Floats, found: Solutions, delta: float, iterations: int, most: float = MOST_SILENCED
) -> tuple[Solutions, Floats]:
    """Judge outliers by the law, fit without them, and judge anew; also give the weights that points are left with."""
    trust = np.ones(problem.x.size)
    for _ in range(OUTLIER_ROUNDS):
        best = found.theta[[int(np.argmin(found.objective))]]
        residuals = problem.z - predict(problem, best)[0]
        trust = outlier_weights(problem, best, robust_scale(residuals, problem.free.shape[1]), most)[0]
        found = solve(problem, weights * trust, found.theta, delta, iterations=iterations)
    return found, trust


def _of_majority(
    problem: Problem, weights: Floats, theta: Floats, start: Floats, iterations: int
) -> tuple[Solutions, Floats, float]:
    """Fit to the points near theta (5,), the law of most of them: solutions, trust and delta."""
    scale = robust_scale(problem.z - predict(problem, theta[None, :])[0], problem.free.shape[1])
    trust = outlier_weights(problem, theta[None, :], scale, MOST_FAR)
    near = solve(problem, weights * trust, theta[None, :], MOST_DELTA, iterations=iterations)
    delta = adapt_delta(problem, weights * trust, near)
    start = np.concatenate([near.theta, start[1:]])
    near = descend(problem, weights * trust, start, delta, iterations=iterations)
    return (*_without_outliers(problem, weights, near, delta, iterations, MOST_FAR), delta)


def draw_surfaces(
    samples: Samples, fit: SurfaceFit, form: Form, weights: Floats, repeats: float = np.inf
) -> tuple[Surface, Mask]:
    """Refit the law to every bootstrap (weights of shape (k, n)); also tell which refits converged."""
    if samples.count >= MANY_POINTS:
        return _draw_many(samples, fit, form, weights, repeats)
    delta, noise = fit.minimum.delta, fit.minimum.noise
    start = np.repeat(fit.minimum.theta[None, :], weights.shape[0], axis=0)
    largest = min(max(3.0 * delta, 4.0 * noise), MOST_DELTA)
    problem, weights = fit.prepared.problem, weights * samples.weight
    of_majority = np.mean(fit.trust < 0.5) > MOST_SILENCED
    first, most = (weights * fit.trust, MOST_FAR) if of_majority else (weights, MOST_SILENCED)
    found = descend(problem, first, start, delta, largest=max(largest, delta))
    # Each resample judges its own outliers: intervals from frozen judgements are too narrow where noise is uneven.
    for _ in range(OUTLIER_ROUNDS if np.any(fit.trust < 1.0) else 0):
        trust = outlier_weights(problem, found.theta, noise, most)
        found = solve(problem, weights * trust, found.theta, delta)
    cost = fit.surface.cost if is_proportional(samples) else fit_cost_draws(samples, weights)
    return to_surface(fit.prepared, found.theta, cost, form, repeats), found.converged


def _draw_many(samples: Samples, fit: SurfaceFit, form: Form, weights: Floats, repeats: float) -> tuple[Surface, Mask]:
    """Refit as `draw_surfaces` does, in parts that stay in the cache and straight from the optimum, which is near."""
    problem, delta, noise = fit.prepared.problem, fit.minimum.delta, fit.minimum.noise
    most = MOST_FAR if np.mean(fit.trust < 0.5) > MOST_SILENCED else MOST_SILENCED
    size = max(1, _CHUNK // samples.count)
    theta = np.repeat(fit.minimum.theta[None, :], weights.shape[0], axis=0)
    converged = np.zeros(weights.shape[0], dtype=bool)
    for first in shown(range(0, weights.shape[0], size), "refits to resamples"):
        part = slice(first, first + size)
        weight = weights[part] * samples.weight
        doubted = bool(np.any(fit.trust < 1.0))
        found = solve(problem, weight * fit.trust, theta[part], delta, tolerance=_ROUGH if doubted else _TOLERANCE)
        if doubted:
            trust = outlier_weights(problem, found.theta, noise, most)
            found = solve(problem, weight * trust, found.theta, delta, tolerance=_TOLERANCE)
        theta[part], converged[part] = found.theta, found.converged
    cost = fit.surface.cost if is_proportional(samples) else fit_cost_draws(samples, weights * samples.weight)
    return to_surface(fit.prepared, theta, cost, form, repeats), converged


def surfaces_without_each(samples: Samples, fit: SurfaceFit, form: Form, unit: Indices) -> Surface:
    """Approximate the law without each unit (n,), by one step from the optimum; the cost stays as it is."""
    weights = samples.weight * fit.trust
    theta = step_without_each(fit.prepared.problem, fit.minimum.theta, weights, fit.minimum.delta, unit)
    return to_surface(fit.prepared, theta, fit.surface.cost, form)


def to_surface(prepared: Prepared, theta: Floats, cost: CostModel, form: Form, repeats: float = np.inf) -> Surface:
    """Convert the solver's theta, shape (P,) or (k, P), to a law in the user's units."""
    log_scale = np.log(prepared.scale)
    theta = np.asarray(theta)
    second = theta[..., 3] + theta[..., 4] * prepared.centre_y + log_scale
    surface = Surface(
        E=theta[..., 0] * prepared.scale,
        log_A=theta[..., 1] + theta[..., 2] * prepared.centre_x + log_scale,
        alpha=theta[..., 2],
        log_B=second,
        beta=theta[..., 4],
        cost=cost,
        log_repeats=np.full_like(theta[..., 0], np.log(repeats)),
    )
    if theta.shape[-1] > ADDITIVE:
        return replace(surface, extension=_extension(prepared, theta))
    nothing = np.full_like(theta[..., 0], -np.inf), np.full_like(theta[..., 0], np.nan)
    if form.law == "params":
        return replace(surface, log_B=nothing[0], beta=nothing[1])
    if form.law == "data":
        return replace(surface, log_A=nothing[0], alpha=nothing[1], log_B=surface.log_A, beta=surface.alpha)
    return surface


def _extension(prepared: Prepared, theta: Floats) -> Extension:
    """What theta (..., 10) has beyond the additive law, in the user's units; breaks that are none lie at N, D = 0."""
    free = np.abs(prepared.problem.free).sum(axis=1) > 0
    places = {6: theta[..., 7] + prepared.centre_x, 8: theta[..., 9] + prepared.centre_y}
    broken = {bend: np.where(free[bend], place, -np.inf) for bend, place in places.items()}
    return Extension(
        log_coupling=theta[..., 5],
        params_bend=theta[..., 6],
        log_params_break=broken[6],
        data_bend=theta[..., 8],
        log_data_break=broken[8],
        log_reference=np.full_like(theta[..., 0], prepared.log_reference),
    )


def to_theta(prepared: Prepared, surface: Surface, form: Form) -> Floats:
    """Convert a law in the user's units to the solver's theta, shape (P,): the inverse of `to_surface`."""
    log_scale = np.log(prepared.scale)
    first, slope = (surface.log_B, surface.beta) if form.law == "data" else (surface.log_A, surface.alpha)
    second = 0.0, 0.0
    if prepared.problem.terms == 2:
        second = float(surface.log_B - surface.beta * prepared.centre_y - log_scale), float(surface.beta)
    lead = float(first - slope * prepared.centre_x - log_scale)
    theta = np.array([float(surface.E) / prepared.scale, lead, float(slope), *second])
    beyond = surface.extension
    if beyond is None:
        return theta
    breaks = [float(beyond.log_params_break) - prepared.centre_x, float(beyond.log_data_break) - prepared.centre_y]
    at_n, at_d = (place if np.isfinite(place) else 0.0 for place in breaks)
    further = [float(beyond.log_coupling), float(beyond.params_bend), at_n, float(beyond.data_bend), at_d]
    return np.concatenate([theta, further])


def log_loss_gradient(prepared: Prepared, form: Form, theta: Floats, params: Floats, data: Floats) -> Floats:
    """Differentiate ln loss along the law's free directions at runs of (m,) params and data, shape (m, p)."""
    x = np.log(data if form.law == "data" else params) - prepared.centre_x
    y = np.log(data) - prepared.centre_y
    if theta.size > ADDITIVE:
        slopes = gradient_extended(replace(prepared.problem, x=x, y=y), theta[None, :])[0]
        return np.asarray(slopes.T @ prepared.problem.free)
    first = np.exp(theta[1] - theta[2] * x)
    second = np.exp(theta[3] - theta[4] * y) if prepared.problem.terms == 2 else np.zeros_like(x)
    total = theta[0] + first + second
    full = np.stack([np.ones_like(x), first, -x * first, second, -y * second], axis=1) / total[:, None]
    return np.asarray(full @ prepared.problem.free)
