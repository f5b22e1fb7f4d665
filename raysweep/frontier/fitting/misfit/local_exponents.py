"""Local exponents of learning curves, -d ln L / d ln D between consecutive budgets of each run, and the law's own."""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.fitting.robust import robust_scale
from raysweep.frontier.fitting.surfaces import fit_surface
from raysweep.frontier.fitting.trajectories import trajectories
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.points.samples import Samples

SAME_INTERVAL = 0.02
"""ln of the ratio up to which two intervals of D count as one, for replicates."""


@dataclass(frozen=True, kw_only=True)
class LocalExponents:
    """Exponents between consecutive budgets, arrays of shape (m,), by run and then by rising D.

    Attributes:
        run: number of the run. params: N. low, high: D at the ends of the interval.
        exponent: -ln(L_high / L_low) / ln(high / low).
        law: the same of the law: it falls where E or the N term is felt, so that a falling exponent alone is no
            transition; one that rises first, or falls faster, is.
        error: standard deviation of an exponent among runs of one N where there are some, else about the law's.
        replicated: whether `error` is of runs of one N.
    """

    run: Indices
    params: Floats
    low: Floats
    high: Floats
    exponent: Floats
    law: Floats
    error: float
    replicated: bool


def exponents_along_runs(samples: Samples, form: Form, seed: int = 0, law: Surface | None = None) -> LocalExponents:
    """Measure the local exponents of the points of one family.

    Args:
        samples: the points; those of no run, or of runs of one point, give none.
        form: of the law.
        seed: of the starts of its fit.
        law: to compare with; None: it is fitted to the points.
    """
    unit = trajectories(samples)
    order = np.lexsort((samples.data, unit))
    follows = (np.diff(unit[order]) == 0) & (np.diff(samples.data[order]) > 0)
    first, second = order[:-1][follows], order[1:][follows]
    law = fit_surface(samples, form, None, seed).surface if law is None else law

    def slope(loss: Floats) -> Floats:
        return np.asarray(-np.log(loss[second] / loss[first]) / np.log(samples.data[second] / samples.data[first]))

    measured, predicted = slope(samples.loss), slope(law.loss(samples.params, samples.data))
    low, high, params = samples.data[first], samples.data[second], samples.params[first]
    keys = np.round(np.log(np.stack([params, low, high], axis=1)) / SAME_INTERVAL).astype(np.int64)
    group = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
    count = np.bincount(group)
    degrees = int(group.size - count.size)
    away = measured - (np.bincount(group, measured) / count)[group]
    error = float(np.sqrt(np.sum(away**2) / degrees)) if degrees else robust_scale(measured - predicted, 0)
    return LocalExponents(
        run=unit[first],
        params=params,
        low=low,
        high=high,
        exponent=measured,
        law=predicted,
        error=error,
        replicated=degrees > 0,
    )
