"""Residuals of runs made comparable: a run's deviation from the law is remembered along it, and small runs vary more.

The deviation is taken for an autoregression in ln D about a constant of each run: correlation r^k between budgets a
factor 2^k apart. Differences x_j - r^k x_(j-1), over the root of 1 - r^2k, are then uncorrelated. r is the likeliest of
a few values by restricted likelihood with the quadratic shapes in the mean, so that a bend is not taken for memory.
"""

import numpy as np

from raysweep.frontier.fitting.misfit.scan import basis, project_out
from raysweep.frontier.numerics.arrays import Floats, Indices

CORRELATIONS = (0.0, 0.3, 0.5, 0.65, 0.8, 0.9)
"""Of a run's deviations at budgets a factor 2 apart."""
USUAL, SPREAD = 0.65, 0.25
"""Centre and standard deviation of what is expected before: few points say little about r. Measured over four seeds of
six force fields: .8, .5 to .6, .35, .2 at factors 2, 4, 8, 16."""
_ROUNDING = 1e-8
_CLOSEST = 0.1
"""Doublings between two points of a run at the least: nearer ones differ by their own noise."""


class RunOrder:
    """The order of the points along their runs, for whitening and for taking out each run's mean."""

    def __init__(self, unit: Indices, data: Floats) -> None:
        self.order = np.lexsort((data, unit))
        self.unit = unit[self.order]
        self.first = np.append(True, self.unit[1:] != self.unit[:-1])
        doublings = np.diff(np.log2(data[self.order]), prepend=0.0)
        self.gap = np.where(self.first, np.inf, np.maximum(doublings, _CLOSEST))

    def whiten(self, values: Floats, correlation: float) -> Floats:
        """Differences of values (n,) or (n, m) along the runs, less the part along each run's constant."""
        share = np.where(self.first, 0.0, correlation**self.gap)
        scale = 1.0 / np.sqrt(1.0 - share**2)
        constant = scale * (1.0 - share)
        sorted_values = values[self.order].reshape(self.unit.size, -1)
        before = np.vstack([np.zeros_like(sorted_values[:1]), sorted_values[:-1]])
        white = scale[:, None] * (sorted_values - share[:, None] * before)
        starts = np.flatnonzero(self.first)
        mass = np.add.reduceat(constant**2, starts)
        mean = np.add.reduceat(constant[:, None] * white, starts) / mass[:, None]
        number = np.cumsum(self.first) - 1
        white -= constant[:, None] * mean[number]
        length = np.linalg.norm(white, axis=0), np.linalg.norm(sorted_values, axis=0)
        white[:, length[0] < _ROUNDING * length[1]] = 0.0  # what is constant along every run
        return np.asarray(white.reshape(values.shape))

    def log_determinant(self, correlation: float) -> float:
        """Return ln of the determinant of the correlations, each run's constant taken out."""
        share = np.where(self.first, 0.0, correlation**self.gap)
        scale = 1.0 / np.sqrt(1.0 - share**2)
        mass = np.add.reduceat((scale * (1.0 - share)) ** 2, np.flatnonzero(self.first))
        return float(-2.0 * np.log(scale).sum() + np.log(mass).sum())

    def correlation(self, residuals: Floats, tangent: Floats) -> float:
        """The likeliest correlation of residuals (n,) given a mean in the tangent space (n, p)."""
        found = []
        for value in CORRELATIONS:
            mean = self.whiten(tangent, value)
            space = basis(mean)
            rest = project_out(space, self.whiten(residuals, value))
            degrees = max(residuals.size - int(self.first.sum()) - space.shape[1], 1)
            spread = float(rest @ rest) / degrees
            length = np.linalg.svd(mean, compute_uv=False)[: space.shape[1]]
            doubt = 0.5 * ((value - USUAL) / SPREAD) ** 2
            likelihood = degrees * np.log(max(spread, 1e-300)) + self.log_determinant(value) + 2 * np.log(length).sum()
            found.append(-0.5 * likelihood - doubt)
        return CORRELATIONS[int(np.argmax(found))]
