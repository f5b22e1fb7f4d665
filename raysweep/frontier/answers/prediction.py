"""Prediction intervals: the law's uncertainty, the noise of a run, and how wrong the law was on runs it had not seen.

The first two alone are too narrow for larger runs of real models, since no law is exact. The law is therefore fitted to
the smaller of the points and asked for the larger ones, and the interval is widened until it would have held them.
"""

from dataclasses import replace

import numpy as np
from scipy.special import stdtrit

from raysweep.frontier.answers.uncertainty import LARGEST_LOG
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.fitting.run_noise.noise import RunNoise
from raysweep.frontier.fitting.surfaces import draw_surfaces, fit_surface
from raysweep.frontier.fitting.trajectories import degrees_of_freedom, resampling_units
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import resample
from raysweep.frontier.points.samples import Samples
from raysweep.frontier.points.weighting import toward_largest

SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the points, by rising cost, that the law is fitted to."""
LEAST = 12
_BOOTSTRAPS = 100
_STARTS = 16
UNKNOWN = 2.0
"""The factor where the points are too few for such splits: about what the published sets of points ask for."""
_MOST = 4.0


def noise_half_width(residuals: Floats, parameters: int, level: float) -> float:
    """Half-width in ln loss that holds `level` of single runs about the law.

    The larger of the Gaussian one (from the median absolute residual) and the residuals' own quantile, since real noise
    has tails. Both are corrected for the fitted parameters.
    """
    known = np.abs(residuals[np.isfinite(residuals)])
    degrees = max(known.size - parameters, 1)
    correction = float(np.sqrt(known.size / degrees))
    gaussian = float(np.median(known)) / 0.6744897501960817 * float(stdtrit(degrees, 0.5 + 0.5 * level))
    return correction * max(gaussian, float(np.quantile(known, level)))


def run_half_width(
    residuals: Floats, samples: Samples, parameters: int, noise: RunNoise, params: float, level: float
) -> float:
    """Half-width in ln loss that holds `level` of single runs of a size about the law, by the noise of runs.

    The larger of Student's t and the residuals' own quantile, each residual in units of its size's noise.
    """
    sizes, back = np.unique(samples.params, return_inverse=True)
    deviations = np.array([noise.at(float(size)) for size in sizes])[back]
    correction = float(np.sqrt(residuals.size / max(residuals.size - parameters, 1)))
    own = correction * float(np.quantile(np.abs(residuals) / deviations, level))
    return noise.at(params) * max(float(stdtrit(noise.degrees_of_freedom, 0.5 + 0.5 * level)), own)


def half_width_at(
    residuals: Floats, samples: Samples, parameters: int, noise: RunNoise | None, params: float, level: float
) -> float:
    """Half-width in ln loss that holds `level` of single runs of a size, by the noise of runs where it is known."""
    if noise is None:
        return noise_half_width(residuals, parameters, level)
    return run_half_width(residuals, samples, parameters, noise, params, level)


def widened(answer: Answer, factor: float) -> Answer:
    """Widen the interval of a positive answer by a factor, on the logarithm."""
    interval, value = answer.interval, answer.value
    if interval is None or not 0 < value < np.inf or interval.low <= 0:
        return answer
    low, high = (value * float(np.exp(min(factor * np.log(end / value), LARGEST_LOG))) for end in interval)
    return replace(answer, interval=replace(interval, low=low, high=high))


def extrapolation_factor(samples: Samples, form: Form, seed: int) -> float:
    """Factor, at least 1, by which intervals of larger runs are widened so as to hold those among the points."""
    ratios: list[Floats] = []
    for share in SHARES:
        seen = samples.cost <= np.quantile(samples.cost, share)
        part, rest = samples.take(seen), samples.take(~seen)
        sizes = np.unique(np.round(np.log(part.params), 9)).size
        if part.count >= LEAST and sizes >= 3 and rest.count:
            ratios.append(_errors_over_half_widths(part, rest, form, seed))
    if not ratios:
        return UNKNOWN
    return float(np.clip(max(np.quantile(ratio, 0.95) for ratio in ratios), 1.0, _MOST))


def _errors_over_half_widths(part: Samples, rest: Samples, form: Form, seed: int) -> Floats:
    """Fit `part`, predict `rest`: errors in ln loss over half-widths of the 95 % interval, shape (points,)."""
    if form.toward_largest:
        part = toward_largest(part, form.parameters)
    fit = fit_surface(part, form, None, seed, _STARTS)
    draws, _ = draw_surfaces(part, fit, form, resample(resampling_units(part, form), _BOOTSTRAPS, seed))
    log_draws = np.log(draws.wide().loss(rest.params, rest.data))  # (bootstraps, points)
    away = np.abs(log_draws - np.median(log_draws, axis=0))
    error = 1.4826 * np.median(away, axis=0) * float(stdtrit(degrees_of_freedom(part, form), 0.975))
    half_width = np.hypot(error, noise_half_width(fit.minimum.residuals, form.parameters, 0.95))
    return np.asarray(np.abs(np.log(rest.loss / fit.surface.loss(rest.params, rest.data))) / half_width)
