"""The figure that summarizes a store: elements, sizes, energies and forces."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raysweep.report.figures.canvas import house_style, new_figure, panels, png
from raysweep.report.figures.palette import styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ELEMENTS = 30


def data_picture(
    title: str,
    elements: Mapping[str, int],
    sizes: tuple[Sequence[float], Sequence[int]],
    energies: tuple[Sequence[float], Sequence[int]],
    forces: tuple[Sequence[float], Sequence[int]],
) -> bytes:
    """Draw the four panels; return the bytes of a PNG file.

    Args:
        title: stands above them.
        elements: atoms by symbol.
        sizes: edges and counts of structures by number of atoms.
        energies: edges and counts of structures by energy per atom less reference energies, eV.
        forces: edges and counts of atoms by the length of their force, eV/Å.
    """
    with house_style():
        figure = new_figure(9.0, 6.0)
        axes = panels(figure, 2, 2, share=False)
        colour = styles(["data"])["data"].colour
        most = sorted(elements.items(), key=lambda item: -item[1])
        names = [name for name, _ in most[:MOST_ELEMENTS]]
        axes[0].bar(names, [count for _, count in most[:MOST_ELEMENTS]], color=colour)
        axes[0].set_yscale("log")
        axes[0].set_ylim(bottom=1)
        beyond = len(most) - len(names)
        axes[0].set_title("elements" + (f" (the {len(names)} most frequent; {beyond} more)" if beyond else ""))
        axes[0].set_ylabel("atoms")
        axes[0].grid(axis="x", visible=False)
        if len(names) > 15:
            axes[0].tick_params(axis="x", labelsize=7)
        _histogram(axes[1], sizes, colour, "size of structures", "atoms", "structures")
        _histogram(axes[2], energies, colour, "energy", "energy less reference energies, eV/atom", "structures")
        _histogram(axes[3], forces, colour, "forces", "length of an atom's force, eV/Å", "atoms")
        axes[2].set_yscale("symlog", linthresh=1)
        axes[3].set_xscale("log")
        figure.suptitle(title, fontsize=10)
        return png(figure)


def _histogram(
    axes: "Axes", counted: tuple[Sequence[float], Sequence[int]], colour: str, title: str, x: str, y: str
) -> None:
    edges, counts = counted
    axes.stairs(counts, edges, fill=True, color=colour)
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_ylim(bottom=0)
