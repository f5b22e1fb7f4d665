"""Reservations about points that every approach shares: units that do not fit, repeats that the law does not know."""

from collections.abc import Iterable

import numpy as np

from raysweep.frontier.approaches.options import Options
from raysweep.frontier.fitting.data_constrained import LEAST, MOST
from raysweep.frontier.fitting.surfaces import SurfaceFit, fit_surface
from raysweep.frontier.fitting.units import unit_findings
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.findings import Finding, Kind, caution, count_of
from raysweep.frontier.points.samples import Samples

_REPEATED = 1.05
"""Data over their distinct part beyond which a run repeats them."""
_F_LIMIT = 3.84
"""Quantile of chi-squared with one degree of freedom at 95 %."""
_STARTS = 8


def reservations(samples: Samples, options: Options) -> Iterable[Finding]:
    """Find what is doubtful about readable points, whatever fits them."""
    yield from unit_findings(samples)
    law = options.form.law
    if samples.count and samples.unique_data is not None and law not in ("data_constrained", "params"):
        times = samples.data / samples.unique_data
        count = int(np.sum(times > _REPEATED))
        if count:
            text = (
                f"{count_of(count, 'repeats its data', 'repeat their data')}, up to {times.max():.3g} times, and "
                f"law={law!r} counts repeats as new data: law='data_constrained'"
            )
            yield caution(Kind.REPEATS_IGNORED, text)


def repeats_findings(samples: Samples, fit: SurfaceFit, form: Form) -> Iterable[Finding]:
    """Find an R* that the points do not show: it is at a bound, or a bound fits as well."""
    assert samples.unique_data is not None
    again: Floats = samples.data / samples.unique_data - 1.0
    again = again[again > _REPEATED - 1.0]
    repeats, delta = float(np.exp(fit.surface.log_repeats)), fit.minimum.delta
    best, high, low = (
        fit_surface(samples, form, delta, 0, _STARTS, repeats=held).minimum.objective for held in (repeats, MOST, LEAST)
    )
    scale = max(best, 1e-300) / max(samples.count - form.parameters, 1)
    if (high - best) / scale < _F_LIMIT:
        text = (
            f"repeats (up to {again.max(initial=0.0):.3g}) teach as much as new data here: R* is only known to be large"
        )
        yield caution(Kind.BOUND_ACTIVE, f"{_held(repeats, MOST)}, {text}; add runs with more repeats")
    elif (low - best) / scale < _F_LIMIT:
        text = f"repeats (from {again.min(initial=np.inf):.3g} on) add nothing here: R* is only known to be small"
        yield caution(Kind.BOUND_ACTIVE, f"{_held(repeats, LEAST)}, {text}; add runs with fewer repeats")


def _held(repeats: float, bound: float) -> str:
    if abs(np.log(repeats / bound)) < np.log(1.05):
        return f"R* is at its bound {bound:g}"
    return f"R* = {repeats:.3g} is not determined, its bound {bound:g} fits as well"
