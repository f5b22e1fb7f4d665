"""Planned runs as arrays: the points that they will give, and which compute budgets they bracket."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.fitting.costs import fit_cost
from raysweep.frontier.laws.laws import CostModel, Surface
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask
from raysweep.frontier.points.samples import Samples

SIDES = 2
"""Sizes on either side of N* that bracket it: with one, the noise of a single run could turn a slope into a minimum."""
_SAME_SIZE = 1e-6
"""In ln N."""
_ON_A_RAY = 0.999
"""Correlation of ln N and ln D beyond which D follows from N."""
REACHES = 0.02
"""A run that ends this share below a budget reaches it: budgets fall between steps."""


@dataclass(frozen=True, kw_only=True)
class PlannedPoints:
    """The points that planned runs of one family will give, arrays of shape (n,).

    Attributes:
        params: N. data: D. flops: C of the run up to the point. run: number of the point's run from 0.
    """

    params: Floats
    data: Floats
    flops: Floats
    run: Indices

    @classmethod
    def of(
        cls, params: Sequence[float], data: Sequence[float], flops: Sequence[float], run: Sequence[object]
    ) -> "PlannedPoints":
        """Take columns of equal length; `run` names the run of each point.

        Raises:
            FrontierError: no points, columns of other lengths, or amounts that are not positive numbers.
        """
        numbers: dict[object, int] = {}
        label = np.array([numbers.setdefault(name, len(numbers)) for name in run], dtype=np.int64)
        columns = [np.asarray(column, dtype=float) for column in (params, data, flops)]
        if not label.size or any(column.size != label.size for column in columns):
            lengths = ", ".join(str(column.size) for column in [*columns, label])
            raise FrontierError(f"planned points: params, data, flops and run have {lengths} rows; give equal numbers")
        if any(not np.all(np.isfinite(column) & (column > 0)) for column in columns):
            raise FrontierError("planned points: params, data and flops must be positive numbers")
        return cls(params=columns[0], data=columns[1], flops=columns[2], run=label)

    @property
    def sizes(self) -> Floats:
        """The distinct N, ascending."""
        ordered = np.unique(self.params)
        return np.asarray(ordered[np.concatenate([[True], np.diff(np.log(ordered)) > _SAME_SIZE])])

    @property
    def ratio(self) -> tuple[float, float]:
        """The smallest and the largest D/N."""
        ratios = self.data / self.params
        return float(ratios.min()), float(ratios.max())

    @property
    def ray(self) -> bool:
        """Whether D is a function of N, so that a law's two terms cannot be separated unless their shapes differ."""
        x, y = np.log(self.params), np.log(self.data)
        if np.ptp(x) == 0 or np.ptp(y) == 0:
            return True
        return bool(abs(np.corrcoef(x, y)[0, 1]) > _ON_A_RAY)

    def samples(self, law: Surface) -> Samples:
        """The points with the losses of a law."""
        loss = np.asarray(law.loss(self.params, self.data), dtype=float)
        return Samples(
            params=self.params,
            data=self.data,
            cost=self.flops,
            loss=loss,
            weight=np.ones(loss.size),
            row=np.arange(loss.size),
            trajectory=np.array([str(run) for run in self.run], dtype=object),
        )

    def cost_model(self) -> CostModel:
        """C = kappa N^p D^q through the planned costs."""
        ones = np.ones(self.params.size)
        return fit_cost(
            Samples(
                params=self.params,
                data=self.data,
                cost=self.flops,
                loss=ones,
                weight=ones,
                row=np.arange(self.params.size),
            )
        )

    def ends(self) -> dict[float, float]:
        """The largest C that a run of each size reaches, by N."""
        return {size: float(self.flops[rows].max()) for size, rows in self._by_size().items()}

    def per_datum(self) -> dict[float, float]:
        """C over D of each size, by N."""
        return {size: float((self.flops[rows] / self.data[rows]).mean()) for size, rows in self._by_size().items()}

    def _by_size(self) -> dict[float, Mask]:
        return {float(size): np.abs(np.log(self.params / size)) <= _SAME_SIZE for size in self.sizes}


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """The optimum at one compute budget, and the sizes about it whose runs reach the budget."""

    flops: float
    params: float
    """N* of a law."""
    data: float
    """D* of it."""
    below: int
    """Sizes up to N* with a run that reaches the budget."""
    above: int
    within_data: bool
    """Whether D* lies between the least and the most data of the points that count."""

    @property
    def bracketed(self) -> bool:
        """Whether N* has two sizes on either side, and D* lies within the data."""
        return self.below >= SIDES and self.above >= SIDES and self.within_data

    @property
    def lacks(self) -> str:
        """What would bracket it, in words; empty if nothing is missing."""
        wanted = []
        if self.below < SIDES:
            wanted.append(f"{_sizes(SIDES - self.below)} below N* = {self.params:.3g} that reach it")
        if self.above < SIDES:
            wanted.append(f"{_sizes(SIDES - self.above)} above N* = {self.params:.3g} that reach it")
        if not self.within_data:
            wanted.append(f"data up to D* = {self.data:.3g}")
        return ", ".join(wanted)


def _sizes(count: int) -> str:
    return "one size more" if count == 1 else f"{count} sizes more"


def brackets(
    points: PlannedPoints, law: Surface, budgets: Sequence[float], transition: float = 0.0
) -> tuple[Bracket, ...]:
    """Find how each budget's optimum lies among planned runs.

    Args:
        points: of the planned runs.
        law: whose optimum is in question.
        budgets: compute, in the unit of the points' flops.
        transition: D below which points count for nothing, since learning curves are in transition there.
    """
    ends, per_datum, most = points.ends(), points.per_datum(), float(points.data.max())
    least = max(transition, float(points.data.min()))
    found = []
    for budget in budgets:
        params, data, _ = (float(value) for value in law.optimum(budget))
        reached = [
            size
            for size, end in ends.items()
            if end >= (1 - REACHES) * budget and budget / per_datum[size] >= transition
        ]
        below = sum(size <= params for size in reached)
        within = least <= data <= most
        found.append(
            Bracket(flops=budget, params=params, data=data, below=below, above=len(reached) - below, within_data=within)
        )
    return tuple(found)
