"""The law and the noise of its runs fitted together: a mixed-effects model with a law in its middle.

Robust fits are the starts. In turn, the covariance of all families' errors is estimated (`covariance.py`), points
that lie far from where their run's others put them lose trust, and each family's law is fitted with that covariance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from raysweep.frontier.fitting.robust import DOUBTED, MOST_SILENCED, SILENT, robust_scale
from raysweep.frontier.fitting.run_noise.covariance import WIDE, Deviations, Posterior, Prior, estimate, sample
from raysweep.frontier.fitting.run_noise.noise import RunNoise
from raysweep.frontier.fitting.run_noise.refits import Refits, gradient, refit
from raysweep.frontier.fitting.run_noise.runs import Memory, arrange_runs, correlation, draw_errors, whiten
from raysweep.frontier.fitting.surfaces import SurfaceFit
from raysweep.frontier.fitting.trajectories import trajectories
from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.numerics.intervals import MANY_UNITS
from raysweep.frontier.numerics.jackknife import newton_steps
from raysweep.frontier.numerics.solver import predict
from raysweep.frontier.points.samples import Samples

ROUNDS = 3
"""Times that covariance, trust and law are estimated anew, each from the others."""
_BATCH = 1_000_000
"""Numbers in the whitened Jacobian of the draws that are fitted at once."""
_MANY = 5000
"""Numbers in the Jacobian from which on batches are an eighth of that, which stays in the cache."""
_INDEPENDENT = Memory(memory=np.ones(1), white=np.ones(1), slope=np.zeros(1))
_CERTAIN = 1e-16
_ENOUGH = 1e4
"""Variances of the noise that the tolerance of a draw's fit is a share of at the least: with 1e-8, its last step begins
within 1 % of a standard error."""
_RIDGE = 1e-10


@dataclass(frozen=True, kw_only=True)
class MixedFit:
    """One family's law, fitted with the noise of runs.

    Attributes:
        fit: the law and its certificate. deviations: of the points about it. memory: the one covariance that it was
            fitted with. posterior: of all families' covariances, of which this family is number `place`.
        noise: in the user's terms.
        doubt: why the fit is not to be believed (`doubts`), None where it is.
        independent: whether `fit` takes points as independent, and only draws and `noise` know that they are not.
    """

    fit: SurfaceFit
    deviations: Deviations
    memory: Memory
    posterior: Posterior
    place: int
    noise: RunNoise
    doubt: str | None = None
    independent: bool = False


def fit_mixed(families: Sequence[tuple[Samples, SurfaceFit]], prior: Prior = WIDE) -> list[MixedFit]:
    """Fit the laws of several families with noise whose form they share.

    Args:
        families: the points of each, of which some share a trajectory, and the robust fit of its law.
        prior: of the covariance's form.
    """
    centre = float(np.mean([np.log(samples.params).mean() for samples, _ in families]))
    fits = [fit for _, fit in families]
    samples = [one for one, _ in families]
    deviations = [deviations_about(one, fit, centre) for one, fit in zip(samples, fits, strict=True)]
    for _ in range(ROUNDS):
        posterior = estimate(deviations, prior)
        memory = _middle(posterior)
        for place, one in enumerate(samples):
            trusted = replace(fits[place], trust=_trust(deviations[place], memory, _level(posterior, place)))
            fits[place] = _fit(trusted, deviations_about(one, trusted, centre), memory)
            deviations[place] = deviations_about(one, fits[place], centre)
    posterior = estimate(deviations, prior)
    return [
        MixedFit(
            fit=fit,
            deviations=deviations[place],
            memory=memory,
            posterior=posterior,
            place=place,
            noise=_noise(samples[place], posterior, place, centre),
        )
        for place, fit in enumerate(fits)
    ]


def as_independent(mixed: MixedFit, plain: SurfaceFit, deviations: Deviations) -> MixedFit:
    """Take the law of points as independent, and leave what it does not know to the noise of runs.

    Args:
        mixed: a fit with the noise of runs.
        plain: the robust fit of the same law to the same points.
        deviations: of the points about that one.
    """
    return replace(mixed, fit=plain, deviations=deviations, memory=_INDEPENDENT, independent=True)


def level_of(mixed: MixedFit) -> float:
    """The standard deviation of ln loss among a family's runs, at the size where the noise's level is taken."""
    return _level(mixed.posterior, mixed.place)


def asymptote_statistic(mixed: MixedFit) -> tuple[float, float]:
    """F of E = 0 against the fitted E, and its 95 % quantile: above it E is identified."""
    from scipy import stats  # takes a second to import, as in `covariance`

    problem = mixed.fit.prepared.problem
    theta = mixed.fit.minimum.theta.copy()
    theta[0] = 0.0
    without = refit(replace(problem, free=problem.free[:, 1:]), mixed.deviations.runs, mixed.memory, theta[None, :])
    rise = float(without.squares[0]) - 2.0 * mixed.fit.minimum.objective
    freedom = mixed.noise.degrees_of_freedom
    return rise / level_of(mixed) ** 2, float(stats.f.ppf(0.95, 1, freedom))


def draw_mixed(mixed: MixedFit, count: int, seed: int) -> tuple[Floats, Mask]:
    """Draw the law as the noise leaves it open, shape (count, 5); also tell which of the fits converged.

    Draw k of each family of a posterior is of the same covariance.
    """
    noise, level, normal = draw_noise(mixed, count, seed)
    if mixed.independent:
        return _draw_independent(mixed, noise, level, (seed, mixed.place))
    numbers = mixed.deviations.jacobian.size
    batch = max((_BATCH if numbers < _MANY else _BATCH // 8) // numbers, 1)
    found = [
        _draw(mixed, noise.take(np.arange(count)[part]), normal[part], level[part])
        for part in (slice(start, start + batch) for start in range(0, count, batch))
    ]
    return np.concatenate([one.theta for one in found]), np.concatenate([one.converged for one in found])


def draw_noise(mixed: MixedFit, count: int, seed: int) -> tuple[Memory, Floats, Floats]:
    """Draw covariances of the posterior, their standard deviations (count,), and standard normal numbers (count, p)."""
    parameters = mixed.deviations.jacobian.shape[1]
    common, own = _uniform(count, 1, seed), _uniform(count, 1 + parameters, seed, 1 + mixed.place)
    which, level = sample(mixed.posterior, mixed.place, np.column_stack([common, own[:, 0]]))
    normal = ndtri(np.clip(own[:, 1:], 1e-9, 1.0 - 1e-9))
    return mixed.posterior.memory.take(which), np.exp(level), normal


def _draw_independent(mixed: MixedFit, noise: Memory, level: Floats, seed: tuple[int, int]) -> tuple[Floats, Mask]:
    """Fit the law of independent points to its own losses with errors of each covariance."""
    problem, runs = mixed.fit.prepared.problem, mixed.deviations.runs
    start = np.repeat(mixed.fit.minimum.theta[None, :], level.size, axis=0)
    moved = replace(problem, z=predict(problem, start[:1]) + draw_errors(runs, noise, np.log(level), seed))
    found = refit(moved, runs, mixed.memory.take(np.zeros(level.size, dtype=np.int64)), start)
    return found.theta, found.converged


def without_each_run(mixed: MixedFit) -> Floats:
    """Fit the law without each run in turn, shape (runs, 5); by one step from the optimum where runs are many."""
    count = mixed.deviations.runs.place.shape[0]
    if count >= MANY_UNITS:
        return _step_without_each_run(mixed)
    noise = mixed.memory.take(np.zeros(count, dtype=np.int64))
    start = np.repeat(mixed.fit.minimum.theta[None, :], count, axis=0)
    kept = 1.0 - np.eye(count)
    return refit(mixed.fit.prepared.problem, mixed.deviations.runs, noise, start, kept=kept).theta


def _step_without_each_run(mixed: MixedFit) -> Floats:
    """The Gauss-Newton step to the fit without each run, as `numerics.jackknife` takes it, shape (runs, 5)."""
    problem, runs, minimum = mixed.fit.prepared.problem, mixed.deviations.runs, mixed.fit.minimum
    movable = minimum.at_bound.astype(float) @ np.abs(problem.free) == 0
    jacobian, free = mixed.deviations.jacobian[:, movable], problem.free[:, movable]
    white, _ = whiten(runs, mixed.memory, np.column_stack([jacobian, mixed.deviations.residuals])[None])
    of_run = white.reshape(*runs.place.shape, -1)
    gram = of_run.transpose(0, 2, 1) @ of_run
    rest = gram.sum(axis=0) - gram
    step = newton_steps(rest[:, :-1, :-1], rest[:, :-1, -1])
    return np.asarray(np.clip(minimum.theta + step @ free.T, problem.lower, problem.upper))


def _uniform(count: int, columns: int, *seed: int) -> Floats:
    """Numbers from 0 to 1 that fill the space evenly (Sobol's), shape (count, columns)."""
    from scipy.stats import qmc  # takes a second to import, as in `covariance`

    most = max(int(np.ceil(np.log2(count))), 0)
    return np.asarray(qmc.Sobol(columns, seed=np.random.default_rng(seed)).random_base2(most)[:count])


def deviations_about(samples: Samples, fit: SurfaceFit, centre: float) -> Deviations:
    """A family's errors about a law, `centre` the ln N at which the noise's level is taken."""
    problem, theta = fit.prepared.problem, fit.minimum.theta[None, :]
    runs = arrange_runs(
        np.log(samples.params), np.log(samples.data), trajectories(samples), fit.trust, samples.weight, centre
    )
    residuals = problem.z - predict(problem, theta)[0]
    return Deviations(residuals=residuals, jacobian=gradient(problem, theta)[0], runs=runs)


def _middle(posterior: Posterior) -> Memory:
    """The covariance to fit with: the posterior's mean."""
    weight = posterior.weight.sum(axis=(1, 2))
    return Memory(
        memory=np.exp([weight @ np.log(posterior.memory.memory)]),
        white=np.array([weight @ posterior.memory.white]),
        slope=np.array([weight @ posterior.memory.slope]),
    )


def _level(posterior: Posterior, place: int) -> float:
    """The standard deviation of one family at the centre."""
    _, level = sample(posterior, place, _uniform(256, 2))
    return float(np.exp(level.mean()))


def _trust(deviations: Deviations, memory: Memory, level: float) -> Floats:
    """Weigh each point by its distance from the law, and from where the other points of its run put it.

    The distances are those of `robust.outlier_weights`, in standard deviations of the run's noise. A point's own doubt
    takes no part, that of its neighbours does: otherwise two outliers would vouch for each other.
    """
    runs = deviations.runs
    away = np.zeros(deviations.residuals.size)
    for run in range(runs.place.shape[0]):
        places = runs.place[run][runs.place[run] >= 0]
        inverse = np.linalg.inv(correlation(runs, memory, run))
        spread = level * np.exp(memory.slope[0] * runs.size[run][: places.size])
        errors, precision = deviations.residuals[places] / spread, np.diag(inverse)
        own = np.maximum(1.0 / precision - runs.doubt[run][: places.size], 1e-9)
        within_run = np.abs(inverse @ errors / precision) / np.sqrt(own)
        away[places] = np.maximum(within_run, np.abs(errors))
    trust = np.clip((SILENT - away) / (SILENT - DOUBTED), 0.0, 1.0)
    return trust if np.mean(trust < 0.5) <= MOST_SILENCED else np.ones_like(trust)


def _fit(fit: SurfaceFit, deviations: Deviations, memory: Memory) -> SurfaceFit:
    """Fit one law with a covariance; the surface is left as it was."""
    problem = fit.prepared.problem
    found = refit(problem, deviations.runs, memory, fit.minimum.theta[None, :], tolerance=_CERTAIN)
    residuals = problem.z - predict(problem, found.theta)[0]
    minimum = replace(
        fit.minimum,
        theta=found.theta[0],
        at_bound=found.at_bound[0],
        objective=0.5 * float(found.squares[0]),
        gradient_norm=float(found.gradient_norm[0]),
        residuals=residuals,
        noise=robust_scale(residuals, problem.free.shape[1]),
    )
    return replace(fit, minimum=minimum)


def _noise(samples: Samples, posterior: Posterior, place: int, centre: float) -> RunNoise:
    _, level = sample(posterior, place, _uniform(256, 2))
    most = float(posterior.freedom.sum())
    freedom = 2.0 / max(4.0 * float(level.var()), 2.0 / most)  # the variance of ln chi-squared is near 2 / freedom
    weight, middle = posterior.weight.sum(axis=(1, 2)), _middle(posterior)
    return RunNoise(
        deviation=float(np.exp(level.mean())),
        params=float(np.exp(centre)),
        slope=float(middle.slope[0]),
        memory=float(middle.memory[0]),
        white=float(weight @ posterior.memory.white),
        degrees_of_freedom=float(np.clip(freedom, 1.0, most)),
        families=posterior.freedom.size,
        seeds=_most_seeds(samples),
    )


def _most_seeds(samples: Samples) -> int:
    sizes, label = np.round(np.log(samples.params), 9), trajectories(samples)
    return max(np.unique(label[sizes == size]).size for size in np.unique(sizes))


def _draw(mixed: MixedFit, noise: Memory, normal: Floats, level: Floats) -> Refits:
    """Fit the law to drawn losses. Where runs are many, the move itself is close to the fit, which starts there."""
    problem, theta = mixed.fit.prepared.problem, mixed.fit.minimum.theta
    losses, moved = draw_losses(mixed, noise, normal, level)
    many = mixed.deviations.runs.place.shape[0] >= MANY_UNITS
    start = theta + moved @ problem.free.T if many else np.repeat(theta[None, :], normal.shape[0], axis=0)
    return refit(replace(problem, z=losses), mixed.deviations.runs, noise, start, least=_ENOUGH * level**2)


def draw_losses(mixed: MixedFit, noise: Memory, normal: Floats, level: Floats) -> tuple[Floats, Floats]:
    """Move the law's losses along its tangent by an error of each covariance and of its level (k,).

    `normal` (k, p) is standard normal. Returned are ln losses (k, n) and by how much the free parameters moved (k, p).
    """
    problem, theta = mixed.fit.prepared.problem, mixed.fit.minimum.theta
    residuals, jacobian = mixed.deviations.residuals, mixed.deviations.jacobian
    white, _ = whiten(mixed.deviations.runs, noise, np.column_stack([jacobian, residuals])[None])
    gram = white.transpose(0, 2, 1) @ white
    values, vectors = np.linalg.eigh(gram[:, :-1, :-1])
    values = np.maximum(values, _RIDGE * values[:, -1:])
    # Each covariance has its own best fit, off the one of the mean covariance; errors are about that.
    along = (gram[:, None, -1, :-1] @ vectors)[:, 0, :] / values + level[:, None] * normal / np.sqrt(values)
    moved = (vectors @ along[..., None])[..., 0]
    return predict(problem, theta[None, :]) + moved @ jacobian.T, moved
