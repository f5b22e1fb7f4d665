"""What all figures share: size, type, axes, and how one becomes a PNG."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
_STYLE = {
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


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure, `width` by `height` inches, that belongs to no window system."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        return figure


def panels(figure: "Figure", rows: int, columns: int, *, share: bool) -> "list[Axes]":
    """Return the panels of a figure, row by row."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE):
        grid = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
    return [axes for row in grid for axes in row]


def log_axis(axes: "Axes", which: str, values: Sequence[float]) -> None:
    """Make an axis logarithmic with labels that can be read, also where it spans less than a decade."""
    from matplotlib import ticker

    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    sound = [value for value in values if value > 0]
    span = max(sound) / min(sound) if sound else 1.0
    if span < 30:
        axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0) if span >= 4 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: short(value)))
        axis.set_minor_formatter(ticker.NullFormatter())


def short(value: float) -> str:
    """Return a tick's label: 200, 5 k, 3 M, 2e15."""
    for limit, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if limit <= value < 1e12:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def png(figure: "Figure") -> bytes:
    """Return a figure as the bytes of a PNG file; the same figure gives the same bytes."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
