"""The figures of the report, each as the bytes of a PNG file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from raysweep.report.content.assemble import Assembled
from raysweep.report.content.sources import Material
from raysweep.report.content.standings import LearningCurve
from raysweep.report.content.values import Answers, Excluded, OptimumRow
from raysweep.report.figures.canvas import (
    house_style,
    legend_below,
    log_axis,
    mark,
    name_of,
    new_figure,
    panels,
    png,
)
from raysweep.report.figures.checks import (
    NothingToDraw,
    Picture,
    exponent_figure,
    origin_figure,
    residual_figure,
    valley_figure,
    window_figure,
)
from raysweep.report.figures.checks.picture import data_axis, listed
from raysweep.report.figures.ladders import by_data, by_size
from raysweep.report.figures.palette import Style, styles
from raysweep.report.figures.rate_curves import rate_figure

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

WITHIN, BEYOND = 2.2, 0.9
"""Widths of a frontier within what was tried and beyond, in points."""
UNTRIED = "thin: extrapolation beyond what was tried"


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The figures of a report, by file name.

    Attributes:
        files: PNG files. alts: their alternative texts.
        absent: the figures that could not be drawn, each with the reason.
        left_out: by figure, the families that are not in it, each with the reason.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    alts: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, Mapping[str, str]] = field(default_factory=dict)


def draw(material: Material, assembled: Assembled) -> Drawn:
    """Draw the figures of a report, and give the reason for each that cannot be drawn.

    Args:
        material: the content of the report.
        assembled: the answers, the trajectories and the fits.
    """
    style = styles(material.families(), material.planned_families())
    with house_style():
        drawn = Drawn()
        _answers(drawn, material, assembled, style)
        _checks(drawn, material, assembled, style)
    return drawn


def _answers(drawn: Drawn, material: Material, assembled: Assembled, style: Mapping[str, Style]) -> None:
    answers, by_family, unit = assembled.answers, assembled.curves, material.data_unit
    named = listed(dict.fromkeys(material.families()))
    nothing = None if any(by_family.values()) else "no point has a positive, finite loss off the starting plateau"
    no_path = None if any(fit.path for fit in answers.families) else "no fit has a compute-optimal frontier"
    figures: list[tuple[str, str | None, Callable[[], bytes], str]] = [
        (
            "loss_against_compute.png",
            None if any(map(_can_be_drawn, answers.excluded)) else nothing,
            lambda: loss_against_compute(answers, by_family, style),
            f"Validation loss against training compute for {named}: points, trajectories and fitted frontiers.",
        ),
        (
            "optimal_model.png",
            no_path,
            lambda: optimal_model(answers, style, unit),
            f"Compute-optimal size and data against compute for {named}, with 95 % bands.",
        ),
        (
            "loss_against_size.png",
            nothing,
            lambda: by_size(by_family, style),
            f"Validation loss against size for {named}, a line for each data budget.",
        ),
        (
            "loss_against_data.png",
            nothing,
            lambda: by_data(by_family, style, data_axis(unit)),
            f"Validation loss against data for {named}, a line for each size.",
        ),
    ]
    if material.searches or material.facts is not None:
        rates = "Validation loss against learning rate at each rung of the searches, with the chosen rates."
        missing = None if material.searches else "no learning rate was searched for"
        figures.append(("learning_rates.png", missing, lambda: rate_figure(material.searches, style), rates))
    for name, reason, made, alt in figures:
        if reason is None:
            drawn.files[name], drawn.alts[name] = made(), alt
        else:
            drawn.absent[name] = reason


def _checks(drawn: Drawn, material: Material, assembled: Assembled, style: Mapping[str, Style]) -> None:
    fits, unit = assembled.fits, material.data_unit
    figures: dict[str, Callable[[], Picture]] = {
        "isoflop_valleys.png": lambda: valley_figure(fits, style=style),
        "residuals.png": lambda: residual_figure(fits, data_unit=unit, style=style),
        "local_exponents.png": lambda: exponent_figure(fits, material.points, data_unit=unit, style=style),
        "windows.png": lambda: window_figure(fits, style=style),
        "rolling_origin.png": lambda: origin_figure(fits, style=style),
    }
    for name, made in figures.items():
        try:
            picture = made()
        except NothingToDraw as reason:
            drawn.absent[name] = str(reason)
            continue
        drawn.files[name], drawn.alts[name] = picture.png(), picture.alt
        drawn.left_out[name] = picture.absent


def loss_against_compute(
    answers: Answers, by_family: Mapping[str, Sequence[LearningCurve]], style: Mapping[str, Style]
) -> bytes:
    """Draw loss against compute: points, trajectories, and the fitted frontiers with their bands."""
    figure = new_figure(9.6, 5.2)
    axes = panels(figure, 1, 1, share=False)[0]
    losses: list[float] = []
    for fit in answers.families:
        look = style[fit.family]
        for curve in by_family[fit.family]:
            axes.plot(curve.flops, curve.loss, color=look.colour, alpha=0.35, linewidth=0.8, zorder=2)
            axes.plot(curve.flops, curve.loss, look.marker, color=look.colour, markersize=3.2, alpha=0.75, zorder=3)
            losses += list(curve.loss)
        _line(axes, fit.path, "loss", look)
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
    legend_below(figure, _legend(answers, style, excluded=bool(crosses)))
    return png(figure)


def optimal_model(answers: Answers, style: Mapping[str, Style], data_unit: str | None = None) -> bytes:
    """Draw the compute-optimal N and D against compute, with 95 % bands."""
    figure = new_figure(9.6, 4.9)
    axes = panels(figure, 1, 2, share=False)
    data = f"data D* ({data_unit})" if data_unit else "data D*"
    for panel, name, label in zip(axes, ("params", "data"), ("size N* (parameters)", data), strict=True):
        values: list[float] = []
        for fit in answers.families:
            _line(panel, fit.path, name, style[fit.family])
            values += [getattr(optimum, name).value for optimum in fit.path]
        log_axis(panel, "x", [optimum.flops for fit in answers.families for optimum in fit.path])
        log_axis(panel, "y", values)
        panel.set_ylim(min(values) / 2.5, max(values) * 2.5)  # a band that spans everything must not flatten the lines
        panel.set_xlabel("training compute C (FLOP)")
        panel.set_ylabel(f"compute-optimal {label}")
    legend: list[Artist] = []
    for fit in (fit for fit in answers.families if fit.path):
        a, b, look = fit.params_exponent, fit.data_exponent, style[fit.family]
        law = f": $N^* \\propto C^{{{a.value:.2f}}}$, $D^* \\propto C^{{{b.value:.2f}}}$" if a and b else ""
        legend.append(mark(name_of(fit.family) + law, color=look.colour, linestyle=look.line, linewidth=2))
    legend_below(figure, [*legend, mark(UNTRIED, linewidth=BEYOND)])
    return png(figure)


def _line(axes: "Axes", path: Sequence[OptimumRow], name: str, look: Style) -> None:
    """Draw a value along the frontier with its band, thick within the range tried and thin beyond."""
    colour = look.colour
    for part, beyond in _runs(path):
        flops, values = [o.flops for o in part], [getattr(o, name) for o in part]
        width = BEYOND if beyond else WITHIN
        axes.plot(flops, [v.value for v in values], linestyle=look.line, color=colour, linewidth=width, zorder=4)
    if path and all(getattr(o, name).bounded for o in path):
        flops, values = [o.flops for o in path], [getattr(o, name) for o in path]
        low, high = [v.low for v in values], [v.high for v in values]
        axes.fill_between(flops, low, high, color=colour, alpha=0.15, linewidth=0, zorder=1)


def _runs(path: Sequence[OptimumRow]) -> list[tuple[list[OptimumRow], bool]]:
    """Split the path into pieces within and beyond the range tried, each joined to the one before it."""
    pieces: list[tuple[list[OptimumRow], bool]] = []
    for optimum in path:
        beyond = optimum.extrapolated or bool(optimum.untried)
        if not pieces or pieces[-1][1] != beyond:
            pieces.append(([pieces[-1][0][-1]] if pieces else [], beyond))
        pieces[-1][0].append(optimum)
    return pieces


def _excluded(axes: "Axes", excluded: Sequence[Excluded], style: Mapping[str, Style]) -> list[float]:
    """Draw the points excluded from the fits as crosses; return the losses of those that can be drawn."""
    drawn = []
    for point in excluded:
        look = style.get(point.family)
        if look is not None and _can_be_drawn(point):
            axes.plot([point.flops], [point.loss], "x", color=look.colour, markersize=5, alpha=0.7, zorder=2)
            drawn.append(point.loss)
    return drawn


def _can_be_drawn(point: Excluded) -> bool:
    return 0 < point.loss < float("inf") and 0 < point.flops < float("inf")


def _legend(answers: Answers, style: Mapping[str, Style], *, excluded: bool) -> "list[Artist]":
    found: list[Artist] = []
    for fit in answers.families:
        look = style[fit.family]
        gamma, name = fit.loss_exponent, name_of(fit.family)
        text = name if gamma is None else f"{name}: γ = {gamma.value:.3g}"
        if gamma is not None and gamma.bounded:
            text += f" [{gamma.low:.3g}, {gamma.high:.3g}]"
        if not fit.path:
            text += " (points alone: no fit)"
        line = {"color": look.colour, "marker": look.marker, "markersize": 4, "linewidth": 2, "linestyle": look.line}
        found.append(mark(text, **line))
    if any(fit.path for fit in answers.families):
        found.append(mark(UNTRIED, linewidth=BEYOND))
    if excluded:
        found.append(mark("excluded from the fit", linestyle="none", marker="x", markersize=5))
    return found
