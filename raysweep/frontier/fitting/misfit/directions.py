"""The shapes that a law may miss: curvature and interaction in ln N and ln D, changes of exponent, and the ends.

Each is a column of values at the points. A change of exponent at a place k (a broken law, 2210.14891) multiplies a term
of the law by (v / k)^(c e) beyond it, with v either N or D and e the exponent, so that ln loss changes by the term's
share of the loss times (v / k)^(c e) - 1; that share is -s / e, with s the law's own slope in ln v. Halving and
doubling (c = 1/2 and -1) are tried: over some decades of v they are far from the first order in c, and from each other.
"""

from dataclasses import dataclass, replace

import numpy as np

from raysweep.frontier.numerics.arrays import Floats, Mask

KINKS = (0.15, 0.3, 0.5, 0.7, 0.85)
"""Quantiles at which an exponent may change."""
CHANGES = (0.5, -1.0)
"""By how much of itself an exponent falls there: it is halved, or doubled."""
TURNS = (0.3, 0.7)
"""Quantiles at which ln loss itself may turn away from the law."""
FEW = 7
"""Distinct values up to which each inner one is tried as a place, and each end is the outermost value alone."""
END = 0.2
"""Share of the points at an end where the values are many."""
QUADRATIC = 3
"""The first columns: ln N squared, ln N times ln D, ln D squared."""
_FIRST_ORDER, _MOST = 0.02, 30.0
"""ln of the factors of a term below which the first order is all, and beyond which the law says nothing any more."""


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Where the points lie, and the law's slopes there: arrays of shape (n,).

    `params_slope` and `data_slope` are the derivatives of ln loss by ln N and by ln D; `params_exponent` and
    `data_exponent` those with which the law's terms fall (0: to first order in a change of exponent).
    """

    params: Floats
    data: Floats
    cost: Floats
    params_slope: Floats
    data_slope: Floats
    params_exponent: float = 0.0
    data_exponent: float = 0.0

    def take(self, rows: Mask) -> "Axes":
        """Select points."""
        return replace(
            self,
            params=self.params[rows],
            data=self.data[rows],
            cost=self.cost[rows],
            params_slope=self.params_slope[rows],
            data_slope=self.data_slope[rows],
        )


def standardised(values: Floats) -> Floats:
    """Centre and scale ln values; zeros where they are all equal."""
    logs = np.log(values)
    spread = float(logs.std())
    return np.asarray((logs - logs.mean()) / spread) if spread > 1e-9 else np.zeros_like(logs)


def directions(axes: Axes) -> Floats:
    """The shapes as columns, shape (n, m); the first `QUADRATIC` are the quadratic ones."""
    x, y, c = (standardised(values) for values in (axes.params, axes.data, axes.cost))
    columns = [x * x, x * y, y * y]
    columns += _changes(axes.params, axes.params_slope, axes.params_exponent)
    columns += _changes(axes.data, axes.data_slope, axes.data_exponent)
    for values in (x, y, c):
        columns += [np.maximum(values - place, 0.0) for place in _places(values, TURNS)]
        columns += [at_end(side * values).astype(float) for side in (1, -1)]
    return np.stack(columns, axis=1)


def _changes(amount: Floats, slope: Floats, exponent: float) -> list[Floats]:
    """The shapes of an exponent that changes at one of several places, each of shape (n,)."""
    logs, scaled = np.log(amount), standardised(amount)
    found = []
    for place in _places(scaled, KINKS):
        beyond = np.maximum(logs - logs.mean() - place * float(logs.std()), 0.0)
        if abs(exponent) * float(beyond.max()) < _FIRST_ORDER:
            found.append(slope * beyond)
            continue
        for change in CHANGES:
            power = change * exponent
            found.append(slope / power * np.expm1(np.clip(power * beyond, -_MOST, _MOST)))
    return found


def at_end(values: Floats) -> Mask:
    """Mark the points of the highest values: the highest distinct one, or the upper fifth where there are many."""
    distinct = np.unique(np.round(values, 6))
    if distinct.size < 2:
        return np.zeros(values.size, dtype=bool)
    least = distinct[-1] - 1e-6 if distinct.size <= FEW else np.quantile(values, 1.0 - END)
    return np.asarray(values >= least)


def _places(values: Floats, quantiles: tuple[float, ...]) -> list[float]:
    distinct = np.unique(np.round(values, 6))
    if distinct.size < 3:
        return []
    if distinct.size <= FEW:
        return [float(value) for value in distinct[1:-1]]
    return [float(value) for value in np.quantile(distinct, quantiles)]
