"""The loss around the best hyperparameters: a curve for each N and D, with the law's optimum on it."""

from typing import TYPE_CHECKING

import numpy as np

from raysweep.core.text import scaled
from raysweep.frontier.hyperparameters.result import HyperparameterFit
from raysweep.frontier.hyperparameters.runs import HyperparameterRuns
from raysweep.report.figures.canvas import house_style, log_axis, new_figure, panels, png
from raysweep.report.figures.palette import shade

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOUR = "#0072B2"
MOST_CURVES = 12
"""Cells that are drawn: beyond that the curves hide each other, and every k-th is."""
_LABELS = {"learning_rate": "learning rate", "batch": "batch size"}


def hyperparameter_figure(found: HyperparameterFit) -> bytes:
    """Draw a panel for each hyperparameter that has a law; return the bytes of a PNG file.

    Points are the runs of the fit (of those with the other hyperparameter near its best, at each value the lowest),
    lines join a cell's, triangles mark the law's optimum. Losses are relative to the lowest of the cell.
    """
    axes_names = found.known.axes()
    with house_style():
        figure = new_figure(5.4 * len(axes_names), 4.2)
        for axes, axis in zip(panels(figure, 1, len(axes_names), share=False), axes_names, strict=True):
            _panel(axes, found, axis)
        return png(figure)


def _panel(axes: "Axes", found: HyperparameterFit, axis: str) -> None:
    cells = np.unique(found.samples.cell)
    shown = cells[:: int(np.ceil(cells.size / MOST_CURVES))]
    for place, cell in enumerate(shown):
        inside = found.samples.take(found.samples.cell == cell)
        values, losses = _profile(inside, axis)
        optimum = found.cells[int(np.flatnonzero(cells == cell)[0])]
        colour = shade(COLOUR, 0.3 + 0.7 * (place + 1) / shown.size)
        label = f"N {scaled(optimum.params)}, D {scaled(optimum.data)}"
        axes.plot(values, 100 * losses, marker="o", markersize=3.5, linewidth=1.1, color=colour, label=label)
        best = getattr(optimum, axis)
        axes.plot([best], [0.0], marker="v", markersize=7, color=colour, clip_on=False, zorder=5)
    log_axis(axes, "x", [float(value) for value in found.samples.axis(axis)])
    axes.set_xlabel(f"{_LABELS[axis]} (triangles: the law's best)")
    axes.set_ylabel("loss above the cell's lowest, %")
    axes.set_title(f"best {_LABELS[axis]} = {found.known.of(axis)}")
    axes.legend(fontsize=6.5, ncols=2, handlelength=1.2, labelspacing=0.25)


def _profile(runs: HyperparameterRuns, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """The values of a hyperparameter, and the lowest loss at each relative to the cell's lowest, minus 1."""
    values = runs.axis(axis)
    unique, member = np.unique(np.round(np.log(values), 6), return_inverse=True)
    lowest = np.full(unique.size, np.inf)
    np.minimum.at(lowest, member.reshape(-1), runs.loss)
    return np.exp(unique), lowest / lowest.min() - 1.0
