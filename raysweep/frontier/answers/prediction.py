"""Prediction intervals: the law's uncertainty, the noise of a run, and how wrong the law was on runs it had not seen.

The first two alone are too narrow for larger runs of real models, since no law is exact. The law is therefore fitted to
the smaller of the points and asked for the larger ones, and the interval is widened until it would have held them.

What no run measures is the best size. Where the points bend, it drifts as larger runs enter the fit, and will go on
doing so: by how much for each factor of compute is learnt from the same fits to the smaller points.

The lowest loss is that of the law, without the noise of a single run. By how much it is surer or less sure than the
law's own uncertainty says is learnt from it alone: by how far it moved, at the largest compute, as larger runs entered
the fit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from raysweep.frontier.answers.uncertainty import LARGEST_LOG
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.fitting.run_noise.noise import RunNoise
from raysweep.frontier.fitting.surfaces import SurfaceFit, draw_surfaces, fit_surface
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
_LEAST_HALF_WIDTH = 1e-9
_STARTS = 16
UNKNOWN = 2.0
"""The factor where the points are too few for such splits: about what the published sets of points ask for."""
_MOST = 4.0
PRIOR_WEIGHT = 2.0
"""Of what is usual, in origins that err independently, beside the origins of the points at hand."""
INDEPENDENT = 0.5
"""Of an origin: those of one set have most of their points in common."""
_RMS = 1.0 / 1.959963984540054
"""Root mean square of Gaussian errors over the half-width that holds 95 % of them."""


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
        weight = toward_largest(samples, form.parameters).weight if form.toward_largest else None
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


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The law as it was before the larger runs: of a `part` of the points, without the `rest`, and its refits."""

    part: Samples
    rest: Samples
    fit: SurfaceFit
    draws: Surface


def rolling(samples: Samples, form: Form, seed: int) -> tuple[Origin, ...]:
    """Fit the law to the smaller points, up to each of `SHARES` that leaves enough of them."""
    found = []
    for share in SHARES:
        seen = samples.cost <= np.quantile(samples.cost, share)
        part, rest = samples.take(seen), samples.take(~seen)
        sizes = np.unique(np.round(np.log(part.params), 9)).size
        if part.count >= LEAST and sizes >= 3 and rest.count:
            part = toward_largest(part, form.parameters) if form.toward_largest else part
            fit = fit_surface(part, form, None, seed, _STARTS)
            draws, _ = draw_surfaces(part, fit, form, resample(resampling_units(part, form), _BOOTSTRAPS, seed))
            found.append(Origin(part=part, rest=rest, fit=fit, draws=draws))
    return tuple(found)


def extrapolation_factor(origins: Sequence[Origin], form: Form) -> float:
    """Factor, at least 1, by which intervals of larger runs are widened so as to hold those among the points.

    The worst origin decides, or their mean where larger runs weigh more.
    """
    if not origins:
        return UNKNOWN
    # Where a law is fitted near the largest runs the origins differ by chance more than by how far the law holds.
    tails = [float(np.quantile(_errors_over_half_widths(one, form), 0.95)) for one in origins]
    return float(np.clip(np.mean(tails) if form.toward_largest else max(tails), 1.0, _MOST))


def frontier_factor(law: Surface, samples: Samples, origins: Sequence[Origin], form: Form, contradicted: bool) -> float:
    """Factor, at least 1, by which intervals of the lowest loss beyond the points are widened.

    It is the root mean square, over the origins, of the error at the largest compute in half-widths of the law's own
    interval, relative to what that is where intervals hold, and shrunk towards what is usual: `UNKNOWN` where the
    points contradict the additive law, 1 where they do not.

    Args:
        law: of all points.
        samples: the points.
        origins: the laws of the smaller of them.
        form: of the law.
        contradicted: whether the points contradict the additive law.
    """
    largest, squares = float(samples.cost.max()), []
    for one in origins:
        if one.part.cost.max() < largest:
            away = float(np.log(law.optimum(largest)[2] / one.fit.surface.optimum(largest)[2]))
            half_width = float(_half_widths(np.log(one.draws.optimum(largest)[2]), one.part, form))
            squares.append((away / max(half_width, _LEAST_HALF_WIDTH) / _RMS) ** 2)
    known = [square for square in squares if np.isfinite(square)]
    usual = UNKNOWN**2 if contradicted else 1.0
    mean = (PRIOR_WEIGHT * usual + INDEPENDENT * sum(known)) / (PRIOR_WEIGHT + INDEPENDENT * len(known))
    return float(np.clip(np.sqrt(mean), 1.0, _MOST))


def optimum_drift(law: Surface, samples: Samples, origins: Sequence[Origin]) -> Drift:
    """Compare N* at the largest compute by the law of all points and by those of the smaller ones."""
    largest = float(samples.cost.max())
    rates = []
    for one in origins:
        distance = float(np.log(largest / one.part.cost.max()))
        if distance > 0:
            moved = np.log(law.optimum(largest)[0] / one.fit.surface.optimum(largest)[0])
            rates.append(float(moved) / distance)
    known = [rate for rate in rates if np.isfinite(rate)]
    return Drift(rate=float(np.sqrt(np.mean(np.square(known)))), origins=len(known)) if known else Drift()


def _errors_over_half_widths(origin: Origin, form: Form) -> Floats:
    """Errors in ln loss of the larger runs over half-widths of their 95 % intervals, shape (points,)."""
    rest, surface = origin.rest, origin.fit.surface
    error = _half_widths(np.log(origin.draws.wide().loss(rest.params, rest.data)), origin.part, form)
    weight = origin.part.weight if form.toward_largest else None
    half_width = np.hypot(error, noise_half_width(origin.fit.minimum.residuals, form.parameters, 0.95, weight))
    return np.asarray(np.abs(np.log(rest.loss / surface.loss(rest.params, rest.data))) / half_width)


def _half_widths(draws: Floats, part: Samples, form: Form) -> Floats:
    """Half-width that holds 95 % about each column of draws (bootstraps, ...)."""
    away = np.abs(draws - np.median(draws, axis=0))
    return np.asarray(1.4826 * np.median(away, axis=0) * float(stdtrit(degrees_of_freedom(part, form), 0.975)))
