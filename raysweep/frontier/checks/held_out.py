"""Checks of a fit: its prediction of larger runs that it has not seen, and its exponents as budgets are dropped."""

from dataclasses import dataclass
from typing import Unpack

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.arguments import positive
from raysweep.frontier.answers.near_optimal import band
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.approaches.options import Options, Settings, make_options
from raysweep.frontier.fit import fit_cleaned
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.cleaning import Cleaned, clean
from raysweep.frontier.points.families import named_families, only_family
from raysweep.frontier.points.readers import as_table
from raysweep.frontier.result import Fit

LEAST_LEFT = 8
"""Points that the fit of a held-out check needs."""
DROPPED = (0.15, 0.3, 0.45)
"""Shares of the points, by cost, that the windows leave out at either end."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A fit to the smaller runs, compared with the larger ones.

    Attributes:
        largest_seen: the largest cost in the fit. fit: the fit to the points up to it.
        measured, predicted, low, high: losses of the held-out points, arrays of shape (m,); low and high are the
            ends of the 95 % prediction interval.
        error: mean absolute error of ln loss. coverage: share of the points inside their interval.
        row: rows of the held-out points in the table given.
    """

    largest_seen: float
    fit: Fit
    measured: Floats
    predicted: Floats
    low: Floats
    high: Floats
    row: list[int]

    @property
    def error(self) -> float:
        """Mean absolute error of ln loss: the relative error, to first order."""
        return float(np.mean(np.abs(np.log(self.measured / self.predicted))))

    @property
    def coverage(self) -> float:
        """Share of the held-out points inside their 95 % prediction interval."""
        return float(np.mean((self.measured >= self.low) & (self.measured <= self.high)))

    def __str__(self) -> str:
        return (
            f"fit to costs up to {self.largest_seen:.3g}: {len(self.row)} larger runs predicted to {self.error:.2%}, "
            f"{self.coverage:.0%} of them inside the 95 % interval"
        )


@dataclass(frozen=True, kw_only=True)
class Window:
    """The exponents of a fit to the points in a window of costs, None if it is not usable."""

    lowest: float
    highest: float
    points: int
    usable: bool
    sentence: str
    params_exponent: Answer | None
    data_exponent: Answer | None
    loss_exponent: Answer | None


def held_out(
    points: object, *, above: float | None = None, share: float = 0.8, **settings: Unpack[Settings]
) -> HeldOut:
    """Fit the points of one family without the largest budgets, and predict those.

    Args:
        points: as in `fit`.
        above: hold out the points of a larger cost than this.
        share: where `above` is not given: the share of points, by rising cost, that the fit sees.
        **settings: as in `fit`; the method has to be "parametric".

    Raises:
        FrontierError: too few points are left on either side, there is no fit to them, or the points are of several
            families (then use `held_out_families`).
    """
    options, table = make_options(**settings), as_table(points)
    _, rows = only_family(table, "held_out")
    return check_held_out(clean(table, rows, options.cost), options, above, share)


def held_out_families(
    points: object, *, above: float | None = None, share: float = 0.8, **settings: Unpack[Settings]
) -> dict[str, HeldOut]:
    """The held-out check of each family; arguments as in `held_out`."""
    options, table = make_options(**settings), as_table(points)
    return {
        family: check_held_out(clean(table, rows, options.cost), options, above, share)
        for family, rows in named_families(table, "held_out").items()
    }


def windows(points: object, **settings: Unpack[Settings]) -> list[Window]:
    """The exponents as the smallest, then as the largest budgets are dropped; the window of all points comes first.

    Args:
        points: of one family, as in `fit`.
        **settings: as in `fit`.

    Raises:
        FrontierError: as `fit`; for points of several families use `windows_families`.
    """
    options, table = make_options(**settings), as_table(points)
    _, rows = only_family(table, "windows")
    return fit_windows(clean(table, rows, options.cost), options)


def windows_families(points: object, **settings: Unpack[Settings]) -> dict[str, list[Window]]:
    """The windows of each family; arguments as in `windows`."""
    options, table = make_options(**settings), as_table(points)
    families = named_families(table, "windows")
    return {family: fit_windows(clean(table, rows, options.cost), options) for family, rows in families.items()}


def check_held_out(cleaned: Cleaned, options: Options, above: float | None = None, share: float = 0.8) -> HeldOut:
    """The held-out check of points that were cleaned before; see `held_out`."""
    if above is not None:
        above = positive("held_out", "above", above)
    if isinstance(share, str | bool) or not 0 < share < 1:
        raise FrontierError(f"held_out(share={share!r}): give a number between 0 and 1, such as 0.8")
    cost = cleaned.samples.cost
    limit = float(np.quantile(cost, share)) if above is None and cost.size else (above or 0.0)
    seen = cost <= limit
    if seen.sum() < LEAST_LEFT or not np.any(~seen):
        raise FrontierError(
            f"held_out: {int(seen.sum())} points up to a cost of {limit:.3g} and {int((~seen).sum())} beyond; the fit "
            f"needs {LEAST_LEFT} and the check 1. Set above= to a cost between"
        )
    fit = fit_cleaned(cleaned.take(seen), options)
    rest = cleaned.samples.take(~seen)
    answers = [fit.loss(float(n), float(d)) for n, d in zip(rest.params, rest.data, strict=True)]
    predicted = band(answers)
    return HeldOut(
        largest_seen=limit,
        fit=fit,
        measured=rest.loss,
        predicted=predicted.value,
        low=predicted.low,
        high=predicted.high,
        row=[int(row) for row in rest.row],
    )


def fit_windows(cleaned: Cleaned, options: Options) -> list[Window]:
    """The windows of points that were cleaned before; see `windows`."""
    cost = cleaned.samples.cost
    if cost.size == 0:
        return []
    chosen = [np.ones(cost.size, dtype=bool)]
    chosen += [cost >= np.quantile(cost, share) for share in DROPPED]
    chosen += [cost <= np.quantile(cost, 1.0 - share) for share in DROPPED]
    return [_window(cleaned.take(part), options) for part in chosen if part.any()]


def _window(cleaned: Cleaned, options: Options) -> Window:
    fit = fit_cleaned(cleaned, options)
    usable = fit.estimate is not None
    names = ("params_exponent", "data_exponent", "loss_exponent")
    answers = {name: fit.answer(name) if usable else None for name in names}
    return Window(
        lowest=float(cleaned.samples.cost.min()),
        highest=float(cleaned.samples.cost.max()),
        points=cleaned.samples.count,
        usable=usable,
        sentence=str(fit.status),
        **answers,
    )
