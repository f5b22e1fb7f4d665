"""Exponents of the law as the smallest or the largest budgets are dropped: flat where the law holds throughout."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier import Fit
from raysweep.frontier.approaches.options import Cost, Options, make_options
from raysweep.frontier.fit import fit_cleaned
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import Interval
from raysweep.frontier.points.cleaning import Cleaned
from raysweep.report.figures.canvas import house_style, legend_below, mark, name_of, new_figure, panels
from raysweep.report.figures.checks.picture import NothingToDraw, Picture, drawable, families, listed, usable
from raysweep.report.figures.palette import Style

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

DROPPED = (0.2, 0.4)
"""Shares of the points, by cost, that are left out at either end."""
SHARES = (*(-share for share in reversed(DROPPED)), 0.0, *DROPPED)
"""Share of the points that a window leaves out: below 0 the largest budgets, above 0 the smallest ones."""
_STARTS = 16
_EXPONENTS = {
    "params_exponent": r"a of $N^* \propto C^a$",
    "loss_exponent": r"$\gamma$ of $L^* - E \propto C^{-\gamma}$",
}


@dataclass(frozen=True, kw_only=True)
class WindowExponents:
    """Exponents in windows, by name: shape (w,), in the order of `shares`; and the interval of the fit's own."""

    shares: Floats
    values: Mapping[str, Floats]
    interval: Mapping[str, Interval | None]


def window_figure(fits: Mapping[str, Fit] | Fit, *, style: Mapping[str, Style] | None = None) -> Picture:
    """Draw how the exponents a and gamma of each family move as budgets are dropped.

    Args:
        fits: by family; the chosen law is refitted to parts of their points.
        style: of the families; None: the palette's.

    Raises:
        NothingToDraw: no fit has both exponents in two windows.
    """
    given = families(fits, style)
    found, absent = drawable(given.fits, lambda _, fit: window_exponents(fit))
    with house_style():
        figure = new_figure(9.6, 4.3)
        for axes, (name, label) in zip(panels(figure, 1, 2, share=False), _EXPONENTS.items(), strict=True):
            for place, (family, values) in enumerate(found.items()):
                offset = 0.011 * (place - 0.5 * (len(found) - 1))
                _series(axes, values, name, given.style[family], offset)
            _axis(axes, label)
        legend_below(figure, _legend({family: given.style[family] for family in found}))
    alt = (
        f"Exponents a and γ of {listed(found)} as up to {max(DROPPED):.0%} of the points are dropped, the largest or "
        "the smallest budgets; a flat line means that the law holds throughout."
    )
    return Picture(figure=figure, alt=alt, absent=absent)


def window_exponents(fit: Fit) -> WindowExponents:
    """Refit a fit's law to parts of its points.

    Raises:
        NothingToDraw: the law has no exponent of the frontier, or fewer than two windows have a fit.
    """
    if usable(fit).method != "parametric" or not np.isfinite(fit.params_exponent):
        raise NothingToDraw("only a parametric law in N and D is refitted to parts of the points")
    cost: Cost = "seconds" if fit.cost_name == "seconds" else "flops"
    options = make_options(cost=cost, seed=fit.seed, bootstraps=0, window="all")
    options = replace(options, form=fit.form, automatic=False, starts=_STARTS)
    parts = [fit if not share else _refitted(fit, options, share) for share in SHARES]
    values = {name: np.array([_exponent(part, name) for part in parts]) for name in _EXPONENTS}
    if np.isfinite(values["params_exponent"]).sum() < 2:
        raise NothingToDraw("no part of the points determines the law")
    interval = {name: _interval(fit, name) for name in _EXPONENTS}
    return WindowExponents(shares=np.array(SHARES), values=values, interval=interval)


def _refitted(fit: Fit, options: Options, share: float) -> Fit:
    """The law refitted without a share of the points: the cheapest, or with a minus the most expensive."""
    cost = fit.samples.cost
    kept = cost >= np.quantile(cost, share) if share > 0 else cost <= np.quantile(cost, 1.0 + share)
    return fit_cleaned(Cleaned(samples=fit.samples.take(kept), excluded=(), findings=()), options)


def _exponent(fit: Fit, name: str) -> float:
    return float("nan") if fit.estimate is None else float(getattr(fit, name))


def _interval(fit: Fit, name: str) -> Interval | None:
    try:
        return fit.interval(name)
    except FrontierError:  # fitted without bootstraps
        return None


def _series(axes: "Axes", values: WindowExponents, name: str, look: Style, offset: float) -> None:
    x, y, interval = values.shares + offset, values.values[name], values.interval[name]
    known = np.isfinite(y)
    axes.plot(x[known], y[known], color=look.colour, linestyle=look.line, linewidth=1.3, zorder=3)
    outside = known & (False if interval is None else (y < interval.low) | (y > interval.high))
    for mask, fill in ((known & ~outside, look.colour), (outside, "white")):
        axes.plot(x[mask], y[mask], look.marker, color=look.colour, markerfacecolor=fill, markersize=5, zorder=4)
    if interval is not None:
        axes.plot([offset, offset], list(interval), "_-", color=look.colour, linewidth=1.6, markersize=6, zorder=2)


def _axis(axes: "Axes", label: str) -> None:
    axes.set_xticks(SHARES, [f"−{100 * abs(share):g} %" if share else "all" for share in SHARES], fontsize=8)
    axes.set_xlim(min(SHARES) - 0.08, max(SHARES) + 0.08)
    axes.set_xlabel("← largest budgets dropped      smallest dropped →")
    axes.set_ylabel(label)


def _legend(looks: Mapping[str, Style]) -> "list[Artist]":
    found: list[Artist] = [
        mark(name_of(family), color=look.colour, marker=look.marker, linestyle=look.line)
        for family, look in looks.items()
    ]
    hollow = mark("outside the 95 % interval of all", linestyle="none", marker="o", markerfacecolor="white")
    return [*found, hollow]
