"""Prediction intervals: the law's uncertainty, the noise of a run, and how wrong the law was on runs it had not seen.

The first two alone are too narrow for larger runs of real models, since no law is exact. The law is therefore fitted to
the smaller of the points and asked for the larger ones, and the interval is widened until it would have held them.

What no run measures is the best size. Where the points bend, it drifts as larger runs enter the fit, and will go on
doing so: by how much for each factor of compute is learnt from the same fits to the smaller points.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from raysweep.frontier.answers.uncertainty import LARGEST_LOG
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.fitting.run_noise.noise import RunNoise
from raysweep.frontier.fitting.surfaces import draw_surfaces, fit_surface
from raysweep.frontier.fitting.trajectories import degrees_of_freedom, resampling_units
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import resample
from raysweep.frontier.points.samples import Samples
from raysweep.frontier.points.weighting import effective, toward_largest

SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the points, by rising cost, that the law is fitted to."""
LEAST = 12
_BOOTSTRAPS = 100
_STARTS = 16
UNKNOWN = 2.0
"""The factor where the points are too few for such splits: about what the published sets of points ask for."""
_MOST = 4.0


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How the best size moves as larger runs enter the fit.

    Attributes:
        rate: root mean square of d ln N* / d ln C over the origins, N* at the largest compute; 0 where the law holds.
        origins: their number.
    """

    rate: float = 0.0
    origins: int = 1

    def half_width(self, log_distance: float, level: float) -> float:
        """Half-width of ln N* beyond the points, `log_distance` in ln C: Student's t of the origins."""
        return self.rate * log_distance * float(stdtrit(self.origins, 0.5 + 0.5 * level))


def noise_half_width(residuals: Floats, parameters: int, level: float, weight: Floats | None = None) -> float:
    """Half-width in ln loss that holds `level` of single runs about the law.

    The larger of the Gaussian one (from the median absolute residual) and the residuals' own quantile, since real noise
    has tails. Both are corrected for the fitted parameters. `weight` (n,) tells how much each residual counts.
    """
    finite = np.isfinite(residuals)
    known = np.abs(residuals[finite])
    if weight is None:
        count, median, tail = float(known.size), float(np.median(known)), float(np.quantile(known, level))
    else:
        weight = weight[finite]
        count, (median, tail) = effective(weight), _weighted_quantiles(known, weight, [0.5, level])
    degrees = max(count - parameters, 1.0)
    gaussian = float(median) / 0.6744897501960817 * float(stdtrit(degrees, 0.5 + 0.5 * level))
    return float(np.sqrt(count / degrees)) * max(gaussian, float(tail))


def _weighted_quantiles(values: Floats, weight: Floats, shares: list[float]) -> Floats:
    order = np.argsort(values)
    place = np.cumsum(weight[order]) - 0.5 * weight[order]
    return np.asarray(np.interp(shares, place / weight.sum(), values[order]))


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
    residuals: Floats, samples: Samples, form: Form, noise: RunNoise | None, params: float, level: float
) -> float:
    """Half-width in ln loss that holds `level` of single runs of a size, by the noise of runs where it is known."""
    if noise is None:
        weight = _weighted(samples, form).weight if form.toward_largest else None
        return noise_half_width(residuals, form.parameters, level, weight)
    return run_half_width(residuals, samples, form.parameters, noise, params, level)


def widened(answer: Answer, factor: float, further: float = 0.0) -> Answer:
    """Widen a positive answer's interval by a factor, and by a further half-width in quadrature, on the logarithm."""
    interval, value = answer.interval, answer.value
    if interval is None or not 0 < value < np.inf or interval.low <= 0:
        return answer
    below, above = (float(np.hypot(factor * np.log(end / value), further)) for end in interval)
    low, high = value * float(np.exp(-below)), value * float(np.exp(min(above, LARGEST_LOG)))
    return replace(answer, interval=replace(interval, low=low, high=high))


def extrapolation_factor(samples: Samples, form: Form, seed: int) -> float:
    """Factor, at least 1, by which intervals of larger runs are widened so as to hold those among the points.

    The worst origin decides, or their mean where larger runs weigh more.
    """
    ratios: list[Floats] = []
    for part, rest in _divided(samples):
        ratios.append(_errors_over_half_widths(part, rest, form, seed))
    if not ratios:
        return UNKNOWN
    # Where a law is fitted near the largest runs the origins differ by chance more than by how far the law holds.
    tails = [float(np.quantile(ratio, 0.95)) for ratio in ratios]
    return float(np.clip(np.mean(tails) if form.toward_largest else max(tails), 1.0, _MOST))


def optimum_drift(law: Surface, samples: Samples, form: Form, seed: int) -> Drift:
    """Compare N* at the largest compute by the law of all points and by those of the smaller ones."""
    largest = float(samples.cost.max())
    rates = []
    for part, _ in _divided(samples):
        distance = float(np.log(largest / part.cost.max()))
        if distance > 0:
            earlier = fit_surface(_weighted(part, form), form, None, seed, _STARTS).surface
            rates.append(float(np.log(law.optimum(largest)[0] / earlier.optimum(largest)[0])) / distance)
    known = [rate for rate in rates if np.isfinite(rate)]
    return Drift(rate=float(np.sqrt(np.mean(np.square(known)))), origins=len(known)) if known else Drift()


def _divided(samples: Samples) -> Iterator[tuple[Samples, Samples]]:
    for share in SHARES:
        seen = samples.cost <= np.quantile(samples.cost, share)
        part, rest = samples.take(seen), samples.take(~seen)
        sizes = np.unique(np.round(np.log(part.params), 9)).size
        if part.count >= LEAST and sizes >= 3 and rest.count:
            yield part, rest


def _weighted(samples: Samples, form: Form) -> Samples:
    return toward_largest(samples, form.parameters) if form.toward_largest else samples


def _errors_over_half_widths(part: Samples, rest: Samples, form: Form, seed: int) -> Floats:
    """Fit `part`, predict `rest`: errors in ln loss over half-widths of the 95 % interval, shape (points,)."""
    part = _weighted(part, form)
    fit = fit_surface(part, form, None, seed, _STARTS)
    draws, _ = draw_surfaces(part, fit, form, resample(resampling_units(part, form), _BOOTSTRAPS, seed))
    log_draws = np.log(draws.wide().loss(rest.params, rest.data))  # (bootstraps, points)
    away = np.abs(log_draws - np.median(log_draws, axis=0))
    error = 1.4826 * np.median(away, axis=0) * float(stdtrit(degrees_of_freedom(part, form), 0.975))
    weight = part.weight if form.toward_largest else None
    half_width = np.hypot(error, noise_half_width(fit.minimum.residuals, form.parameters, 0.95, weight))
    return np.asarray(np.abs(np.log(rest.loss / fit.surface.loss(rest.params, rest.data))) / half_width)
