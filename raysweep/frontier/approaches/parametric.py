"""Approach 3: the additive law fitted to all points, Huber on log residuals, many starts, certified optimum."""

from dataclasses import dataclass, replace

import numpy as np

from raysweep.frontier.approaches.costs import fit_cost, fit_cost_draws
from raysweep.frontier.laws.laws import CostModel, Surface, effective_data
from raysweep.frontier.numerics.solver import Floats, Mask, Problem, Solutions, predict, solve
from raysweep.frontier.numerics.starts import grid_starts
from raysweep.frontier.points.cleaning import Samples

EFFICIENT = 1.7
"""Huber's delta over the noise. The classical 1.345 is 95 % efficient on Gaussian residuals (Huber 1981), this 98 %; it
may be larger because `trust_of` takes care of what lies far out (benchmarks/frontier_efficiency.py)."""
DOUBTED, SILENT = 3.0, 6.0
"""Noises from the law at which a point begins to lose weight, and at which it has none (Hampel 1974)."""
MAD_TO_SIGMA = 0.6744897501960817
LEAST_DELTA = 1e-6
"""Log residuals below this are rounding, not noise."""
MOST_DELTA = 0.1
STARTS = 64
TRUST_ROUNDS = 2
MOST_SILENCED = 0.25
AGREES = 1e-6
"""Share by which a start's objective may exceed the best one and still count as having reached it."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """Which law: "additive", "tied" (alpha = beta), "data_constrained", "params" or "data" (one term)."""

    law: str = "additive"
    asymptote: float | None = None
    """E where it is fixed, None where it is fitted."""
    over: float = 1.0
    """Weight of points above the law relative to those below (1: symmetric)."""
    repeats: float = float("inf")
    """R* of the data-constrained law while the rest of it is fitted."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A problem with the numbers that lead back to the user's units."""

    problem: Problem
    fixed: Floats
    centre_x: float
    centre_y: float
    scale: float


@dataclass(frozen=True, kw_only=True)
class SurfaceFit:
    """What the parametric approach found."""

    surface: Surface
    prepared: Prepared
    theta: Floats
    delta: float
    objective: float
    gradient_norm: float
    starts: int
    agreeing: int
    converged: bool
    at_bound: Mask
    trust: Floats
    """Weight that outliers were left with, shape (n,): 1 for all but them."""
    residuals: Floats
    """ln of measured over predicted loss, shape (n,)."""
    noise: float
    """Robust standard deviation of the residuals, corrected for the degrees of freedom."""


def prepare(samples: Samples, form: Form) -> Prepared:
    """Return the solver's view of the points."""
    x, y = np.log(samples.params), np.log(samples.data)
    if form.law == "data":
        x = y
    if form.law == "data_constrained":
        assert samples.unique_data is not None
        y = np.log(effective_data(samples.data, samples.unique_data, form.repeats))
    scale = float(samples.loss.min())
    free = np.eye(5)
    if form.law == "tied":
        free = np.stack([free[0], free[1], free[2] + free[4], free[3]], axis=1)
    elif form.law in ("params", "data"):
        free = free[:, :3]
    fixed = np.zeros(5)
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
    return Prepared(problem=problem, fixed=fixed, centre_x=float(x.mean()), centre_y=float(y.mean()), scale=scale)


def robust_scale(residuals: Floats, parameters: int) -> float:
    """Return the noise's standard deviation from the median absolute residual, corrected for fitted parameters."""
    spare = residuals.size - parameters
    if spare <= 0:
        return 0.0
    mad = float(np.median(np.abs(residuals)))
    return mad / MAD_TO_SIGMA * float(np.sqrt(residuals.size / spare))


def fit_surface(
    samples: Samples, form: Form, delta: float | None, seed: int, starts: int = STARTS, iterations: int = 200
) -> SurfaceFit:
    """Fit the law from many starts; `delta` None follows the noise."""
    prepared = prepare(samples, form)
    problem, weights = prepared.problem, samples.weight[None, :] / samples.weight.mean()
    start = grid_starts(problem, weights[0], starts, seed, prepared.fixed)
    found = solve(problem, weights, start, MOST_DELTA, iterations=iterations)
    adaptive = delta is None
    if delta is None:
        delta = adapt_delta(problem, weights, found)
    found = descend(problem, weights, found.theta, delta, MOST_DELTA, iterations)
    trust = np.ones(samples.count)
    for _ in range(TRUST_ROUNDS if adaptive else 0):
        leader = found.theta[[int(np.argmin(found.objective))]]
        residuals = problem.z - predict(problem, leader)[0]
        trust = trust_of(problem, leader, robust_scale(residuals, problem.free.shape[1]))[0]
        found = solve(problem, weights * trust, found.theta, delta, iterations=iterations)
    best = int(np.argmin(found.objective))
    floor = found.objective[best]
    agreeing = int(np.sum(found.objective <= floor * (1 + AGREES) + 1e-18 * samples.count))
    theta = found.theta[best]
    residuals = problem.z - predict(problem, theta[None, :])[0]
    return SurfaceFit(
        surface=to_surface(prepared, theta, fit_cost(samples), form),
        prepared=prepared,
        theta=theta,
        delta=delta,
        objective=float(floor),
        gradient_norm=float(found.gradient_norm[best]),
        starts=starts,
        agreeing=agreeing,
        converged=bool(found.converged[best]),
        at_bound=found.at_bound[best],
        trust=trust,
        residuals=residuals,
        noise=robust_scale(residuals, problem.free.shape[1]),
    )


def trust_of(problem: Problem, theta: Floats, noise: float) -> Floats:
    """Return Hampel's weights of the points about each law: 1 up to DOUBTED noises, 0 from SILENT; shape (k, n).

    Huber's function bounds what an outlier does but lets it pull for ever, and all to one side where failed runs lie
    above the law; a redescending weight ends that at little cost on Gaussian noise.
    Where that would silence over a quarter of the points the law is what is wrong, and all keep their weight.
    """
    away = np.abs(problem.z - predict(problem, theta)) / max(noise, LEAST_DELTA)
    trust = np.clip((SILENT - away) / (SILENT - DOUBTED), 0.0, 1.0)
    silenced = np.mean(trust < 0.5, axis=1, keepdims=True) > MOST_SILENCED
    return np.asarray(np.where(silenced, 1.0, trust))


def adapt_delta(problem: Problem, weights: Floats, found: Solutions) -> float:
    """Return `EFFICIENT` times the noise that the fit with this delta leaves (a fixed point, reached from above)."""
    theta = found.theta[[int(np.argmin(found.objective))]]
    delta = MOST_DELTA
    for _ in range(30):
        residuals = problem.z - predict(problem, theta)[0]
        scale = robust_scale(residuals, problem.free.shape[1])
        proposed = float(np.clip(EFFICIENT * scale, LEAST_DELTA, MOST_DELTA))
        if abs(proposed / delta - 1) < 1e-4:
            break
        delta = proposed
        theta = solve(problem, weights, theta, delta).theta
    return delta


def descend(
    problem: Problem, weights: Floats, theta: Floats, delta: float, largest: float, iterations: int = 200
) -> Solutions:
    """Solve with a delta that shrinks to the wanted one: near least squares first, where the landscape is smooth."""
    stages = max(int(np.ceil(np.log(max(largest / delta, 1.0)) / np.log(4.0))), 1)
    found = None
    for step in range(1, stages + 1):
        found = solve(problem, weights, theta, largest * (delta / largest) ** (step / stages), iterations=iterations)
        theta = found.theta
    assert found is not None
    return found


def to_surface(prepared: Prepared, theta: Floats, cost: CostModel, form: Form) -> Surface:
    """Return the law in the user's units; theta of shape (5,) or (k, 5)."""
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
        log_repeats=np.full_like(theta[..., 0], np.log(form.repeats)),
    )
    nothing = np.full_like(theta[..., 0], -np.inf), np.full_like(theta[..., 0], np.nan)
    if form.law == "params":
        return replace(surface, log_B=nothing[0], beta=nothing[1])
    if form.law == "data":
        return replace(surface, log_A=nothing[0], alpha=nothing[1], log_B=surface.log_A, beta=surface.alpha)
    return surface


def draw_surfaces(samples: Samples, fit: SurfaceFit, form: Form, weights: Floats) -> tuple[Surface, Mask]:
    """Return the law refitted to every bootstrap (weights of shape (k, n)), and which refits converged."""
    start = np.repeat(fit.theta[None, :], weights.shape[0], axis=0)
    largest = min(max(3.0 * fit.delta, 4.0 * fit.noise), MOST_DELTA)
    problem, weights = fit.prepared.problem, weights * samples.weight
    found = descend(problem, weights, start, fit.delta, max(largest, fit.delta))
    # Each resample judges its own outliers: intervals from frozen judgements are too narrow where noise is uneven.
    for _ in range(TRUST_ROUNDS if np.any(fit.trust < 1.0) else 0):
        found = solve(problem, weights * trust_of(problem, found.theta, fit.noise), found.theta, fit.delta)
    exact = np.ptp(np.log(samples.cost / (samples.params * samples.data))) < 5e-3
    cost = fit.surface.cost if exact else fit_cost_draws(samples, weights)
    return to_surface(fit.prepared, found.theta, cost, form), found.converged
