"""Where two frontiers cross along ln C: by the fits, by their draws, and without each resampling unit."""

from functools import cached_property

import numpy as np
from scipy.special import stdtrit

from raysweep.frontier.answers.uncertainty import LARGEST_LOG
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.laws.lifetime import Usage, losses_within, total_costs
from raysweep.frontier.laws.quantities import Law, curve_of
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, Interval, jackknife_variance, robust_error
from raysweep.frontier.result import Fit

_PLACES = 2001
"""Computes at which two frontiers are compared; draws are compared at every tenth."""
_MOST_DRAWS = 500
_LEVEL = 0.95


class Pair:
    """Two fits, and the grid of ln C along which they are compared: all their costs, and `reach` to either side.

    Where inference counts, C is the total cost, of training and inference, and `usages` has each fit's inference.
    """

    def __init__(self, first: Fit, second: Fit, reach: float, usages: tuple[Usage, Usage] | None = None) -> None:
        self.first, self.second = first, second
        self._usages: tuple[Usage | None, Usage | None] = usages or (None, None)
        self._known: dict[tuple[int, int], tuple[Law, Floats]] = {}
        one, other = self._costs
        low, high = min(one.min(), other.min()) - np.log(reach), max(one.max(), other.max()) + np.log(reach)
        self.grid = np.linspace(low, high, _PLACES)
        ends = float(max(one.min(), other.min())), float(min(one.max(), other.max()))
        self.common = ends if ends[0] <= ends[1] else ()
        """From and to which ln C both were run; empty where they have none in common."""

    @cached_property
    def _costs(self) -> tuple[Floats, Floats]:
        """For each fit ln C of its points; where inference counts, of the smallest and the largest training."""
        one, other = (
            np.log(fit.samples.cost) if usage is None else np.log(_total_costs(fit, usage))
            for fit, usage in zip((self.first, self.second), self._usages, strict=True)
        )
        return one, other

    @property
    def counts_inference(self) -> bool:
        """Whether C is the cost of training and inference."""
        return self._usages[0] is not None

    @property
    def joint(self) -> bool:
        """Whether the fits share parameters, so that their refits belong together."""
        one, other = self.first.shared, self.second.shared
        return one is not None and other is not None and one.families == other.families

    def is_common(self, place: float) -> bool:
        """Whether both were run at ln C."""
        return len(self.common) == 2 and self.common[0] - 1e-9 <= place <= self.common[1] + 1e-9

    def estimate(self) -> Floats:
        """The first fit's loss less the second's along the grid."""
        return np.asarray(self.difference(self.first.known, self.second.known, self.grid)[0])

    def difference(self, first: Law, second: Law, grid: Floats) -> Floats:
        """The first frontier's loss less the second's along ln C, for each pair of draws, shape (k, m)."""
        return self._along(first, grid, self._usages[0]) - self._along(second, grid, self._usages[1])

    def _along(self, law: Law, grid: Floats, usage: Usage | None) -> Floats:
        if usage is None:
            return _along(law, np.exp(grid)[None, :])
        assert isinstance(law, Surface)
        key = id(law), grid.size
        if key not in self._known:
            self._known[key] = law, losses_within(law, usage, np.exp(grid))
        return self._known[key][1]

    @cached_property
    def draws(self) -> tuple[Law, Law] | None:
        """As many draws of both as there are of each; None where one has none. Those of independent fits are mixed."""
        if self.first.draws is None or self.second.draws is None:
            return None
        counts = [np.size(self.first.draws.E), np.size(self.second.draws.E)]
        count = min(*counts, _MOST_DRAWS)
        other = np.arange(count) if self.joint else np.random.default_rng(0).permutation(counts[1])[:count]
        return self.first.draws.take(slice(count)), self.second.draws.take(other)

    def widening(self, place: float) -> float:
        """Factor by which intervals of ln C are widened: the larger of the fits' own, beyond their points."""
        beyond = [
            fit.frontier_factor
            for fit, costs in zip((self.first, self.second), self._costs, strict=True)
            if isinstance(fit.known, Surface) and place > costs.max()
        ]
        return max([1.0, *beyond])


def _total_costs(fit: Fit, usage: Usage) -> Floats:
    """The total costs at which the smallest and the largest training of the points would be the best ones."""
    ends = np.array([fit.samples.cost.min(), fit.samples.cost.max()])
    return total_costs(fit.surface, usage, ends)


def _along(law: Law, cost: Floats) -> Floats:
    if isinstance(law, Surface) and law.breaks:
        return np.stack([np.atleast_1d(law.optimum(float(one))[2]) for one in cost[0]], axis=1)
    curve = curve_of(law)
    asymptote, log_f, gamma = (np.atleast_1d(value)[:, None] for value in (curve.E, curve.log_F, curve.gamma))
    return np.asarray(asymptote + np.exp(log_f - gamma * np.log(cost)))


def crossings(values: Floats, grid: Floats) -> list[tuple[float, bool]]:
    """Find ln C of each change of sign along the grid, and whether the difference rises there."""
    known = np.flatnonzero(np.isfinite(values) & (values != 0))  # a zero is no side, nor is a cost that buys no model
    kept, at = values[known], grid[known]
    changes = np.flatnonzero(np.sign(kept[:-1]) * np.sign(kept[1:]) < 0)
    share = kept[changes] / (kept[changes] - kept[changes + 1])
    places = at[changes] + share * (at[changes + 1] - at[changes])
    return [(float(place), bool(kept[change] < 0)) for place, change in zip(places, changes, strict=True)]


def _nearest(pair: Pair, first: Law, second: Law, place: float, rising: bool) -> Floats:
    """For each pair of laws, ln C of its crossing in the given direction that is nearest to a place; NaN: none."""
    coarse = pair.grid[::10]
    found = []
    for row in pair.difference(first, second, coarse):
        places = [at for at, up in crossings(row, coarse) if up is rising]
        found.append(min(places, key=lambda at: abs(at - place), default=np.nan))
    return np.array(found)


def share_lower_everywhere(pair: Pair, *, first: bool) -> float:
    """Share of the draws in which one fit is lower at every compute of the grid; NaN without draws."""
    draws = pair.draws
    if draws is None:
        return float("nan")
    values = pair.difference(*draws, pair.grid[::10])
    return float(np.mean(np.all(values < 0 if first else values > 0, axis=1)))


def probability_lower(pair: Pair, place: float, *, first: bool) -> float | None:
    """Probability that one fit is the lower one at ln C, by the draws, spread beyond the points; None without draws."""
    laws = pair.draws
    if laws is None:
        return None
    coarse = pair.grid[::10]
    nearest = int(np.argmin(np.abs(coarse - place)))
    values = pair.difference(*laws, coarse)[:, nearest]
    values = values[np.isfinite(values)]
    if values.size < LEAST_DRAWS:
        return None
    middle = float(np.median(values))
    spread = middle + pair.widening(place) * (values - middle)
    return float(np.mean(spread < 0 if first else spread > 0))


def interval_of_crossing(pair: Pair, place: float, rising: bool) -> tuple[float, Interval | None]:
    """The share of the draws that cross in a direction, and the crossing's interval from those nearest to it.

    Where trajectories are drawn it is made as for any answer.
    """
    laws = pair.draws
    if laws is None:
        return float("nan"), None
    places = _nearest(pair, *laws, place, rising)
    draws = places[np.isfinite(places)]
    share = float(np.mean(np.isfinite(places))) if places.size else float("nan")
    if draws.size < LEAST_DRAWS:
        return share, None
    factor = pair.widening(place)
    if not pair.first.uncertainty.clustered and not pair.second.uncertainty.clustered:
        low, high = np.quantile(draws, [0.5 - 0.5 * _LEVEL, 0.5 + 0.5 * _LEVEL]) - place
        method = "percentile"
    else:
        error = max(robust_error(draws), float(np.sqrt(_jackknife_variance(pair, place, rising))))
        degrees_of_freedom = min(pair.first.degrees_of_freedom, pair.second.degrees_of_freedom)
        high = error * float(stdtrit(degrees_of_freedom, 0.5 + 0.5 * _LEVEL))
        low, method = -high, "studentised"
    ends = (float(np.clip(place + factor * away, -LARGEST_LOG, LARGEST_LOG)) for away in (low, high))
    below, above = (float(np.exp(end)) for end in ends)
    return share, Interval(low=below, high=above, level=_LEVEL, method=method)


def _jackknife_variance(pair: Pair, place: float, rising: bool) -> float:
    """Variance of ln C at the crossing from leaving out each unit of either fit."""
    grid, variance = pair.grid, 0.0
    first, second = pair.first.uncertainty, pair.second.uncertainty
    together = [(first.jackknife, second.jackknife)]
    apart = [(first.jackknife, second.estimate), (first.estimate, second.jackknife)]
    for one, other in together if pair.joint else apart:
        if one is None or other is None:
            continue
        without = _nearest(pair, one, other, place, rising)
        # A crossing that vanishes without a trajectory may be anywhere: as far as was looked.
        farthest = grid[0] if place - grid[0] > grid[-1] - place else grid[-1]
        variance += jackknife_variance(np.where(np.isfinite(without), without, farthest))
    return variance
