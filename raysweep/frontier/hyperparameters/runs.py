"""The runs of a fit of hyperparameter laws as arrays, by cell: runs of one N and D."""

from dataclasses import dataclass, fields, replace

import numpy as np

from raysweep.core.hashing import digest
from raysweep.frontier.numerics.arrays import Floats, Indices, Labels, Mask

SAME_PARAMS, SAME_DATA = 0.005, 0.02
"""Relative differences of N and of D up to which runs are of one cell: real runs do not end at the very same D."""


@dataclass(frozen=True, kw_only=True)
class HyperparameterRuns:
    """Runs as arrays of shape (n,); `row` counts in the table given, `cell` numbers the runs of one N and D."""

    params: Floats
    data: Floats
    loss: Floats
    weight: Floats
    row: Indices
    cell: Indices
    learning_rate: Floats | None = None
    batch: Floats | None = None
    trajectory: Labels | None = None

    @property
    def count(self) -> int:
        """The number of runs."""
        return int(self.loss.size)

    def axis(self, name: str) -> Floats:
        """The column of a hyperparameter."""
        values: Floats | None = getattr(self, name)
        assert values is not None
        return values

    def take(self, chosen: Mask | Indices) -> "HyperparameterRuns":
        """Select runs by mask or by position."""
        names = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def digest(self) -> str:
        """SHA-256 of the runs' numbers: the same runs in the same order give the same digest."""
        parts = (self.params, self.data, self.learning_rate, self.batch, self.loss, self.weight)
        known = [np.ascontiguousarray(part, dtype="<f8").tobytes() for part in parts if part is not None]
        return digest(b"".join(known))


def cells_of(params: Floats, data: Floats, given: Floats | None = None) -> Indices:
    """Number the cell of each run from 0, in order of N, then D, then what is given, shape (n,)."""
    groups = [
        _groups(np.log(params), SAME_PARAMS),
        _groups(np.log(data), SAME_DATA, _groups(np.log(params), SAME_PARAMS)),
    ]
    if given is not None:
        groups.append(_groups(np.log(given), SAME_PARAMS))
    return np.asarray(np.unique(np.stack(groups, axis=1), axis=0, return_inverse=True)[1].reshape(-1), dtype=np.int64)


def _groups(logs: Floats, tolerance: float, within: Indices | None = None) -> Indices:
    """Number values that differ by at most a tolerance from the lowest of their group, within each larger group."""
    outer = np.zeros(logs.size, dtype=np.int64) if within is None else within
    numbers = np.zeros(logs.size, dtype=np.int64)
    current, lowest, last = -1, -np.inf, -1
    for place in np.lexsort((logs, outer)):
        if outer[place] != last or logs[place] > lowest + tolerance:
            current, lowest, last = current + 1, logs[place], int(outer[place])
        numbers[place] = current
    return numbers


def distinct(values: Floats) -> int:
    """The number of distinct values."""
    return int(np.unique(np.round(np.log(values), 6)).size)


def common(values: Floats, cell: Indices) -> Floats:
    """Geometric mean of a column in each cell, shape (cells,)."""
    sums = np.bincount(cell, weights=np.log(values))
    return np.asarray(np.exp(sums / np.bincount(cell)))
