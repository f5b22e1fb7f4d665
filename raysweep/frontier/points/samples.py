"""The points of one fit as arrays, and those that were kept out of it."""

from dataclasses import dataclass

import numpy as np

from raysweep.core.hashing import digest
from raysweep.frontier.numerics.arrays import Floats, Indices, Labels, Mask
from raysweep.frontier.points.findings import Kind


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A point that was kept out of a fit."""

    row: int
    """In the table that was given."""
    kind: Kind
    reason: str


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The points of one fit, as arrays of shape (n,).

    `cost` is the column that the fit counts as compute (FLOPs or seconds), `row` the row in the table given.
    """

    params: Floats
    data: Floats
    cost: Floats
    loss: Floats
    weight: Floats
    row: Indices
    cost_name: str = "flops"
    device: str | None = None
    """The device type that the seconds were measured on; None where the cost is FLOPs, or the points name no device."""
    trajectory: Labels | None = None
    unique_data: Floats | None = None

    @property
    def count(self) -> int:
        """The number of points."""
        return int(self.loss.size)

    def take(self, chosen: Mask | Indices) -> "Samples":
        """Select points by mask or by position."""
        return Samples(
            params=self.params[chosen],
            data=self.data[chosen],
            cost=self.cost[chosen],
            loss=self.loss[chosen],
            weight=self.weight[chosen],
            row=self.row[chosen],
            cost_name=self.cost_name,
            device=self.device,
            trajectory=None if self.trajectory is None else self.trajectory[chosen],
            unique_data=None if self.unique_data is None else self.unique_data[chosen],
        )

    def digest(self) -> str:
        """SHA-256 of the points' numbers: the same points in the same order give the same digest."""
        columns = [self.params, self.data, self.cost, self.loss, self.weight]
        return digest(b"".join(np.ascontiguousarray(column, dtype="<f8").tobytes() for column in columns))
