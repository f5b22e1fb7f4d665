"""Residuals of the chosen law against N, D and C, with their trend and the departures that the fit found."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raysweep.frontier import Fit
from raysweep.frontier.fitting.misfit.directions import FEW, at_end
from raysweep.frontier.fitting.misfit.lack_of_fit import Departure, LackOfFit
from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.points.findings import Kind
from raysweep.report.figures.canvas import house_style, legend_below, log_axis, mark, name_of, new_figure
from raysweep.report.figures.checks.picture import (
    Families,
    NothingToDraw,
    Picture,
    cost_axis,
    data_axis,
    drawable,
    families,
    listed,
    usable,
)
from raysweep.report.figures.palette import Style, shade

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

GROUPS = 6
"""Groups of points that a trend is the means of, where N, D or C has more values than `FEW`."""
MARKED = 3
"""Departures that are marked, the largest first."""
LEAST = 3
"""Points in a group."""
_LETTERS = 132
"""Of a line above a row of panels."""
_ROOM = 1.6
"""Of the axis over the farthest point, where sizes of departures stand beyond it."""
_REACH = 6.0
"""Noises beyond which a point is drawn at the edge."""


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Residuals of one fit, in per cent of the predicted loss, with the places that they belong to; shape (n,)."""

    params: Floats
    data: Floats
    cost: Floats
    percent: Floats
    trusted: Mask


def residual_figure(
    fits: Mapping[str, Fit] | Fit, *, data_unit: str | None = None, style: Mapping[str, Style] | None = None
) -> Picture:
    """Draw measured over predicted loss against N, D and C, a row for each family.

    Args:
        fits: by family.
        data_unit: of D, such as "tokens"; None: unknown.
        style: of the families; None: the palette's.

    Raises:
        NothingToDraw: there is no fit with residuals.
    """
    given = families(fits, style)
    found, absent = drawable(given.fits, lambda _, fit: residuals_of(fit))
    with house_style():
        figure = new_figure(9.6, (1.75 if len(found) > 2 else 2.6) * len(found) + 0.9)
        rows = figure.subplots(len(found), 3, squeeze=False, sharex="col" if len(found) > 1 else False, sharey="row")
        for axes, (family, values) in zip(rows, found.items(), strict=True):
            _row(list(axes), family, values, given)
        for axes, name in zip(rows[-1], ("params", "data", "cost"), strict=True):
            log_axis(axes, "x", [float(x) for values in found.values() for x in getattr(values, name)])
        first = given.fits[next(iter(found))]
        for axes, label in zip(rows[-1], ("size N (parameters)", data_axis(data_unit), cost_axis(first)), strict=True):
            axes.set_xlabel(label)
        legend_below(figure, _legend())
    told = "; ".join(f"{family}: {sentence(given.fits[family])}" for family in found)
    alt = f"Residuals of the fitted law against N, D and compute, for {listed(found)}. {told}."
    return Picture(figure=figure, alt=alt, absent=absent)


def residuals_of(fit: Fit) -> Residuals:
    """The residuals of a fit.

    Raises:
        NothingToDraw: the fit has none at its points.
    """
    residuals, samples = usable(fit).residuals, fit.samples
    if residuals is None or residuals.shape != samples.loss.shape or not np.isfinite(residuals).any():
        raise NothingToDraw(f"method={fit.method!r} has residuals at its own minima alone, not at the points")
    known = np.isfinite(residuals)
    trusted = np.ones(samples.count, dtype=bool) if fit.trust is None else fit.trust > 0
    return Residuals(
        params=samples.params[known],
        data=samples.data[known],
        cost=samples.cost[known],
        percent=100.0 * np.expm1(residuals[known]),
        trusted=trusted[known],
    )


def trend(values: Floats, percent: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean residual of groups of points by rising value: where, mean, standard error, each of shape (groups,).

    A group is one value where there are few, else a share of the points; of `LEAST` points, or there is none.
    """
    logs = np.log(values)
    distinct = np.unique(np.round(logs, 2))
    most = min(GROUPS, values.size // LEAST)
    if most < 2:
        return np.empty(0), np.empty(0), np.empty(0)
    edges = (
        0.5 * (distinct[1:] + distinct[:-1])
        if distinct.size <= min(FEW, values.size // LEAST)
        else np.quantile(logs, np.linspace(0, 1, most + 1)[1:-1])
    )
    label = np.searchsorted(edges, logs)
    groups = [np.flatnonzero(label == k) for k in np.unique(label)]
    where = np.array([np.exp(logs[rows].mean()) for rows in groups])
    mean = np.array([percent[rows].mean() for rows in groups])
    error = np.array([percent[rows].std(ddof=1) / np.sqrt(rows.size) if rows.size > 1 else np.nan for rows in groups])
    return where, mean, error


def sentence(fit: Fit) -> str:
    """What the fit's test of its residuals says."""
    found = fit.lack_of_fit
    if found is None:
        return "too few points to test"
    if any(item.kind is Kind.BEFORE_WINDOW for item in fit.excluded):
        return f"within the window of the fit: {_verdict(fit, found)}"
    return _verdict(fit, found)


def _verdict(fit: Fit, found: LackOfFit) -> str:
    if not found.significant:
        beyond = " beyond the noise of runs" if fit.run_noise is not None else ""
        return f"no systematic trend{beyond} (p = {found.p_value:.2g})"
    return f"{'the law bends' if found.bends else 'systematic, but small'}: {found}"


def _row(axes: "list[Axes]", family: str, values: Residuals, given: Families) -> None:
    fit, look = given.fits[family], given.style[family]
    sound = values.percent[values.trusted]
    middle = float(np.median(np.abs(sound))) * 1.4826 if sound.size else 1.0
    reach = max(min(_REACH * middle, float(np.max(np.abs(values.percent)))), 1e-3)
    departures = {one.place: one.size for one in _named(fit)}
    for panel, name, word in zip(axes, ("params", "data", "cost"), ("N", "D", "compute"), strict=True):
        x = getattr(values, name)
        _points(panel, x, values, look, reach)
        where, mean, error = trend(x[values.trusted], sound)
        panel.errorbar(where, mean, yerr=error, color="#222222", linewidth=1.5, elinewidth=1.0, capsize=2, zorder=5)
        panel.axhline(0.0, color="#777777", linewidth=0.8, zorder=1)
        for side, end in ((1, "largest"), (-1, "smallest")):
            size = departures.get(f"the {end} {word}")
            if size is not None:
                _departure(panel, x[at_end(side * np.log(x))], 100.0 * float(np.expm1(size)), side, reach)
        room = _ROOM if departures else 1.15
        panel.set_ylim(-room * reach, room * reach)
    axes[0].set_ylabel("measured / predicted\nless 1, %", fontsize=8)
    axes[0].set_title(name_of(family), color=look.colour, fontweight="bold", loc="left")
    axes[2].set_title("\n".join(textwrap.wrap(sentence(fit), _LETTERS)), loc="right", fontsize=7.5, color="#333333")


def _named(fit: Fit) -> tuple[Departure, ...]:
    found = fit.lack_of_fit
    return found.departures[:MARKED] if found is not None and found.significant else ()


def _points(axes: "Axes", x: Floats, values: Residuals, look: Style, reach: float) -> None:
    shown = np.clip(values.percent, -1.1 * reach, 1.1 * reach)
    light = shade(look.colour, 0.75)
    for mask, fill in ((values.trusted, light), (~values.trusted, "none")):
        axes.plot(x[mask], shown[mask], look.marker, color=light, markerfacecolor=fill, markersize=3.2, zorder=3)


def _departure(axes: "Axes", x: Floats, percent: float, side: int, reach: float) -> None:
    """Draw the mean residual at an end, over the points that it is the mean of; its size stands beyond all points."""
    low, high = (float(x.min()) / 1.12, float(x.max()) * 1.12)
    axes.plot([low, high], [percent, percent], color="#b00000", linewidth=3.0, solid_capstyle="butt", zorder=6)
    axes.text(
        0.985 if side > 0 else 0.015, 1.18 * reach * (1.0 if percent > 0 else -1.0), f"{percent:+.1f} %",
        transform=axes.get_yaxis_transform(), ha="right" if side > 0 else "left",
        va="bottom" if percent > 0 else "top", fontsize=7, color="#b00000", zorder=7,
    )  # fmt: skip


def _legend() -> "list[Artist]":
    return [
        mark("point of the fit", linestyle="none", marker="o"),
        mark("outlier without weight", linestyle="none", marker="o", markerfacecolor="none"),
        mark("mean by group ± standard error", color="#222222", linewidth=1.5),
        mark("departure that the fit names", color="#b00000", linewidth=3.0),
    ]
