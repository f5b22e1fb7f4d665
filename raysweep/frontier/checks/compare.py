"""The three approaches on the same points, with the pairs that disagree."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Unpack, get_args

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.approaches.options import Method, Options, Settings, make_options
from raysweep.frontier.checks.held_out import HeldOut, Window, check_held_out, fit_windows
from raysweep.frontier.families.crossovers import Crossover, crossovers
from raysweep.frontier.fit import fit_cleaned
from raysweep.frontier.laws.quantities import Law
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, Interval, studentised
from raysweep.frontier.points.cleaning import Cleaned, clean
from raysweep.frontier.points.families import Family, named_families, only_family
from raysweep.frontier.points.readers import as_table
from raysweep.frontier.result import Fit

_EXPONENTS = ("params_exponent", "data_exponent", "loss_exponent")
_CHECK_BOOTSTRAPS = 200
"""Of the held-out check and of each window, at most."""


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
        held_out: the parametric law without the largest fifth of the runs, compared with them; None where too few are
            left, with the reason in `held_out_sentence`.
        windows: the parametric exponents as the smallest or the largest budgets are dropped.
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
    """A comparison for each family, and the computes at which their frontiers cross."""

    @property
    def crossovers(self) -> list[Crossover]:
        """The computes at which one family overtakes another, by the parametric law."""
        return crossovers({name: one.fits["parametric"] for name, one in self.items()})


def compare(points: object, **settings: Unpack[Settings]) -> Comparison:
    """Fit all three approaches to the points of one family with one joint bootstrap.

    Args:
        points: as in `fit`.
        **settings: as in `fit`; `method` has no effect.

    Raises:
        FrontierError: the points or an argument cannot be read, or the points are of several families (then use
            `compare_families`).
    """
    options, table = make_options(**settings), as_table(points)
    family, rows = only_family(table, "compare")
    return _compare(clean(table, rows, options.cost), options, family)


def compare_families(points: object, **settings: Unpack[Settings]) -> Comparisons:
    """Compare the approaches on each family; arguments as in `compare`."""
    options, table = make_options(**settings), as_table(points)
    families = named_families(table, "compare")
    return Comparisons(
        {family: _compare(clean(table, rows, options.cost), options, family) for family, rows in families.items()}
    )


def _compare(cleaned: Cleaned, options: Options, family: Family) -> Comparison:
    # The same seed and number of points: the same resamples, so that differences have intervals as well.
    # The noise of runs is left to them: draws of it have no counterpart among the other approaches'.
    options = replace(options, run_noise=False)
    methods: tuple[Method, ...] = get_args(Method)
    fits: dict[str, Fit] = {method: fit_cleaned(cleaned, replace(options, method=method), family) for method in methods}
    checks = replace(options, method="parametric", bootstraps=min(options.bootstraps, _CHECK_BOOTSTRAPS))
    try:
        held = check_held_out(cleaned, checks)
        sentence = str(held)
    except FrontierError as error:
        held, sentence = None, str(error)
    return Comparison(
        fits=fits,
        disagreements=tuple(_disagreements(fits)),
        held_out=held,
        held_out_sentence=sentence,
        windows=tuple(fit_windows(cleaned, checks)),
    )


def _disagreements(fits: dict[str, Fit]) -> Iterable[Disagreement]:
    for first, second in combinations(fits.values(), 2):
        draws = _paired_draws(first, second)
        if first.estimate is None or second.estimate is None or draws is None:
            continue
        for name in _EXPONENTS:
            difference = float(getattr(first.estimate, name)) - float(getattr(second.estimate, name))
            interval = _interval(first, second, name, difference, getattr(draws[0], name) - getattr(draws[1], name))
            if 0.0 not in interval:
                yield Disagreement(
                    first=first.method, second=second.method, quantity=name, difference=difference, interval=interval
                )


def _paired_draws(first: Fit, second: Fit) -> tuple[Law, Law] | None:
    """Select the draws of both fits for the resamples in which both converged."""
    if first.draw_ids is None or second.draw_ids is None or first.draws is None or second.draws is None:
        return None
    both, at_first, at_second = np.intersect1d(first.draw_ids, second.draw_ids, return_indices=True)
    if both.size < LEAST_DRAWS:
        return None
    return first.draws.take(at_first), second.draws.take(at_second)


def _interval(first: Fit, second: Fit, name: str, difference: float, draws: Floats) -> Interval:
    """Take the interval of a difference of exponents from the paired draws, shape (k,)."""
    if first.uncertainty.clustered:
        without = _jackknife(first, second, name)
        low, high = studentised(difference, draws, without, 0.95, first.degrees_of_freedom, clustered=True)
        return Interval(low=low, high=high, level=0.95, method="studentised")
    low, high = np.quantile(draws - np.median(draws), [0.025, 0.975])
    return Interval(low=difference + float(low), high=difference + float(high), level=0.95, method="percentile")


def _jackknife(first: Fit, second: Fit, name: str) -> Floats | None:
    """The difference without each trajectory in turn; None where one approach makes no use of some."""
    values = [getattr(fit.uncertainty.jackknife, name, np.empty(0)) for fit in (first, second)]
    return values[0] - values[1] if values[0].shape == values[1].shape else None
