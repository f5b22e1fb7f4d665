"""The figure of `raysweep check-transfer`: loss against learning rate over widths, and activations against width."""

import math
from collections.abc import Mapping, Sequence

from raysweep.report.figures.canvas import house_style, log_axis, new_figure, panels, png
from raysweep.report.figures.palette import shade

COLOUR = "#1f5fa8"
NAMED = 4
"""Modules named in the figure: those whose scale moves most."""


def transfer_figure(
    losses: Mapping[int, Sequence[tuple[float, Sequence[float]]]],
    best: Mapping[int, float | None],
    scales: Mapping[str, Mapping[int, Sequence[float]]],
) -> bytes:
    """Draw the figure; return the bytes of a PNG file.

    Args:
        losses: by width, (learning rate, final losses of the seeds); infinite ones are left out.
        best: by width, the learning rate that is best.
        scales: by module and width, the root mean square of the module's output at each step.
    """
    with house_style():
        figure = new_figure(9.6, 4.4)
        curves, coordinates = panels(figure, 1, 2, share=False)
        shown: list[float] = []
        for place, (width, rows) in enumerate(sorted(losses.items())):
            colour = shade(COLOUR, 0.3 + 0.7 * (place + 1) / len(losses))
            sound = [(rate, _mean(of)) for rate, of in rows if all(map(math.isfinite, of))]
            shown += [loss for _, loss in sound]
            if sound:
                curves.plot(*zip(*sound, strict=True), marker="o", markersize=4, color=colour, label=f"width {width}")
            chosen = best.get(width)
            if chosen is not None:
                curves.axvline(chosen, color=colour, linewidth=0.9, linestyle=":")
        log_axis(curves, "x", [rate for rows in losses.values() for rate, _ in rows])
        log_axis(curves, "y", shown)
        curves.set_xlabel("learning rate at the base width (dotted: the best)")
        curves.set_ylabel("validation loss")
        curves.legend()
        ends = {name: {w: s[-1] for w, s in of.items()} for name, of in scales.items()}
        moved = sorted(ends, key=lambda name: -max(ends[name].values()) / max(min(ends[name].values()), 1e-30))
        for name, of in ends.items():
            look = {"color": "#b4b4b4", "linewidth": 0.9}
            if name in moved[:NAMED]:
                look = {"color": shade(COLOUR, 0.4 + 0.6 * moved.index(name) / NAMED), "linewidth": 1.6, "label": name}
            coordinates.plot(list(of), list(of.values()), marker="o", markersize=3, **look)  # type: ignore[arg-type]
        log_axis(coordinates, "x", [w for of in scales.values() for w in of])
        log_axis(coordinates, "y", [value for of in ends.values() for value in of.values()])
        widths = sorted({w for of in scales.values() for w in of})
        coordinates.set_xticks(widths, [str(w) for w in widths])
        coordinates.set_xlabel("width")
        steps = max((len(s) - 1 for of in scales.values() for s in of.values()), default=0)
        coordinates.set_ylabel(f"scale of activations after {steps} steps")
        coordinates.legend(fontsize=7)
        return png(figure)


def _mean(losses: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, losses)) / len(losses))
