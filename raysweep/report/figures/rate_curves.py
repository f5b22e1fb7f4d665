"""The learning-rate stage: loss against learning rate at each rung, and the rate that was chosen."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raysweep.report.figures.canvas import log_axis, new_figure, panels, png
from raysweep.report.figures.palette import Style, shade
from raysweep.storage.rate_records import RateRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
_GREY = Style("#555555", "o")


def rate_figure(searches: Sequence[RateRecord], style: Mapping[str, Style]) -> bytes:
    """Draw the learning-rate curves, a panel for each search."""
    columns = min(COLUMNS, len(searches))
    rows = math.ceil(len(searches) / columns)
    figure = new_figure(max(5.2, 2.65 * columns), 3.3 * rows)
    axes = panels(figure, rows, columns, share=True)
    rates = [trial.learning_rate for search in searches for trial in search.trials]
    losses = [loss for search in searches for trial in search.trials for loss in trial.losses if math.isfinite(loss)]
    for panel, search in zip(axes, searches, strict=False):
        _panel(panel, search, style.get(search.family, _GREY))
    log_axis(axes[0], "x", rates)
    log_axis(axes[0], "y", losses)
    for panel in axes[len(searches) :]:
        panel.set_visible(False)
    figure.supxlabel("learning rate", fontsize=9.5)
    for panel in axes[::columns]:
        panel.set_ylabel("validation loss")
    return png(figure)


def _panel(axes: "Axes", search: RateRecord, look: Style) -> None:
    rungs = max((len(trial.losses) for trial in search.trials), default=0)
    for rung in range(rungs):
        reached = sorted(
            (trial.learning_rate, trial.losses[rung])
            for trial in search.trials
            if len(trial.losses) > rung and math.isfinite(trial.losses[rung])
        )
        colour = shade(look.colour, 0.35 + 0.65 * (rung + 1) / rungs)
        label = "at the end" if rung == rungs - 1 else f"rung {rung + 1}"
        axes.plot(
            *zip(*reached, strict=True), marker=look.marker, markersize=4, linewidth=1.3, color=colour, label=label
        )
    diverged = [trial.learning_rate for trial in search.trials if trial.state == "diverged"]
    if diverged:
        height = [0.97] * len(diverged)
        axes.plot(diverged, height, "x", color="#b00000", transform=axes.get_xaxis_transform(), label="diverged")
    if search.rate is not None:
        axes.axvline(search.rate, color="#222222", linewidth=0.9, linestyle=":")
        axes.set_title(f"{search.family}: {search.rate:.3g}", color=look.colour, fontweight="bold")
    else:
        axes.set_title(f"{search.family}: none found", color=look.colour, fontweight="bold")
    axes.legend(loc="best", fontsize=7, handlelength=1.4, labelspacing=0.25)
