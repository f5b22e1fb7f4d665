"""What all figures share: size, fonts, axes, legends, and conversion to PNG."""

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from raysweep.core.text import scaled

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

DPI = 150
MOST_LETTERS = 26
"""Letters of a family's name in a figure; longer ones are shortened in the middle."""
MOST_COLUMNS = 5
"""Columns of a legend below a figure."""
_STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "mathtext.default": "regular",
}


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Draw in raysweep's style within the block, and restore the caller's matplotlib settings after it."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> "Figure":
    """Create an empty figure, `width` by `height` inches, independent of any window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(figure: "Figure", rows: int, columns: int, *, share: bool) -> "list[Axes]":
    """Create the panels of a figure; they are listed row by row."""
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
    return [axes for row in grid for axes in row]


def grid(count: int, width: float, height: float, most: int = 3) -> "tuple[Figure, list[Axes]]":
    """Create a figure with `count` panels, each `height` inches high.

    Args:
        count: of panels, 1 or more.
        width: inches of the figure.
        height: inches of a panel.
        most: panels side by side.
    """
    columns = 1 if count == 1 else min(most, 2 if count in (2, 4) else 3)
    rows = -(-count // columns)
    figure = new_figure(width if columns > 1 else 0.75 * width, height * rows + 0.5)
    axes = panels(figure, rows, columns, share=False)
    for panel in axes[count:]:
        panel.remove()
    return figure, axes[:count]


def name_of(family: str) -> str:
    """Shorten a family's name so that legends and titles have room for it."""
    return family if len(family) <= MOST_LETTERS else f"{family[: MOST_LETTERS - 9]}…{family[-8:]}"


def mark(label: str, **look: object) -> "Line2D":
    """Create a legend entry, grey by default."""
    from matplotlib.lines import Line2D

    looks: dict[str, Any] = {"color": "#777777", "linewidth": 1.3, "markersize": 4.5, **look}
    return Line2D([], [], label=label, **looks)


def legend_below(figure: "Figure", handles: "Sequence[Artist]") -> None:
    """Place a legend below the panels, with as many columns as fit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    for columns in range(min(len(handles), MOST_COLUMNS), 0, -1):
        legend = figure.legend(handles=list(handles), loc="outside lower center", ncols=columns, handlelength=3.2)
        if columns == 1 or legend.get_window_extent(canvas.get_renderer()).width <= 0.97 * figure.bbox.width:  # type: ignore[no-untyped-call]
            return
        legend.remove()


def log_axis(axes: "Axes", which: str, values: Sequence[float]) -> None:
    """Make an axis logarithmic, with readable labels even if it spans less than a decade."""
    from matplotlib import ticker

    axis = axes.xaxis if which == "x" else axes.yaxis
    sound = [value for value in values if value > 0]
    if not sound:  # nothing is drawn, and an empty logarithmic axis has no ticks to choose
        return
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    span = max(sound) / min(sound)
    if span < 2:
        axis.set_major_locator(ticker.MaxNLocator(5))
    elif span < 30:
        wide = 8 if which == "x" else 25  # labels stand side by side along x
        many = (1.0, 2.0, 5.0) if which == "x" or span >= 12 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
        axis.set_major_locator(ticker.LogLocator(subs=(1.0, 3.0) if span >= wide else many))
    if span < 30:
        # One notation along an axis: `scaled` has none for millions that goes on beyond them.
        text = scaled if max(sound) < 1e9 else _with_exponent
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: text(value)))
        axis.set_minor_formatter(ticker.NullFormatter())


def _with_exponent(value: float) -> str:
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def png(figure: "Figure") -> bytes:
    """Render a figure as the bytes of a PNG file; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
