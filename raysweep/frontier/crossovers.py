"""The compute at which one family's frontier overtakes another's."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.uncertainty import LARGEST_LOG
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.laws.quantities import Law, curve_of
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, Interval, jackknife_variance, robust_error
from raysweep.frontier.result import Fit

_PLACES = 2001
"""Computes at which two frontiers are compared; draws are compared at every tenth."""
_MOST_DRAWS = 500


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """The compute from which one family's frontier lies below another's.

    Attributes:
        before, after: the family that is lower below the crossing, and above it.
        flops: the crossing, with its interval; None where the frontiers do not cross in the range looked at.
        share: of the joint bootstraps in which they cross in this direction.
        inside: whether the crossing lies within the computes that both were run at.
        sentence: for a person.
    """

    before: str
    after: str
    flops: Answer | None
    share: float
    inside: bool
    sentence: str


def crossovers(fits: Mapping[str, Fit], *, reach: float = 1e3) -> list[Crossover]:
    """Find the compute at which one family overtakes another, for every pair.

    Args:
        fits: by family, as `fit_families` returns them.
        reach: how far beyond the computes that were run to look, as a factor on either side.

    Raises:
        FrontierError: the fits count different costs (FLOPs and seconds, or seconds of different devices).
    """
    if isinstance(reach, str) or not 1 <= reach < np.inf:
        raise FrontierError(f"crossovers(reach={reach!r}): give a factor of 1 or more")
    if len({fit.cost_name for fit in fits.values()}) > 1:
        raise FrontierError("crossovers: some fits count FLOPs and some seconds; fit all with the same cost=")
    devices = dict.fromkeys(fit.samples.device for fit in fits.values() if fit.samples.device is not None)
    if len(devices) > 1:
        raise FrontierError(
            f"crossovers: the fits count seconds of different devices ({', '.join(devices)}), which do not mix; "
            "compare at equal FLOPs (cost='flops')"
        )
    usable = {name: fit for name, fit in fits.items() if fit.estimate is not None}
    return [
        _crossover((one, other), _Pair(usable[one], usable[other], reach)) for one, other in combinations(usable, 2)
    ]


class _Pair:
    """Two fits, and the grid of ln C along which they are compared: all their costs, and `reach` to either side."""

    def __init__(self, first: Fit, second: Fit, reach: float) -> None:
        costs = np.concatenate([first.samples.cost, second.samples.cost])
        self.first, self.second = first, second
        self.grid = np.linspace(np.log(costs.min() / reach), np.log(costs.max() * reach), _PLACES)
        self.middle = int(np.searchsorted(self.grid, np.log(np.sqrt(costs.min() * costs.max()))))

    def first_is_lower(self) -> bool:
        """Whether the first frontier is the lower one at the middle of the costs."""
        return bool(_difference(self.first.known, self.second.known, self.grid)[0][self.middle] < 0)

    def draws(self, most: int | None = None) -> tuple[Law, Law] | None:
        """As many draws of both as there are of each, `most` at most; None where one has none."""
        if self.first.draws is None or self.second.draws is None:
            return None
        counts = [np.size(self.first.draws.E), np.size(self.second.draws.E)]
        count = min(counts if most is None else [*counts, most])
        return self.first.draws.take(slice(count)), self.second.draws.take(slice(count))

    def is_common(self, cost: float) -> bool:
        """Whether a cost lies within the costs of both."""
        one, other = self.first.samples.cost, self.second.samples.cost
        return bool(max(one.min(), other.min()) <= cost <= min(one.max(), other.max()))


def _crossover(names: tuple[str, str], pair: _Pair) -> Crossover:
    place, rising = _crossing(_difference(pair.first.known, pair.second.known, pair.grid)[0], pair.grid)
    if place is None:
        return _no_crossover(names[0] if pair.first_is_lower() else names[1], pair)
    before, after = names if rising else names[::-1]
    draws = pair.draws(_MOST_DRAWS)
    places = np.empty(0) if draws is None else _crossings(*draws, pair.grid, rising)
    share = float(np.mean(np.isfinite(places))) if places.size else float("nan")
    interval = _interval(pair, place, places[np.isfinite(places)], rising)
    answer = Answer(value=float(np.exp(place)), interval=interval)
    inside = pair.is_common(answer.value)
    where = "" if inside else ", an extrapolation: both were not run there"
    text = f"{after} overtakes {before} at {answer} (in {share:.0%} of the bootstraps{where})"
    return Crossover(before=before, after=after, flops=answer, share=share, inside=inside, sentence=text)


def _no_crossover(lower: str, pair: _Pair) -> Crossover:
    low, high = np.exp(pair.grid[0]), np.exp(pair.grid[-1])
    text = f"{lower} is lower at every compute from {low:.2g} to {high:.2g}"
    return Crossover(before=lower, after=lower, flops=None, share=_lower_share(pair), inside=False, sentence=text)


def _lower_share(pair: _Pair) -> float:
    """Share of the draws in which the same fit is the lower one at the middle of the costs."""
    draws = pair.draws()
    if draws is None:
        return float("nan")
    at = pair.grid[[pair.middle]]
    sign = np.sign(_difference(pair.first.known, pair.second.known, at)[0, 0])
    return float(np.mean(np.sign(_difference(*draws, at)[:, 0]) == sign))


def _difference(first: Law, second: Law, grid: Floats) -> Floats:
    """The first frontier's loss less the second's along ln C, for each pair of draws, shape (k, m)."""
    cost = np.exp(grid)[None, :]
    return _along(first, cost) - _along(second, cost)


def _along(law: Law, cost: Floats) -> Floats:
    if isinstance(law, Surface) and law.breaks:
        return np.stack([np.atleast_1d(law.optimum(float(one))[2]) for one in cost[0]], axis=1)
    curve = curve_of(law)
    asymptote, log_f, gamma = (np.atleast_1d(value)[:, None] for value in (curve.E, curve.log_F, curve.gamma))
    return np.asarray(asymptote + np.exp(log_f - gamma * np.log(cost)))


def _crossing(difference: Floats, grid: Floats) -> tuple[float | None, bool]:
    """Find ln C of the sign change nearest to the middle of the grid; also tell whether the difference rises there."""
    sign = np.sign(difference)
    changes = np.flatnonzero(sign[:-1] * sign[1:] < 0)
    if changes.size == 0:
        return None, False
    nearest = int(changes[np.argmin(np.abs(changes - grid.size // 2))])
    share = difference[nearest] / (difference[nearest] - difference[nearest + 1])
    return float(grid[nearest] + share * (grid[nearest + 1] - grid[nearest])), bool(difference[nearest] < 0)


def _crossings(first: Law, second: Law, grid: Floats, rising: bool) -> Floats:
    """Find ln C where each pair of laws crosses in the given direction, NaN where it does not."""
    coarse = grid[::10]
    found = [_crossing(row, coarse) for row in _difference(first, second, coarse)]
    return np.array([np.nan if place is None or up is not rising else place for place, up in found])


def _interval(pair: _Pair, place: float, draws: Floats, rising: bool) -> Interval | None:
    """Take the crossing's interval from the draws that cross; where trajectories are drawn, as for any answer."""
    if draws.size < LEAST_DRAWS:
        return None
    if not pair.first.uncertainty.clustered and not pair.second.uncertainty.clustered:
        low, high = np.quantile(draws, [0.025, 0.975])
        return Interval(low=float(np.exp(low)), high=float(np.exp(high)), level=0.95, method="percentile")
    error = max(robust_error(draws), float(np.sqrt(_jackknife_variance(pair, place, rising))))
    degrees_of_freedom = min(pair.first.degrees_of_freedom, pair.second.degrees_of_freedom)
    half_width = error * float(stdtrit(degrees_of_freedom, 0.975))
    low, high = max(place - half_width, -LARGEST_LOG), min(place + half_width, LARGEST_LOG)
    return Interval(low=float(np.exp(low)), high=float(np.exp(high)), level=0.95, method="studentised")


def _jackknife_variance(pair: _Pair, place: float, rising: bool) -> float:
    """Variance of ln C at the crossing from leaving out each unit of either fit."""
    grid, variance = pair.grid, 0.0
    first, second = pair.first.uncertainty, pair.second.uncertainty
    for one, other in ((first.jackknife, second.estimate), (first.estimate, second.jackknife)):
        if one is None or other is None:
            continue
        without = _crossings(one, other, grid, rising)
        # A crossing that vanishes without a trajectory may be anywhere: as far as was looked.
        farthest = grid[0] if place - grid[0] > grid[-1] - place else grid[-1]
        variance += jackknife_variance(np.where(np.isfinite(without), without, farthest))
    return variance
