"""IsoFLOP valleys: loss against N at each compute budget, with the minimum of each and its interval."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from raysweep.core.text import scaled
from raysweep.frontier import Fit
from raysweep.frontier.approaches.minima import DRAWS, IsoflopValley, valleys_of
from raysweep.frontier.approaches.options import make_options
from raysweep.frontier.fitting.budgets import LEAST_BUDGETS, LEAST_SIZES
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.points.findings import count_of
from raysweep.report.figures.canvas import grid, house_style, legend_below, log_axis, mark, name_of
from raysweep.report.figures.checks.picture import NothingToDraw, Picture, drawable, families, listed
from raysweep.report.figures.palette import Style, shade

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

MOST = 9
"""Valleys in a panel at most: more would not be told apart."""


def valley_figure(fits: Mapping[str, Fit] | Fit, *, style: Mapping[str, Style] | None = None) -> Picture:
    """Draw the isoFLOP valleys of each family, with their minima and N* of the fitted law.

    Args:
        fits: by family; valleys are fitted to their points.
        style: of the families; None: the palette's.

    Raises:
        NothingToDraw: no family has three compute budgets with enough sizes.
    """
    given = families(fits, style)
    found, absent = drawable(given.fits, lambda _, fit: _valleys(fit))
    with house_style():
        figure, axes = grid(len(found), 9.6, 3.6 if len(found) > 1 else 4.6)
        for panel, (family, valleys) in zip(axes, found.items(), strict=True):
            _panel(panel, _thinned(valleys), given.fits[family], given.style[family])
            if len(valleys) > MOST:
                panel.set_title(f"{MOST} of {len(valleys)} budgets", loc="right", fontsize=7.5, color="#333333")
            panel.set_title(name_of(family), color=given.style[family].colour, fontweight="bold")
        legend_below(figure, _legend())
    alt = (
        f"Loss against model size N at each compute budget, for {listed(found)}: points, the fitted valley "
        "through them, and its minimum with a 95 % interval, beside the N* of the fitted law."
    )
    return Picture(figure=figure, alt=alt, absent=absent)


def _valleys(fit: Fit) -> tuple[IsoflopValley, ...]:
    if not fit.samples.count:
        raise NothingToDraw(f"no points: {fit.status.sentence}")
    options = make_options(method="isoflop", seed=fit.seed, bootstraps=min(fit.bootstraps, DRAWS))
    found = valleys_of(fit.samples, options)
    if len(found) < LEAST_BUDGETS:
        counted = count_of(len(found), "has", "have", "compute budget")
        raise NothingToDraw(
            f"only {counted} {LEAST_SIZES} model sizes; exponents that all valleys share need {LEAST_BUDGETS}"
        )
    return found


def _thinned(found: Sequence[IsoflopValley]) -> Sequence[IsoflopValley]:
    if len(found) <= MOST:
        return found
    return [found[round(i * (len(found) - 1) / (MOST - 1))] for i in range(MOST)]


def _panel(axes: "Axes", valleys: Sequence[IsoflopValley], fit: Fit, look: Style) -> None:
    for place, valley in enumerate(valleys):
        colour = shade(look.colour, 0.3 + 0.7 * (place + 1) / len(valleys))
        good = not valley.problem
        fill = colour if good else "none"
        axes.plot(
            valley.params, valley.loss, look.marker, markersize=3.5, color=colour, markerfacecolor=fill, alpha=0.8
        )
        sizes = np.geomspace(valley.params.min(), valley.params.max(), 80)
        axes.plot(sizes, valley.loss_at(sizes), "-" if good else ":", color=colour, linewidth=1.2)
        if good:
            _minimum(axes, valley, colour)
        axes.annotate(
            scaled(valley.flops, 2),
            (float(sizes[-1]), float(valley.loss_at(sizes[-1:])[0])),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color="#333333",
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6},
            zorder=7,
        )
    _law(axes, valleys, fit)
    sizes = np.concatenate([valley.params for valley in valleys])
    losses = np.concatenate([valley.loss for valley in valleys])
    log_axis(axes, "x", [float(size) for size in sizes])
    log_axis(axes, "y", [float(loss) for loss in losses])
    axes.set_xlim(sizes.min() / 1.25, sizes.max() * (sizes.max() / sizes.min()) ** 0.11)
    axes.set_ylim(losses.min() / 1.04, losses.max() * 1.03)
    axes.set_xlabel("size N (parameters)")
    axes.set_ylabel("validation loss")


def _minimum(axes: "Axes", valley: IsoflopValley, colour: tuple[float, float, float]) -> None:
    value, interval = valley.optimum.value, valley.optimum.interval
    if interval is not None:
        inside = valley.params.min() / 2 < interval.low and interval.high < 2 * valley.params.max()
        width, ink = (1.3, "#222222") if inside else (0.8, "#999999")  # no axis, but an interval beyond the panel
        axes.plot(list(interval), [valley.lowest] * 2, "|-", color=ink, linewidth=width, markersize=6, zorder=5)
    axes.plot(
        [value],
        [valley.lowest],
        "*",
        color=colour,
        markersize=11,
        markeredgecolor="#222222",
        markeredgewidth=0.7,
        zorder=6,
    )


def _law(axes: "Axes", valleys: Sequence[IsoflopValley], fit: Fit) -> None:
    """Mark N* of the fitted law at each budget."""
    if not isinstance(fit.estimate, Surface) or not np.isfinite(fit.params_exponent):
        return
    optima = [fit.estimate.optimum(valley.flops) for valley in valleys]
    sizes, losses = [float(found[0]) for found in optima], [float(found[2]) for found in optima]
    axes.plot(sizes, losses, "x--", color="#555555", linewidth=0.9, markersize=5, zorder=4)


def _legend() -> "list[Artist]":
    return [
        mark("points of a budget (FLOP at its end)", linestyle="none", marker="o"),
        mark("fitted valley (dotted: no minimum inside)"),
        mark("its minimum, 95 % interval", marker="*", markersize=9, markeredgecolor="#222222"),
        mark("N* of the fitted law", linestyle="--", marker="x", markersize=5, linewidth=0.9),
    ]
