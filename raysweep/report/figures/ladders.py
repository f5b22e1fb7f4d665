"""Loss against size at fixed data, and against data at fixed size: a panel for each family."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raysweep.core.text import scaled
from raysweep.report.content.standings import LearningCurve
from raysweep.report.figures.canvas import log_axis, name_of, new_figure, panels, png
from raysweep.report.figures.palette import Style, shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4
LINES = 8
"""Lines in a panel at most; more would not be told apart."""
SAME = 0.03
"""Data budgets within this share of each other are one: batches do not end on round numbers."""

Line = tuple[float, list[float], list[float]]
"""What is held fixed, then x and loss."""


def by_data(by_family: Mapping[str, Sequence[LearningCurve]], style: Mapping[str, Style], label: str) -> bytes:
    """Draw loss against data, a line for each size; `label` is that of the axis."""
    lines = {
        family: _thinned([(curve.params, list(curve.data), list(curve.loss)) for curve in curves])
        for family, curves in by_family.items()
    }
    return _figure(lines, style, label, "N = {}")


def by_size(by_family: Mapping[str, Sequence[LearningCurve]], style: Mapping[str, Style]) -> bytes:
    """Draw loss against size, a line for each data budget that several sizes share."""
    lines = {family: _thinned(_across(curves)) for family, curves in by_family.items()}
    return _figure(lines, style, "size N (parameters)", "D = {}")


def _across(curves: Sequence[LearningCurve]) -> list[Line]:
    """Make a line for each data budget, through the losses of the sizes evaluated there; seeds are averaged."""
    budgets: list[float] = []
    for data in sorted(float(d) for curve in curves for d in curve.data):
        if not budgets or data > budgets[-1] * (1 + SAME):
            budgets.append(data)
    lines = []
    for budget in budgets:
        found: dict[float, list[float]] = {}
        for curve in curves:
            for data, loss in zip(curve.data, curve.loss, strict=True):
                if budget <= data <= budget * (1 + SAME):
                    found.setdefault(curve.params, []).append(float(loss))
        if len(found) > 1:
            params = sorted(found)
            lines.append((budget, params, [sum(found[n]) / len(found[n]) for n in params]))
    return lines


def _thinned(lines: Sequence[Line]) -> list[Line]:
    if len(lines) <= LINES:
        return list(lines)
    lines = [line for line in lines if len(line[1]) > 1] or lines
    if len(lines) <= LINES:
        return list(lines)
    return [lines[round(i * (len(lines) - 1) / (LINES - 1))] for i in range(LINES)]


def _figure(lines: Mapping[str, Sequence[Line]], style: Mapping[str, Style], label: str, legend: str) -> bytes:
    families = list(lines)
    columns = min(COLUMNS, len(families))
    rows = math.ceil(len(families) / columns)
    figure = new_figure(max(5.2, 2.65 * columns), 3.3 * rows)
    axes = panels(figure, rows, columns, share=True)
    xs = [x for found in lines.values() for line in found for x in line[1]]
    ys = [y for found in lines.values() for line in found for y in line[2]]
    for panel, family in zip(axes, families, strict=False):
        _panel(panel, family, lines[family], style[family], legend, ys)
    log_axis(axes[0], "x", xs)
    log_axis(axes[0], "y", ys)
    if xs:  # room for the labels
        axes[0].set_xlim(min(xs) / 1.25, max(xs) * max((max(xs) / min(xs)) ** 0.45, 1.25))
    for panel in axes[len(families) :]:
        panel.set_visible(False)
    _labels(figure, axes, columns, label)
    return png(figure)


def _panel(axes: "Axes", family: str, lines: Sequence[Line], look: Style, legend: str, losses: Sequence[float]) -> None:
    kinds = sorted({fixed for fixed, _, _ in lines})
    ends: dict[float, list[tuple[float, float]]] = {fixed: [] for fixed in kinds}
    for fixed, xs, ys in lines:
        colour = shade(look.colour, 0.35 + 0.65 * (kinds.index(fixed) + 1) / len(kinds))
        axes.plot(xs, ys, marker=look.marker, markersize=3.5, linewidth=1.4, color=colour)
        ends[fixed].append((xs[-1], ys[-1]))
    placed: list[float] = []
    for fixed in reversed(kinds):  # runs of one kind, seeds that is, share a label
        x, y = max(x for x, _ in ends[fixed]), math.exp(sum(math.log(y) for _, y in ends[fixed]) / len(ends[fixed]))
        height = math.log(y) / max(math.log(max(losses) / min(losses)), 1e-9)
        if all(abs(height - other) > 0.042 for other in placed):  # a label that would lie on another one is left out
            placed.append(height)
            axes.annotate(
                legend.format(scaled(fixed)), (x, y), xytext=(5, 0), textcoords="offset points", va="center",
                fontsize=7, color="#333333",
            )  # fmt: skip
    axes.set_title(name_of(family), color=look.colour, fontweight="bold")
    if not lines:
        axes.text(0.5, 0.5, "no two points to join", transform=axes.transAxes, ha="center", color="#777777")


def _labels(figure: "Figure", axes: "Sequence[Axes]", columns: int, label: str) -> None:
    figure.supxlabel(label, fontsize=9.5)
    for panel in axes[::columns]:
        panel.set_ylabel("validation loss")
