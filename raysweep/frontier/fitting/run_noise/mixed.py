"""The law and the noise of its runs fitted together: a mixed-effects model with a law in its middle.

Robust fits are the starts. In turn, the covariance of all families' errors is estimated (`covariance.py`), points
that lie far from where their run's others put them lose trust, and each family's law is fitted with that covariance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raysweep.frontier.fitting.robust import DOUBTED, MOST_SILENCED, SILENT, robust_scale
from raysweep.frontier.fitting.run_noise.covariance import WIDE, Deviations, Posterior, Prior, estimate, sample
from raysweep.frontier.fitting.run_noise.noise import RunNoise
from raysweep.frontier.fitting.run_noise.refits import gradient, refit
from raysweep.frontier.fitting.run_noise.runs import Memory, arrange_runs, correlation
from raysweep.frontier.fitting.surfaces import SurfaceFit
from raysweep.frontier.fitting.trajectories import trajectories
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.solver import predict
from raysweep.frontier.points.samples import Samples

ROUNDS = 3
"""Times that covariance, trust and law are estimated anew, each from the others."""
_INDEPENDENT = Memory(memory=np.ones(1), white=np.ones(1), slope=np.zeros(1))
_CERTAIN = 1e-16


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
    """Take the law of points treated as independent, and attribute its residuals to run-to-run noise.

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


def uniform(count: int, columns: int, *seed: int) -> Floats:
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
    _, level = sample(posterior, place, uniform(256, 2))
    return float(np.exp(level.mean()))


def _trust(deviations: Deviations, memory: Memory, level: float) -> Floats:
    """Weight each point by its distance from the law, and from the prediction by the other points of its run.

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
    _, level = sample(posterior, place, uniform(256, 2))
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
