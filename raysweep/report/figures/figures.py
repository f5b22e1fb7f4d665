"""The figures of the report, each as the bytes of a PNG file."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from raysweep.report.content.sources import Material
from raysweep.report.content.standings import LearningCurve
from raysweep.report.content.values import Answers, Excluded, OptimumRow
from raysweep.report.figures.canvas import house_style, log_axis, new_figure, panels, png
from raysweep.report.figures.ladders import by_data, by_size
from raysweep.report.figures.palette import Style, styles
from raysweep.report.figures.rate_curves import rate_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 3.0
"""How far a fitted frontier is drawn beyond the points, as a factor in compute; dashed there."""


def draw(material: Material, answers: Answers, by_family: Mapping[str, Sequence[LearningCurve]]) -> dict[str, bytes]:
    """Return all figures by file name; those that there is nothing to draw of are left out.

    Args:
        material: what the report is made of.
        answers: what was fitted.
        by_family: the sound trajectories of each family (see `standings.curves`).
    """
    with house_style():
        return _draw(material, answers, by_family, styles(material.families(), material.planned_families()))


def _draw(
    material: Material, answers: Answers, by_family: Mapping[str, Sequence[LearningCurve]], style: Mapping[str, Style]
) -> dict[str, bytes]:
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
    answers: Answers, by_family: Mapping[str, Sequence[LearningCurve]], style: Mapping[str, Style]
) -> bytes:
    """Return loss against compute: every point, its trajectory, and the fitted frontiers with their bands."""
    figure = new_figure(9.6, 5.2)
    axes = panels(figure, 1, 1, share=False)[0]
    losses: list[float] = []
    for fit in answers.families:
        look = style[fit.family]
        for curve in by_family[fit.family]:
            axes.plot(curve.flops, curve.loss, color=look.colour, alpha=0.35, linewidth=0.8, zorder=2)
            axes.plot(curve.flops, curve.loss, look.marker, color=look.colour, markersize=3.2, alpha=0.75, zorder=3)
            losses += list(curve.loss)
        _line(axes, fit.path, "loss", look.colour)
    crosses = _excluded(axes, answers.excluded, style)
    losses += crosses
    if answers.headline.common_flops is not None and len(answers.families) > 1:
        axes.axvline(answers.headline.common_flops, color="#555555", linewidth=0.9, linestyle=":", zorder=1)
        axes.annotate(
            "largest common compute",
            (answers.headline.common_flops, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8,
            color="#555555",
        )
    flops = [c for curves in by_family.values() for curve in curves for c in curve.flops]
    log_axis(axes, "x", flops)
    losses += [optimum.loss.value for fit in answers.families for optimum in fit.path]
    log_axis(axes, "y", losses)
    if losses:  # a band that spans everything must not flatten the points
        axes.set_ylim(min(losses) / 1.15, max(losses) * 1.15)
    axes.set_xlabel("training compute C (FLOP)")
    axes.set_ylabel("validation loss")
    _legend(axes, answers, style, excluded=bool(crosses))
    figure.legend(loc="outside right upper")
    return png(figure)


def optimal_model(answers: Answers, style: Mapping[str, Style]) -> bytes:
    """Return the compute-optimal N and D against compute, with 95 % bands."""
    figure = new_figure(9.6, 4.9)
    axes = panels(figure, 1, 2, share=False)
    for panel, name, label in zip(axes, ("params", "data"), ("size N* (parameters)", "data D*"), strict=True):
        values: list[float] = []
        for fit in answers.families:
            _line(panel, fit.path, name, style[fit.family].colour)
            values += [getattr(optimum, name).value for optimum in fit.path]
        log_axis(panel, "x", [optimum.flops for fit in answers.families for optimum in fit.path])
        log_axis(panel, "y", values)
        panel.set_ylim(min(values) / 2.5, max(values) * 2.5)  # a band that spans everything must not flatten the lines
        panel.set_xlabel("training compute C (FLOP)")
        panel.set_ylabel(f"compute-optimal {label}")
    for fit in answers.families:
        a, b = fit.params_exponent, fit.data_exponent
        law = f": $N^* \\propto C^{{{a.value:.2f}}}$, $D^* \\propto C^{{{b.value:.2f}}}$" if a and b else ""
        if fit.path:
            axes[0].plot([], [], color=style[fit.family].colour, linewidth=2, label=fit.family + law)
    axes[0].plot([], [], color="#777777", linewidth=2, linestyle="--", label="not tried: the law alone")
    figure.legend(loc="outside lower center", ncols=min(3, 1 + sum(bool(fit.path) for fit in answers.families)))
    return png(figure)


def _line(axes: "Axes", path: Sequence[OptimumRow], name: str, colour: str) -> None:
    """Draw a value along the frontier with its band: solid within what was tried, dashed beyond."""
    for part, dashed in _runs(path):
        flops, values = [o.flops for o in part], [getattr(o, name) for o in part]
        axes.plot(flops, [v.value for v in values], "--" if dashed else "-", color=colour, linewidth=2.0, zorder=4)
    if path and all(getattr(o, name).bounded for o in path):
        flops, values = [o.flops for o in path], [getattr(o, name) for o in path]
        low, high = [v.low for v in values], [v.high for v in values]
        axes.fill_between(flops, low, high, color=colour, alpha=0.15, linewidth=0, zorder=1)


def _runs(path: Sequence[OptimumRow]) -> list[tuple[list[OptimumRow], bool]]:
    """Return the path in pieces that lie within or beyond what was tried, each joined to the one before it."""
    pieces: list[tuple[list[OptimumRow], bool]] = []
    for optimum in path:
        beyond = optimum.extrapolated or bool(optimum.untried)
        if not pieces or pieces[-1][1] != beyond:
            pieces.append(([pieces[-1][0][-1]] if pieces else [], beyond))
        pieces[-1][0].append(optimum)
    return pieces


def _excluded(axes: "Axes", excluded: Sequence[Excluded], style: Mapping[str, Style]) -> list[float]:
    """Draw the points that are kept out of the fits as crosses; return the losses of those that can be drawn."""
    drawn = []
    for point in excluded:
        look = style.get(point.family)
        if look is not None and point.loss > 0 and point.flops > 0 and point.loss < float("inf"):
            axes.plot([point.flops], [point.loss], "x", color=look.colour, markersize=5, alpha=0.7, zorder=2)
            drawn.append(point.loss)
    return drawn


def _legend(axes: "Axes", answers: Answers, style: Mapping[str, Style], *, excluded: bool) -> None:
    for fit in answers.families:
        look = style[fit.family]
        gamma = fit.loss_exponent
        text = fit.family if gamma is None else f"{fit.family}: γ = {gamma.value:.3g}"
        if gamma is not None and gamma.bounded:
            text += f" [{gamma.low:.3g}, {gamma.high:.3g}]"
        if not fit.path:
            text += " (points alone: no fit)"
        axes.plot([], [], color=look.colour, marker=look.marker, markersize=4, linewidth=2, label=text)
    if any(fit.path for fit in answers.families):
        axes.plot([], [], color="#777777", linewidth=2, linestyle="--", label="not tried: the law alone")
    if excluded:
        axes.plot([], [], "x", color="#777777", markersize=5, label="kept out of the fit")
