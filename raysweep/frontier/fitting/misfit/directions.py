"""The shapes that a law may miss: curvature and interaction in ln N and ln D, changes of exponent, and the ends.

Each is a column of values at the points. A change of exponent at a place k (a broken law, 2210.14891) adds s (v - k)+
to ln loss, where v is ln N or ln D and s the law's own slope there: the share of the loss that this exponent moves.
"""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.numerics.arrays import Floats, Mask

KINKS = (0.15, 0.3, 0.5, 0.7, 0.85)
"""Quantiles at which an exponent may change."""
TURNS = (0.3, 0.7)
"""Quantiles at which ln loss itself may turn away from the law."""
FEW = 7
"""Distinct values up to which each inner one is tried as a place, and each end is the outermost value alone."""
END = 0.2
"""Share of the points at an end where the values are many."""
QUADRATIC = 3
"""The first columns: ln N squared, ln N times ln D, ln D squared."""


@dataclass(frozen=True, kw_only=True)
class Axes:
    """Where the points lie, and the law's slopes there: arrays of shape (n,).

    `params_slope` and `data_slope` are the derivatives of ln loss by ln N and by ln D.
    """

    params: Floats
    data: Floats
    cost: Floats
    params_slope: Floats
    data_slope: Floats

    def take(self, rows: Mask) -> "Axes":
        """Select points."""
        return Axes(**{name: values[rows] for name, values in vars(self).items()})


def standardised(values: Floats) -> Floats:
    """Centre and scale ln values; zeros where they are all equal."""
    logs = np.log(values)
    spread = float(logs.std())
    return np.asarray((logs - logs.mean()) / spread) if spread > 1e-9 else np.zeros_like(logs)


def directions(axes: Axes) -> Floats:
    """The shapes as columns, shape (n, m); the first `QUADRATIC` are the quadratic ones."""
    x, y, c = (standardised(values) for values in (axes.params, axes.data, axes.cost))
    columns = [x * x, x * y, y * y]
    for values, slope in ((x, axes.params_slope), (y, axes.data_slope)):
        columns += [slope * np.maximum(values - place, 0.0) for place in _places(values, KINKS)]
    for values in (x, y, c):
        columns += [np.maximum(values - place, 0.0) for place in _places(values, TURNS)]
        columns += [at_end(side * values).astype(float) for side in (1, -1)]
    return np.stack(columns, axis=1)


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
