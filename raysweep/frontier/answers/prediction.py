"""Prediction intervals: the law's uncertainty, the noise of a run, and how wrong the law was on runs it had not seen.

The first two alone are too narrow for larger runs of real models, since no law is exact: here the law is fitted to the
smaller runs among the points, asked for the larger ones, and the interval is widened until it would have held them.
"""

import numpy as np
from scipy import stats

from raysweep.frontier.approaches.parametric import Form, draw_surfaces, fit_surface
from raysweep.frontier.approaches.trajectories import spare, units
from raysweep.frontier.numerics.intervals import resample
from raysweep.frontier.numerics.solver import Floats
from raysweep.frontier.points.cleaning import Samples

SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LEAST = 12
_BOOTSTRAPS = 100
UNKNOWN = 2.0
"""Factor where the points are too few to look: about what the real sets at hand ask for."""
_MOST = 4.0


def noise_reach(residuals: Floats, parameters: int, level: float) -> float:
    """Return the half-width that holds `level` of single runs about the law, in ln loss.

    The larger of the Gaussian one (from the median absolute residual) and the residuals' own quantile: real noise has
    tails. Both are corrected for the fitted parameters.
    """
    known = np.abs(residuals[np.isfinite(residuals)])
    spare = max(known.size - parameters, 1)
    swollen = float(np.sqrt(known.size / spare))
    gaussian = float(np.median(known)) / 0.6744897501960817 * float(stats.t.ppf(0.5 + 0.5 * level, spare))
    return swollen * max(gaussian, float(np.quantile(known, level)))


def extrapolation_factor(samples: Samples, form: Form, parameters: int, seed: int) -> float:
    """Return by how much intervals of larger runs have to be widened to hold those that are known, at least 1."""
    ratios: list[Floats] = []
    for share in SHARES:
        seen = samples.cost <= np.quantile(samples.cost, share)
        part, rest = samples.take(seen), samples.take(~seen)
        sizes = np.unique(np.round(np.log(part.params), 9)).size
        if part.count < LEAST or sizes < 3 or not rest.count:
            continue
        fit = fit_surface(part, form, None, seed, 16)
        draws, _ = draw_surfaces(part, fit, form, resample(units(part, form), _BOOTSTRAPS, seed))
        log_draws = np.log(
            [draws.loss(n, d) for n, d in zip(rest.params, rest.data, strict=True)]
        )  # (points, bootstraps)
        away = np.abs(log_draws - np.median(log_draws, axis=1, keepdims=True))
        error = 1.4826 * np.median(away, axis=1) * float(stats.t.ppf(0.975, spare(part, form, parameters)))
        reach = np.hypot(error, noise_reach(fit.residuals, parameters, 0.95))
        ratios.append(np.abs(np.log(rest.loss / fit.surface.loss(rest.params, rest.data))) / reach)
    if not ratios:
        return UNKNOWN
    return float(np.clip(max(np.quantile(ratio, 0.95) for ratio in ratios), 1.0, _MOST))
