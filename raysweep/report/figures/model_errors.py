"""Figures of a model's errors on labelled structures: parity, and errors by size."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raysweep.report.figures.canvas import house_style, new_figure, panels, png
from raysweep.report.figures.palette import styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKS = 20_000
"""Marks in a panel; of more numbers every so many are drawn."""
BINS = 8

Numbers = npt.NDArray[np.float64]


def parity_picture(title: str, energy: tuple[Numbers, Numbers], forces: tuple[Numbers, Numbers]) -> bytes:
    """Draw predictions against labels; return the bytes of a PNG file.

    Args:
        title: stands above the panels.
        energy: labelled and predicted, eV/atom.
        forces: labelled and predicted components, eV/Å.
    """
    with house_style():
        figure = new_figure(9.0, 4.4)
        axes = panels(figure, 1, 2, share=False)
        _parity(axes[0], *energy, "energy", "eV/atom")
        _parity(axes[1], forces[0].ravel(), forces[1].ravel(), "force components", "eV/Å")
        figure.suptitle(title, fontsize=10)
        return png(figure)


def size_picture(title: str, n_atoms: npt.NDArray[np.int64], energy: Numbers, force: Numbers) -> bytes:
    """Draw mean absolute errors by the number of atoms; return the bytes of a PNG file.

    Args:
        title: stands above the panels.
        n_atoms: [S] of each structure.
        energy: [S] its absolute error, meV/atom.
        force: [S] the mean absolute error of its force components, meV/Å.
    """
    with house_style():
        figure = new_figure(9.0, 4.0)
        axes = panels(figure, 1, 2, share=False)
        for one, values, label in ((axes[0], energy, "energy, meV/atom"), (axes[1], force, "forces, meV/Å")):
            colour = styles(["data"])["data"].colour
            kept = slice(None, None, len(values) // MOST_MARKS + 1)
            one.plot(n_atoms[kept], values[kept], ".", color=colour, alpha=0.25, markersize=3)
            edges = np.unique(np.quantile(n_atoms, np.linspace(0, 1, BINS + 1)))
            where = np.clip(np.searchsorted(edges, n_atoms, side="right") - 1, 0, max(len(edges) - 2, 0))
            present = np.unique(where)
            means = [(n_atoms[where == b].mean(), values[where == b].mean()) for b in present]
            one.plot(*zip(*means, strict=True), "o-", color="black", markersize=4)
            one.set_xlabel("atoms of a structure")
            one.set_ylabel(f"absolute error of the {label}")
            one.set_ylim(bottom=0)
        figure.suptitle(f"{title} (black: means)", fontsize=10)
        return png(figure)


def _parity(axes: "Axes", label: Numbers, predicted: Numbers, title: str, unit: str) -> None:
    kept = slice(None, None, len(label) // MOST_MARKS + 1)
    low, high = min(label.min(), predicted.min()), max(label.max(), predicted.max())
    axes.plot([low, high], [low, high], "-", color="black", linewidth=0.8)
    axes.plot(label[kept], predicted[kept], ".", color=styles(["data"])["data"].colour, alpha=0.4, markersize=3)
    axes.set_title(title)
    axes.set_xlabel(f"labelled, {unit}")
    axes.set_ylabel(f"predicted, {unit}")
