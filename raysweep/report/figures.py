"""The figures of the report, each as the bytes of a PNG file."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raysweep.report.canvas import log_axis, new_figure, panels, png
from raysweep.report.ladders import by_data, by_size
from raysweep.report.palette import Style, styles
from raysweep.report.rate_curves import rate_figure
from raysweep.report.sources import Material
from raysweep.report.standings import Curve
from raysweep.report.values import Answers, Excluded, FamilyFit, Optimum

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 3.0
"""How far a fitted frontier is drawn beyond the points, as a factor in compute; dashed there."""


def draw(material: Material, answers: Answers, by_family: Mapping[str, Sequence[Curve]]) -> dict[str, bytes]:
    """Return all figures by file name; those that there is nothing to draw of are left out.

    Args:
        material: what the report is made of.
        answers: what was fitted.
        by_family: the sound trajectories of each family (see `standings.curves`).
    """
    style = styles([fit.family for fit in answers.families])
    found = {"loss_against_compute.png": loss_against_compute(answers, by_family, style)}
    if any(by_family.values()):
        found["loss_against_size.png"] = by_size(by_family, style)
        found["loss_against_data.png"] = by_data(by_family, style)
    if any(fit.path for fit in answers.families):
        found["optimal_model.png"] = optimal_model(answers, style)
    if material.searches:
        found["learning_rates.png"] = rate_figure(material.searches, style)
    return found


def loss_against_compute(
    answers: Answers, by_family: Mapping[str, Sequence[Curve]], style: Mapping[str, Style]
) -> bytes:
    """Return loss against compute: every point, its trajectory, and the fitted frontiers with their bands."""
    figure = new_figure(8.6, 5.4)
    axes = panels(figure, 1, 1, share=False)[0]
    losses: list[float] = []
    for fit in answers.families:
        look = style[fit.family]
        for curve in by_family[fit.family]:
            axes.plot(curve.flops, curve.loss, color=look.colour, alpha=0.35, linewidth=0.8, zorder=2)
            axes.plot(curve.flops, curve.loss, look.marker, color=look.colour, markersize=3.2, alpha=0.75, zorder=3)
            losses += list(curve.loss)
        _frontier(axes, fit, look, answers)
    drawn = _excluded(axes, answers.excluded, style, losses)
    if answers.headline.common_flops is not None and len(answers.families) > 1:
        axes.axvline(answers.headline.common_flops, color="#555555", linewidth=0.9, linestyle=":", zorder=1)
        axes.annotate(
            "largest common compute", (answers.headline.common_flops, 1.0), xycoords=("data", "axes fraction"),
            xytext=(-4, -2), textcoords="offset points", rotation=90, ha="right", va="top", fontsize=8, color="#555555",
        )  # fmt: skip
    flops = [c for curves in by_family.values() for curve in curves for c in curve.flops]
    log_axis(axes, "x", flops)
    log_axis(axes, "y", losses)
    axes.set_xlabel("training compute C (FLOP)")
    axes.set_ylabel("validation loss")
    _legend(axes, answers, style, excluded=drawn)
    return png(figure)


def optimal_model(answers: Answers, style: Mapping[str, Style]) -> bytes:
    """Return the compute-optimal N and D against compute, with 95 % bands."""
    figure = new_figure(9.2, 4.4)
    left, right = panels(figure, 1, 2, share=False)
    for axes, name, label in ((left, "params", "compute-optimal size N* (parameters)"), (right, "data", "compute-optimal data D* (atoms)")):
        values: list[float] = []
        for fit in answers.families:
            _path(axes, fit.path, name, style[fit.family])
            values += [getattr(optimum, name).value for optimum in fit.path]
        log_axis(axes, "x", [optimum.flops for fit in answers.families for optimum in fit.path])
        log_axis(axes, "y", values)
        axes.set_xlabel("training compute C (FLOP)")
        axes.set_ylabel(label)
        middle = sorted(values)
        if middle:  # a band that spans everything must not flatten the lines
            axes.set_ylim(middle[0] / 4, middle[-1] * 4)
    for fit in answers.families:
        exponent = fit.params_exponent
        text = fit.family if exponent is None else f"{fit.family}: $N^* \\propto C^{{{exponent.value:.2f}}}$"
        if fit.path:
            left.plot([], [], color=style[fit.family].colour, linewidth=2, label=text)
    left.legend(loc="upper left")
    return png(figure)


def _frontier(axes: "Axes", fit: FamilyFit, look: Style, answers: Answers) -> None:
    """Draw the fitted frontier: solid where there are points, dashed beyond."""
    inside = [o for o in fit.path if not o.extrapolated]
    for part, line in ((inside, "-"), (_beyond(fit.path), "--")):
        if len(part) > 1:
            flops = [o.flops for o in part]
            axes.plot(flops, [o.loss.value for o in part], line, color=look.colour, linewidth=2.0, zorder=4)
            if all(o.loss.bounded for o in part):
                low, high = [o.loss.low for o in part], [o.loss.high for o in part]
                axes.fill_between(flops, low, high, color=look.colour, alpha=0.16, linewidth=0, zorder=1)


def _path(axes: "Axes", path: Sequence[Optimum], name: str, look: Style) -> None:
    for part, line in (([o for o in path if not o.extrapolated], "-"), (_beyond(path), "--")):
        if len(part) > 1:
            flops, values = [o.flops for o in part], [getattr(o, name) for o in part]
            axes.plot(flops, [v.value for v in values], line, color=look.colour, linewidth=2.0, zorder=3)
            if all(v.bounded for v in values):
                low, high = [v.low for v in values], [v.high for v in values]
                axes.fill_between(flops, low, high, color=look.colour, alpha=0.16, linewidth=0, zorder=1)


def _beyond(path: Sequence[Optimum]) -> list[Optimum]:
    """Return the part beyond the points, joined to the last one within."""
    outside = [i for i, optimum in enumerate(path) if optimum.extrapolated and (i == 0 or i > 0)]
    upper = [i for i in outside if any(not o.extrapolated for o in path[:i])]
    return list(path[upper[0] - 1 :]) if upper else []


def _excluded(axes: "Axes", excluded: Sequence[Excluded], style: Mapping[str, Style], losses: Sequence[float]) -> bool:
    """Draw the points that are kept out of the fits as crosses; return whether there was one that can be drawn."""
    drawn = False
    for point in excluded:
        look = style.get(point.family)
        if look is not None and point.loss > 0 and point.flops > 0 and point.loss < float("inf"):
            axes.plot([point.flops], [point.loss], "x", color=look.colour, markersize=5, alpha=0.7, zorder=2)
            drawn = True
    return drawn


def _legend(axes: "Axes", answers: Answers, style: Mapping[str, Style], *, excluded: bool) -> None:
    for fit in answers.families:
        look = style[fit.family]
        gamma = fit.loss_exponent
        text = fit.family if gamma is None else f"{fit.family}: γ = {gamma.value:.3g}"
        if gamma is not None and gamma.bounded:
            text += f" [{gamma.low:.2g}, {gamma.high:.2g}]"
        if not fit.path:
            text += " (points alone: no fit)"
        axes.plot([], [], color=look.colour, marker=look.marker, markersize=4, linewidth=2, label=text)
    if any(fit.path for fit in answers.families):
        axes.plot([], [], color="#777777", linewidth=2, linestyle="--", label="beyond the points")
    if excluded:
        axes.plot([], [], "x", color="#777777", markersize=5, label="kept out of the fit")
    axes.legend(loc="lower left")
