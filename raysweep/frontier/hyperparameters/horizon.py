"""How the best learning rate moves with the horizon: its exponent in D, from the same rates at several D.

At each horizon a parabola in ln rate goes through ln loss near its lowest value; its vertex is the best rate there. The
exponent is the slope of the vertices against ln D. The noise is pooled over the horizons; the uncertainty of a vertex
is that of the parabola's coefficients, to first order (delta method), with Student's t of the remaining points.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from raysweep.frontier.numerics.arrays import Floats

if TYPE_CHECKING:
    from raysweep.storage.rate_records import RateRecord

REGION = 1.3
"""Losses within this factor of the lowest are near it; farther out the curve is no parabola."""
LEAST = 4
"""Rates near the lowest loss that a vertex with an uncertainty needs."""
LEVEL = 0.95

Losses = Sequence[tuple[float, float]]
"""(learning rate, loss) of each run that reached a horizon."""


@dataclass(frozen=True, kw_only=True)
class BestRate:
    """The best learning rate at one horizon."""

    data: float
    """D, atoms seen by the horizon."""
    rate: float
    standard_error: float
    """Of ln rate."""


@dataclass(frozen=True, kw_only=True)
class HorizonExponent:
    """d ln rate / d ln D, the best rates that it comes from, and their continuation to other D."""

    exponent: float
    low: float
    high: float
    best: tuple[BestRate, ...]
    degrees_of_freedom: int

    @property
    def matters(self) -> bool:
        """Whether the interval excludes 0, so that a rate is to be corrected."""
        return self.low > 0 or self.high < 0

    def rate_at(self, data: float) -> tuple[float, float, float]:
        """Return the best rate at another D, with its interval: the line through the vertices, continued."""
        x = np.log([one.data for one in self.best])
        y = np.log([one.rate for one in self.best])
        weights = _weights(self.best)
        middle = float(np.sum(weights * x) / np.sum(weights))
        level = float(np.sum(weights * y) / np.sum(weights))
        distance = math.log(data) - middle
        slope_error = 1 / math.sqrt(float(np.sum(weights * (x - middle) ** 2)))
        half = math.hypot(1 / math.sqrt(float(np.sum(weights))), distance * slope_error)
        half *= float(stdtrit(self.degrees_of_freedom, 0.5 + 0.5 * LEVEL))
        value = level + self.exponent * distance
        return math.exp(value), math.exp(value - half), math.exp(value + half)


def horizon_exponent(curves: Mapping[float, Losses]) -> HorizonExponent | str:
    """Measure how the best rate moves with D.

    Args:
        curves: by horizon D, the rates that were tried and their losses there.

    Returns:
        The exponent, or the reason why the losses do not tell it.

    >>> rates = [0.002, 0.004, 0.008, 0.016, 0.032]
    >>> curves = {d: [(r, 1 + 0.1 * math.log(r / (0.008 * (d / 1e5) ** -0.2)) ** 2) for r in rates] for d in (1e5, 1e6)}
    >>> found = horizon_exponent(curves)
    >>> f"{found.exponent:.2f}, {found.rate_at(1e7)[0]:.2g}"
    '-0.20, 0.0032'
    """
    if len(curves) < 2:
        return "fewer than two horizons have losses"
    valleys: list[_Valley] = []
    for data, losses in sorted(curves.items()):
        found = _valley(data, losses)
        if isinstance(found, str):
            return f"at D = {data:.4g}: {found}"
        valleys.append(found)
    freedom = sum(valley.freedom for valley in valleys)
    variance = sum(valley.squares for valley in valleys) / freedom
    best = tuple(valley.best(variance) for valley in valleys)
    for valley in valleys:
        if valley.curvature <= 2 * valley.curvature_error(variance):
            return f"at D = {valley.data:.4g}: the losses curve less than their noise, so the best rate is open"
    x, y, weights = np.log([b.data for b in best]), np.log([b.rate for b in best]), _weights(best)
    middle = np.sum(weights * x) / np.sum(weights)
    spread = float(np.sum(weights * (x - middle) ** 2))
    exponent = float(np.sum(weights * (x - middle) * y)) / spread
    half = float(stdtrit(freedom, 0.5 + 0.5 * LEVEL)) / math.sqrt(spread)
    return HorizonExponent(
        exponent=exponent, low=exponent - half, high=exponent + half, best=best, degrees_of_freedom=freedom
    )


def exponent_of(record: "RateRecord") -> HorizonExponent | str:
    """Measure it from a sweep's own record of the same rates at several horizons."""
    if record.on_plateau:
        return "no trial has left the starting plateau; give larger horizons"
    curves: dict[float, list[tuple[float, float]]] = {}
    for trial in record.trials:
        for data, loss in zip(trial.data, trial.losses, strict=True):
            curves.setdefault(data, []).append((trial.learning_rate, loss))
    return horizon_exponent(curves)


def _weights(best: Sequence[BestRate]) -> Floats:
    # Losses without any noise have no standard errors: all horizons then count alike.
    errors = np.maximum([one.standard_error for one in best], 1e-9)
    return np.asarray(1 / errors**2)


@dataclass(frozen=True)
class _Valley:
    """A parabola c + b x + a x² in x = ln(rate / centre), fitted by least squares."""

    data: float
    centre: float
    coefficients: Floats
    inverse: Floats
    squares: float
    freedom: int

    @property
    def curvature(self) -> float:
        return float(self.coefficients[0])

    def curvature_error(self, variance: float) -> float:
        return math.sqrt(variance * float(self.inverse[0, 0]))

    def best(self, variance: float) -> BestRate:
        a, b, _ = self.coefficients
        gradient = np.array([b / (2 * a**2), -1 / (2 * a), 0.0])
        error = math.sqrt(max(variance * float(gradient @ self.inverse @ gradient), 0.0))
        return BestRate(data=self.data, rate=self.centre * math.exp(-b / (2 * a)), standard_error=error)


def _valley(data: float, losses: Losses) -> _Valley | str:
    finite = [(rate, loss) for rate, loss in losses if math.isfinite(loss) and loss > 0]
    if len({rate for rate, _ in finite}) < LEAST:
        return f"{len(finite)} rates have a loss, and {LEAST} are needed"
    lowest_rate, lowest = min(finite, key=lambda pair: (pair[1], pair[0]))
    region = [(rate, loss) for rate, loss in finite if loss <= REGION * lowest]
    rates = [rate for rate, _ in region]
    if len(set(rates)) < LEAST:
        return f"{len(set(rates))} rates are near the lowest loss, and {LEAST} are needed; try rates closer together"
    if lowest_rate in (min(rates), max(rates)):
        return "the best rate is the lowest or highest of those near it"
    x = np.log(np.array(rates) / lowest_rate)
    design = np.column_stack([x**2, x, np.ones_like(x)])
    target = np.log([loss for _, loss in region])
    coefficients, *_ = np.linalg.lstsq(design, target, rcond=None)
    if coefficients[0] <= 0:
        return "the losses have no minimum among the rates near the lowest"
    vertex = -coefficients[1] / (2 * coefficients[0])
    if not x.min() < vertex < x.max():
        return "the parabola's minimum lies outside of the rates that were tried"
    squares = float(np.sum((target - design @ coefficients) ** 2))
    return _Valley(data, lowest_rate, coefficients, np.linalg.inv(design.T @ design), squares, len(region) - 3)
