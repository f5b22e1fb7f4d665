"""The noise of runs in the user's terms."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class RunNoise:
    """Run-to-run noise at one size: the standard deviation of ln loss, and the correlation length of a run's deviation.

    Attributes:
        deviation: standard deviation of ln loss at `params` parameters. slope: of its logarithm in ln N.
        memory: e-folding distance in ln D of a deviation. white: share of the variance that is not remembered at all.
        degrees_of_freedom: of Student's t that the deviation's own uncertainty amounts to (Satterthwaite 1946).
        families: whose runs it was estimated from together. seeds: the most runs that one size of this family has.
    """

    deviation: float
    params: float
    slope: float
    memory: float
    white: float
    degrees_of_freedom: float
    families: int
    seeds: int

    def at(self, params: float) -> float:
        """Standard deviation of ln loss among runs of a size."""
        return self.deviation * float(np.exp(self.slope * np.log(params / self.params)))

    def correlation(self, factor: float) -> float:
        """Correlation of a run's deviations at two amounts of data that differ by a factor."""
        return (1.0 - self.white) * float(np.exp(-abs(np.log(factor)) / self.memory))
