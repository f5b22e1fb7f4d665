"""Local exponents along learning curves, -d ln L / d ln D, with their noise and the window of the fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from raysweep.core.text import scaled
from raysweep.frontier import Fit
from raysweep.frontier.fitting.misfit.local_exponents import LocalExponents, exponents_along_runs
from raysweep.frontier.fitting.trajectories import trajectories
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import Mask
from raysweep.frontier.points.cleaning import clean
from raysweep.frontier.points.findings import Kind
from raysweep.frontier.points.readers import as_table
from raysweep.report.figures.canvas import grid, house_style, legend_below, log_axis, mark, name_of
from raysweep.report.figures.checks.picture import (
    NothingToDraw,
    Picture,
    data_axis,
    drawable,
    families,
    listed,
    usable,
)
from raysweep.report.figures.palette import Style, shade

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_MANY = 8
"""Sizes beyond which each is not named."""


@dataclass(frozen=True, kw_only=True)
class CurveExponents:
    """The local exponents of a fit's runs; `inside` (m,) marks those between points that the fit takes."""

    exponents: LocalExponents
    inside: Mask
    window: tuple[float, float]
    """Of D: the smallest and the largest of the fit's points."""
    chosen: bool
    """Whether points outside of the window were left out."""


def exponent_figure(
    fits: Mapping[str, Fit] | Fit,
    points: object,
    *,
    data_unit: str | None = None,
    style: Mapping[str, Style] | None = None,
) -> Picture:
    """Draw the local exponents of each family's runs, beside those of the fitted law.

    Args:
        fits: by family.
        points: the table that was fitted, which also has the points before the window.
        data_unit: of D, such as "tokens"; None: unknown.
        style: of the families; None: the palette's.

    Raises:
        NothingToDraw: the points name no runs, or none with two points.
    """
    given, table = families(fits, style), as_table(points)
    found, absent = drawable(given.fits, lambda _, fit: curve_exponents(fit, table))
    with house_style():
        figure, axes = grid(len(found), 9.6, 3.1 if len(found) > 1 else 4.4)
        for panel, (family, values) in zip(axes, found.items(), strict=True):
            _panel(panel, values, given.style[family])
            panel.set_title(name_of(family), color=given.style[family].colour, fontweight="bold")
            panel.set_xlabel(data_axis(data_unit))
            panel.set_ylabel("−d ln L / d ln D")
        legend_below(figure, _legend())
    windows = "; ".join(f"{family}: {_told(values)}" for family, values in found.items())
    alt = f"Local exponents −d ln L / d ln D along the learning curves of {listed(found)}, with their noise. {windows}."
    return Picture(figure=figure, alt=alt, absent=absent)


def curve_exponents(fit: Fit, table: "pa.Table") -> CurveExponents:
    """The local exponents of the runs of a fit, those before its window too.

    Raises:
        NothingToDraw: there are no runs of two points, or the fit has no law of N and D.
    """
    law = usable(fit).estimate
    if not isinstance(law, Surface):
        raise NothingToDraw(f"method={fit.method!r} has no law of N and D to compare with")
    before = [item.row for item in fit.excluded if item.kind is Kind.BEFORE_WINDOW]
    rows = np.array(sorted({*fit.samples.row.tolist(), *before}), dtype=np.int64)
    samples = clean(table, rows, fit.cost_name).samples
    if samples.trajectory is None or int(trajectories(samples).max(initial=-1)) + 1 == samples.count:
        raise NothingToDraw("no two points share a run (column trajectory), so there are no learning curves")
    exponents = exponents_along_runs(samples, fit.form, law=law)
    if not exponents.exponent.size:
        raise NothingToDraw("no run has points at two amounts of data")
    low, high = float(fit.samples.data.min()), float(fit.samples.data.max())
    inside = (exponents.low >= low * (1 - 1e-9)) & (exponents.high <= high * (1 + 1e-9))
    return CurveExponents(exponents=exponents, inside=np.asarray(inside), window=(low, high), chosen=bool(before))


def _told(values: CurveExponents) -> str:
    low, high = values.window
    return f"{'window' if values.chosen else 'all points'}, D = {scaled(low)} to {scaled(high)}"


def _panel(axes: "Axes", values: CurveExponents, look: Style) -> None:
    found = values.exponents
    axes.axvspan(*values.window, color=look.colour, alpha=0.07, linewidth=0, zorder=0)
    middle = np.sqrt(found.low * found.high)
    sizes = np.unique(found.params)
    for place, size in enumerate(sizes):
        colour = shade(look.colour, 0.35 + 0.65 * (place + 1) / sizes.size)
        label = f"N = {scaled(float(size))}" if sizes.size <= _MANY or place in (0, sizes.size - 1) else None
        for run in np.unique(found.run[found.params == size]):
            mine = found.run == run
            axes.plot(middle[mine], found.exponent[mine], color=colour, linewidth=0.8, alpha=0.7, zorder=2)
            within = mine & values.inside
            axes.plot(middle[within], found.law[within], "--", color=colour, linewidth=1.4, zorder=4)
            for part, fill in ((within, colour), (mine & ~values.inside, "white")):
                axes.errorbar(
                    middle[part], found.exponent[part], yerr=found.error, fmt=look.marker, color=colour,
                    markerfacecolor=fill, markersize=4.5, elinewidth=0.8, capsize=1.5, zorder=3, label=label,
                )  # fmt: skip
                label = None if part.any() else label
    log_axis(axes, "x", [*map(float, found.low), *map(float, found.high)])
    axes.set_xlim(float(found.low.min()) / 1.1, float(found.high.max()) * 1.1)
    shown = np.concatenate([found.exponent, found.law[values.inside]])
    tenth, most = (float(np.quantile(shown, share)) for share in (0.1, 0.9))  # a failed run must not flatten the others
    reach = max(most - tenth, found.error)
    bottom, top = max(float(shown.min()), tenth - reach), min(float(shown.max()), most + reach)
    room = 0.12 * (top - bottom) + found.error
    axes.set_ylim(bottom - room, top + room + 0.13 * (top - bottom + 2.0 * room))
    of = "among runs of one N" if found.replicated else "about the law"
    axes.annotate(
        f"{_told(values)}\ns.d. {of}: {found.error:.2g}", (0.0, 1.0), xycoords="axes fraction", xytext=(3, -3),
        textcoords="offset points", va="top", fontsize=7, color="#333333", zorder=7,
        bbox={"facecolor": "white", "alpha": 0.6, "linewidth": 0, "pad": 1.0},
    )  # fmt: skip
    axes.legend(fontsize=7, handlelength=1.0, labelspacing=0.2, loc="lower left", framealpha=0.7, frameon=True)


def _legend() -> "list[Artist]":
    from matplotlib.patches import Patch

    return [
        mark("measured ± 1 s.d., in the fit", marker="o", linewidth=0.8),
        mark("left out: begins before the window", marker="o", linewidth=0.8, markerfacecolor="white"),
        mark("of the fitted law", linestyle="--"),
        Patch(facecolor="#777777", alpha=0.25, label="window of the fit"),
    ]
