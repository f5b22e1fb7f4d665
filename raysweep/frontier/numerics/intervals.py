"""Confidence intervals from bootstrap draws and jackknife values."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from raysweep.core.errors import FrontierError
from raysweep.frontier.numerics.arrays import Floats, Indices

LEAST_DRAWS = 50
MANY_UNITS = 500
"""Units from which on resamples are drawn one unit at a time, and the jackknife is the infinitesimal one."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An interval, with its level and the method that gave it."""

    low: float
    high: float
    level: float
    method: str

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __iter__(self) -> Iterator[float]:
        return iter((self.low, self.high))

    @property
    def width(self) -> float:
        """High less low."""
        return self.high - self.low


def resample(unit: Indices, bootstraps: int, seed: int) -> Floats:
    """Draw pairs-bootstrap weights: the number of times that each point's unit was drawn, shape (bootstraps, n).

    Args:
        unit: of each point, numbered from 0: points of one unit are drawn together (see `resampling_units`).
        bootstraps: number of resamples.
        seed: the same seed and number of units give the same draws.
    """
    count = int(unit.max()) + 1
    generator = np.random.default_rng(seed)
    if count < MANY_UNITS:
        times = generator.multinomial(count, np.full(count, 1.0 / count), bootstraps).astype(float)
        return np.take(times, unit, axis=1)
    weights = np.empty((bootstraps, unit.size))  # row by row: one array, not three
    for row in weights:
        row[:] = np.bincount(generator.integers(0, count, count), minlength=count)[unit]
    return weights


def percentile(draws: Floats, level: float) -> tuple[float, float]:
    """Quantiles that leave (1 - level) / 2 of the draws on either side (Efron 1979)."""
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(draws, [tail, 100.0 - tail])
    return float(low), float(high)


def studentised(
    estimate: float,
    draws: Floats,
    jackknife: Floats | None,
    level: float,
    degrees_of_freedom: int,
    clustered: bool = False,
) -> tuple[float, float]:
    """Estimate -/+ t times a standard error from bootstrap and jackknife.

    Percentiles over-cover at few points, since some resamples leave a parameter open and throw it far out; the median
    absolute deviation does not see them (it is 1/1.4826 of a Gaussian's standard deviation). It errs low by some per
    cent where points have leverage, the jackknife high: their quadratic mean covers best where points are drawn
    (benchmarks/frontier_coverage.py). Where trajectories are drawn they are few, and either may err low: the larger of
    the two covers best (benchmarks/frontier_trajectories.py).

    Args:
        estimate: the fit's value.
        draws: the bootstraps' values.
        jackknife: the values with one unit left out, in turn; None where the fit is not smooth in the points.
        level: the coverage aimed at.
        degrees_of_freedom: points less parameters, or units less one where those are fewer.
        clustered: whether some units are of several points.
    """
    error = robust_error(draws)
    if jackknife is not None and np.all(np.isfinite(jackknife)) and jackknife.size > 1:
        variance = jackknife_variance(jackknife)
        error = float(np.sqrt(max(error**2, variance) if clustered else 0.5 * error**2 + 0.5 * variance))
    reach = float(stdtrit(max(degrees_of_freedom, 1), 0.5 + 0.5 * level)) * error
    return estimate - reach, estimate + reach


def robust_error(draws: Floats) -> float:
    """The bootstraps' standard deviation, estimated from their median absolute deviation."""
    return float(np.median(np.abs(draws - np.median(draws)))) * 1.482602218505602


def jackknife_variance(jackknife: Floats) -> float:
    """Variance from the values with one unit left out in turn (Tukey 1958)."""
    away = jackknife - jackknife.mean()
    return float(np.sum(away**2) * (away.size - 1) / away.size)


def bca(estimate: float, draws: Floats, jackknife: Floats | None, level: float) -> tuple[float, float]:
    """Bias-corrected and accelerated interval (Efron 1987).

    Args:
        estimate: the fit's value.
        draws: the bootstraps' values.
        level: the coverage aimed at.
        jackknife: the values with one unit left out, in turn; without them the acceleration is 0.
    """
    below = np.clip(np.mean(draws < estimate) + 0.5 * np.mean(draws == estimate), 1e-3, 1 - 1e-3)
    bias = float(ndtri(below))
    acceleration = 0.0
    if jackknife is not None:
        kept = jackknife[np.isfinite(jackknife)]
        away = kept.mean() - kept
        acceleration = float(np.sum(away**3) / max(6.0 * np.sum(away**2) ** 1.5, 1e-300))
    ends = []
    for tail in (0.5 - 0.5 * level, 0.5 + 0.5 * level):
        reach = bias + float(ndtri(tail))
        ends.append(100.0 * float(ndtr(bias + reach / (1.0 - acceleration * reach))))
    low, high = np.percentile(draws, ends)
    return float(low), float(high)


def interval_of(
    estimate: float,
    draws: Floats,
    jackknife: Floats | None,
    level: float,
    degrees_of_freedom: int,
    clustered: bool,
    method: str,
) -> tuple[float, float, str]:
    """Low end, high end and the name of the method used; draws that are not finite are left out.

    Raises:
        FrontierError: the level is not between 0 and 1, or there is no such method.
    """
    if isinstance(level, str | bool) or not 0 < level < 1:
        raise FrontierError(f"level = {level}: give a number between 0 and 1, such as 0.95")
    kept = draws[np.isfinite(draws)]
    if method == "percentile":
        return (*percentile(kept, level), method)
    if method == "bca":
        return (*bca(estimate, kept, jackknife, level), method)
    if method in ("default", "studentised"):
        return (*studentised(estimate, kept, jackknife, level, degrees_of_freedom, clustered), "studentised")
    raise FrontierError(f"no interval method {method!r}: default, studentised, percentile or bca")
