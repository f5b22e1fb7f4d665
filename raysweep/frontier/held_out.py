"""How far to trust a fit: does it predict runs that it has not seen, do its exponents stay when budgets go?"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.approaches.outcome import Options
from raysweep.frontier.fit import fit_cleaned, groups, make_options, unwrap
from raysweep.frontier.numerics.solver import Floats, Mask
from raysweep.frontier.points.cleaning import Cleaned, clean, exclude_mask
from raysweep.frontier.points.readers import as_table
from raysweep.frontier.result import Fit

LEAST_LEFT = 8
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Shares of the points, by rising compute, that the fits of a held-out check see."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What a fit to the smaller runs says of the larger ones.

    Attributes:
        largest_seen: the largest cost in the fit. fit: the fit to the points up to it.
        measured, predicted, low, high: of the held-out points, arrays of shape (m,); low and high: the 95 % prediction
            interval.
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
    """The exponents as seen through a window of costs."""

    lowest: float
    highest: float
    points: int
    usable: bool
    sentence: str
    params_exponent: Answer | None
    data_exponent: Answer | None
    loss_exponent: Answer | None


def held_out(
    points: object, *, above: float | None = None, share: float = 0.8, **arguments: object
) -> HeldOut | dict[str, HeldOut]:
    """Fit without the largest budgets and predict them.

    Args:
        points: as in `fit`.
        above: hold out the points of a larger cost than this.
        share: where `above` is not given: the share of points, by rising cost, that the fit sees.
        **arguments: of `fit`; the method has to be "parametric".

    Raises:
        FrontierError: too few points are left on either side, or there is no fit to them.
    """
    options = make_options(**arguments)  # type: ignore[arg-type]
    table = as_table(points)
    return unwrap(
        table,
        {
            name: held_out_of(_cleaned(table, rows, options), options, above, share)
            for name, rows in groups(table).items()
        },
    )


def windows(points: object, **arguments: object) -> list[Window] | dict[str, list[Window]]:
    """Return how the exponents move as the smallest, then as the largest budgets are dropped; the whole comes first.

    Args:
        points: as in `fit`.
        **arguments: of `fit`.
    """
    options = make_options(**arguments)  # type: ignore[arg-type]
    table = as_table(points)
    return unwrap(
        table, {name: windows_of(_cleaned(table, rows, options), options) for name, rows in groups(table).items()}
    )


def _cleaned(table: pa.Table, rows: np.ndarray[tuple[int, ...], np.dtype[np.int64]], options: Options) -> Cleaned:
    return clean(table, rows, options.cost, exclude_mask(None, table.num_rows))


def _part(cleaned: Cleaned, chosen: Mask) -> Cleaned:
    return Cleaned(samples=cleaned.samples.take(chosen), excluded=cleaned.excluded, findings=cleaned.findings)


def held_out_of(cleaned: Cleaned, options: Options, above: float | None = None, share: float = 0.8) -> HeldOut:
    """Return the held-out check of one group of cleaned points; see `held_out`."""
    cost = cleaned.samples.cost
    limit = float(np.quantile(cost, share)) if above is None and cost.size else (above or 0.0)
    seen = cost <= limit
    if seen.sum() < LEAST_LEFT or not np.any(~seen):
        raise FrontierError(
            f"held_out: {int(seen.sum())} points up to a cost of {limit:.3g} and {int((~seen).sum())} beyond; the fit "
            f"needs {LEAST_LEFT} and the check 1. Set above= to a cost between"
        )
    fit = fit_cleaned(_part(cleaned, seen), options)
    rest = cleaned.samples.take(~seen)
    answers = [fit.loss(float(n), float(d)) for n, d in zip(rest.params, rest.data, strict=True)]
    return HeldOut(
        largest_seen=limit,
        fit=fit,
        measured=rest.loss,
        predicted=np.array([answer.value for answer in answers]),
        low=np.array([answer.interval.low if answer.interval else np.nan for answer in answers]),
        high=np.array([answer.interval.high if answer.interval else np.nan for answer in answers]),
        row=[int(row) for row in rest.row],
    )


def windows_of(cleaned: Cleaned, options: Options) -> list[Window]:
    """Return the windows of one group of cleaned points; see `windows`."""
    cost = cleaned.samples.cost
    if cost.size == 0:
        return []
    everything = np.ones(cost.size, dtype=bool)
    steps = (0.15, 0.3, 0.45)
    chosen = [everything]
    chosen += [cost >= np.quantile(cost, step) for step in steps]
    chosen += [cost <= np.quantile(cost, 1.0 - step) for step in steps]
    return [_window(_part(cleaned, part), options) for part in chosen if part.any()]


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
