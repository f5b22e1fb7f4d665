"""Several answers side by side: the three approaches on the same points, and architectures against each other."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.approaches.outcome import Options
from raysweep.frontier.fit import fit_cleaned, groups, make_options, unwrap
from raysweep.frontier.held_out import HeldOut, Window, held_out_of, windows_of
from raysweep.frontier.laws.quantities import Law
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, Interval, jackknife_variance, robust_error, studentised
from raysweep.frontier.numerics.solver import Floats
from raysweep.frontier.points.cleaning import clean, exclude_mask
from raysweep.frontier.points.readers import as_table
from raysweep.frontier.result import Fit, curve_of

METHODS = ("parametric", "isoflop", "envelope")
_EXPONENTS = ("params_exponent", "data_exponent", "loss_exponent")


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """Two approaches whose difference in an exponent has an interval that leaves out 0."""

    first: str
    second: str
    quantity: str
    difference: float
    interval: Interval

    def __str__(self) -> str:
        low, high = self.interval
        by = f"{self.difference:+.3f} [{low:+.3f}, {high:+.3f}]"
        return f"{self.first} and {self.second} disagree on {self.quantity} by {by}"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The three approaches on the same points and the same bootstraps.

    Attributes:
        fits: by method. disagreements: pairs that differ beyond the interval of their difference.
        held_out: the parametric law without the largest fifth of the runs, and what it says of them; None where too few
            are left, with the reason in `held_out_sentence`.
        windows: how the parametric exponents move as the smallest or the largest budgets are dropped.
    """

    fits: dict[str, Fit]
    disagreements: tuple[Disagreement, ...]
    held_out: HeldOut | None
    held_out_sentence: str
    windows: tuple[Window, ...]

    @property
    def agree(self) -> bool:
        """Whether no two approaches disagree."""
        return not self.disagreements

    def __str__(self) -> str:
        lines = []
        for name, fit in self.fits.items():
            if fit.estimate is None:
                lines.append(f"{name:<11} {fit.status}")
                continue
            shown = ", ".join(f"{short} = {fit.answer(short)}" for short in ("a", "b", "gamma"))
            lines.append(f"{name:<11} {shown}")
        return "\n".join([*lines, *(str(found) for found in self.disagreements), self.held_out_sentence])


class Comparisons(dict[str, Comparison]):
    """A comparison for each architecture, and where their frontiers cross."""

    @property
    def crossovers(self) -> list["Crossover"]:
        """At which compute one architecture overtakes another, by the parametric law."""
        return crossovers({name: one.fits["parametric"] for name, one in self.items()})


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """The compute from which one architecture's frontier lies below another's.

    Attributes:
        before, after: which one is lower below and above the crossing.
        flops: where, with its interval; None where the frontiers do not cross in the range looked at.
        share: of the joint bootstraps in which they cross there in this direction.
        inside: whether the crossing lies within the computes that both were run at.
        sentence: for a person.
    """

    before: str
    after: str
    flops: Answer | None
    share: float
    inside: bool
    sentence: str


def compare(points: object, **arguments: object) -> Comparison | Comparisons:
    """Fit all three approaches to the same points with one joint bootstrap.

    Args:
        points: as in `fit`.
        **arguments: of `fit`, without `method`.

    Returns:
        A `Comparison`; where the points name architectures, a dict of them with `crossovers`.

    Raises:
        FrontierError: the points or an argument cannot be read.
    """
    table = as_table(points)
    by_method = {name: make_options(**{**arguments, "method": name}) for name in METHODS}  # type: ignore[arg-type]
    found = unwrap(table, {name: _compare(table, rows, by_method, name) for name, rows in groups(table).items()})
    return found if isinstance(found, Comparison) else Comparisons(found)


def _compare(
    table: pa.Table, rows: NDArray[np.int64], by_method: dict[str, Options], architecture: str | None
) -> Comparison:
    cleaned = clean(table, rows, by_method["parametric"].cost, exclude_mask(None, table.num_rows))
    # The same seed and number of points: the same resamples, so that differences have intervals of their own.
    fits = {name: fit_cleaned(cleaned, options, architecture) for name, options in by_method.items()}
    found = []
    for first, second in combinations(fits, 2):
        for name in _EXPONENTS:
            disagreement = _disagreement(fits[first], fits[second], name)
            if disagreement is not None:
                found.append(disagreement)
    plain = replace(by_method["parametric"], bootstraps=min(by_method["parametric"].bootstraps, 200))
    try:
        held = held_out_of(cleaned, plain)
        sentence = str(held)
    except FrontierError as error:
        held, sentence = None, str(error)
    return Comparison(
        fits=fits,
        disagreements=tuple(found),
        held_out=held,
        held_out_sentence=sentence,
        windows=tuple(windows_of(cleaned, plain)),
    )


def _disagreement(first: Fit, second: Fit, name: str) -> Disagreement | None:
    if first.estimate is None or second.estimate is None or first.draws is None or second.draws is None:
        return None
    pairs = _paired(first, second)
    if pairs is None:
        return None
    draws = getattr(pairs[0], name) - getattr(pairs[1], name)
    difference = float(getattr(first.estimate, name)) - float(getattr(second.estimate, name))
    if first.clustered:
        without = _without(first, second, name)
        low, high = studentised(difference, draws, without, 0.95, first.spare, clustered=True)
        interval = Interval(low=low, high=high, level=0.95, method="studentised")
    else:
        low, high = np.quantile(draws - np.median(draws), [0.025, 0.975])
        interval = Interval(low=difference + float(low), high=difference + float(high), level=0.95, method="percentile")
    if 0.0 in interval:
        return None
    return Disagreement(
        first=first.method, second=second.method, quantity=name, difference=difference, interval=interval
    )


def _without(first: Fit, second: Fit, name: str) -> Floats | None:
    """Return the difference with each trajectory left out in turn; None where one approach has no use for some."""
    values = [getattr(fit.smooth_without, name, np.empty(0)) for fit in (first, second)]
    return values[0] - values[1] if values[0].shape == values[1].shape else None


def _paired(first: Fit, second: Fit) -> tuple[Law, Law] | None:
    """Return the draws of both fits for the resamples in which both converged."""
    if first.draw_ids is None or second.draw_ids is None or first.draws is None or second.draws is None:
        return None
    both, at_first, at_second = np.intersect1d(first.draw_ids, second.draw_ids, return_indices=True)
    if both.size < LEAST_DRAWS:
        return None
    return first.draws.take(at_first), second.draws.take(at_second)


def crossovers(fits: dict[str, Fit], *, reach: float = 1e3) -> list[Crossover]:
    """Return at which compute one architecture overtakes another, for every pair.

    Args:
        fits: by architecture, as `fit` returns them.
        reach: how far beyond the computes that were run to look, as a factor on either side.

    Raises:
        FrontierError: the fits count different costs (FLOPs and seconds, or seconds of different devices).
    """
    if len({fit.cost_name for fit in fits.values()}) > 1:
        raise FrontierError("crossovers: some fits count FLOPs and some seconds; fit all with the same cost=")
    devices = dict.fromkeys(fit.samples.device for fit in fits.values() if fit.samples.device is not None)
    if len(devices) > 1:
        raise FrontierError(
            f"crossovers: the fits count seconds of different devices ({', '.join(devices)}), which do not mix; "
            "compare at equal FLOPs (cost='flops')"
        )
    usable = {name: fit for name, fit in fits.items() if fit.estimate is not None}
    return [_crossover(one, usable[one], other, usable[other], reach) for one, other in combinations(usable, 2)]


def _crossover(one: str, first: Fit, other: str, second: Fit, reach: float) -> Crossover:
    costs = np.concatenate([first.samples.cost, second.samples.cost])
    grid = np.linspace(np.log(costs.min() / reach), np.log(costs.max() * reach), 2001)
    place, rising = _crossing(_difference(first.known, second.known, grid)[0], grid)
    middle = int(np.searchsorted(grid, np.log(np.sqrt(costs.min() * costs.max()))))
    if place is None:
        lower = one if _difference(first.known, second.known, grid)[0][middle] < 0 else other
        text = f"{lower} is lower at every compute from {np.exp(grid[0]):.2g} to {np.exp(grid[-1]):.2g}"
        return Crossover(
            before=lower,
            after=lower,
            flops=None,
            share=_lower_share(first, second, grid, middle),
            inside=False,
            sentence=text,
        )
    before, after = (one, other) if rising else (other, one)
    places = _crossing_draws(first, second, grid, rising)
    share = float(np.mean(np.isfinite(places))) if places.size else float("nan")
    interval = _crossing_interval(first, second, place, places[np.isfinite(places)], grid, rising)
    low_common = max(first.samples.cost.min(), second.samples.cost.min())
    high_common = min(first.samples.cost.max(), second.samples.cost.max())
    answer = Answer(value=float(np.exp(place)), interval=interval)
    inside = bool(low_common <= answer.value <= high_common)
    where = "" if inside else ", an extrapolation: both were not run there"
    text = f"{after} overtakes {before} at {answer} (in {share:.0%} of the bootstraps{where})"
    return Crossover(before=before, after=after, flops=answer, share=share, inside=inside, sentence=text)


def _difference(first: Law, second: Law, grid: Floats) -> Floats:
    """Return the first frontier's loss less the second's along ln C, for each pair of draws, shape (k, m)."""
    cost = np.exp(grid)[None, :]
    return _along(first, cost) - _along(second, cost)


def _along(law: Law, cost: Floats) -> Floats:
    curve = curve_of(law)
    asymptote, log_f, gamma = (np.atleast_1d(value)[:, None] for value in (curve.E, curve.log_F, curve.gamma))
    return np.asarray(asymptote + np.exp(log_f - gamma * np.log(cost)))


def _crossing(difference: Floats, grid: Floats) -> tuple[float | None, bool]:
    """Return ln C of the sign change nearest to the middle of the grid, and whether the first one loses there."""
    sign = np.sign(difference)
    changes = np.flatnonzero(sign[:-1] * sign[1:] < 0)
    if changes.size == 0:
        return None, False
    nearest = int(changes[np.argmin(np.abs(changes - grid.size // 2))])
    share = difference[nearest] / (difference[nearest] - difference[nearest + 1])
    return float(grid[nearest] + share * (grid[nearest + 1] - grid[nearest])), bool(difference[nearest] < 0)


def _crossing_draws(first: Fit, second: Fit, grid: Floats, rising: bool) -> Floats:
    if first.draws is None or second.draws is None:
        return np.empty(0)
    count = min(np.size(first.draws.E), np.size(second.draws.E), 500)
    return _crossings(first.draws.take(slice(count)), second.draws.take(slice(count)), grid, rising)


def _crossings(first: Law, second: Law, grid: Floats, rising: bool) -> Floats:
    """Return ln C where each pair of laws crosses in the given direction, NaN where it does not."""
    coarse = grid[::10]
    found = [_crossing(row, coarse) for row in _difference(first, second, coarse)]
    return np.array([np.nan if place is None or up is not rising else place for place, up in found])


def _crossing_interval(
    first: Fit, second: Fit, place: float, draws: Floats, grid: Floats, rising: bool
) -> Interval | None:
    """Return the crossing's interval from the draws that cross; where trajectories are drawn, as for any answer."""
    if draws.size < LEAST_DRAWS:
        return None
    method = "percentile"
    low, high = np.quantile(draws, [0.025, 0.975])
    if first.clustered or second.clustered:
        method, variance = "studentised", 0.0
        for one, other in ((first.smooth_without, second.known), (first.known, second.smooth_without)):
            if one is None or other is None:
                continue
            without = _crossings(one, other, grid, rising)
            # A crossing that vanishes without a trajectory may be anywhere: as far as was looked.
            farthest = grid[0] if place - grid[0] > grid[-1] - place else grid[-1]
            variance += jackknife_variance(np.where(np.isfinite(without), without, farthest))
        error = max(robust_error(draws), float(np.sqrt(variance)))
        reach = error * float(stats.t.ppf(0.975, min(first.spare, second.spare)))
        low, high = max(place - reach, -700.0), min(place + reach, 700.0)
    return Interval(low=float(np.exp(low)), high=float(np.exp(high)), level=0.95, method=method)


def _lower_share(first: Fit, second: Fit, grid: Floats, middle: int) -> float:
    if first.draws is None or second.draws is None:
        return float("nan")
    count = min(np.size(first.draws.E), np.size(second.draws.E))
    at = grid[[middle]]
    sign = np.sign(_difference(first.known, second.known, at)[0, 0])
    draws = _difference(first.draws.take(slice(count)), second.draws.take(slice(count)), at)[:, 0]
    return float(np.mean(np.sign(draws) == sign))
