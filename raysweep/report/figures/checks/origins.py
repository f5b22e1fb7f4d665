"""Errors of the candidate laws on larger runs that they had not seen (rolling origin), and the law that was chosen."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from raysweep.core.text import scaled
from raysweep.frontier import Fit
from raysweep.frontier.answers.choice import LawCandidate, LawChoice
from raysweep.report.figures.canvas import grid, house_style, legend_below, mark, name_of
from raysweep.report.figures.checks.picture import NothingToDraw, Picture, cost_unit, drawable, families, listed
from raysweep.report.figures.palette import Style, shade

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_MARKS = ("<", ">", "^", "v")
"""Of the origins, in their order."""


def origin_figure(fits: Mapping[str, Fit] | Fit, *, style: Mapping[str, Style] | None = None) -> Picture:
    """Draw how well each candidate law predicts the largest runs from the smaller ones, and mark the one chosen.

    Args:
        fits: by family, made with law="auto".
        style: of the families; None: the palette's.

    Raises:
        NothingToDraw: no other law was tried.
    """
    given = families(fits, style)
    found, absent = drawable(given.fits, lambda _, fit: choice_of(fit))
    height = 1.2 + 0.19 * max(len(choice.candidates) for choice in found.values())
    with house_style():
        figure, axes = grid(len(found), 9.6, height, most=2)
        for panel, (family, choice) in zip(axes, found.items(), strict=True):
            _panel(panel, choice, given.style[family], cost_unit(given.fits[family]))
            panel.set_title(name_of(family), color=given.style[family].colour, fontweight="bold", loc="left")
        legend_below(figure, _legend(max(choice.origins for choice in found.values())))
    taken = "; ".join(
        f"{family}: {choice.candidates[choice.chosen].name} was taken" for family, choice in found.items()
    )
    alt = f"Errors of the candidate laws on larger runs, predicted from the smaller ones, for {listed(found)}. {taken}."
    return Picture(figure=figure, alt=alt, absent=absent)


def choice_of(fit: Fit) -> LawChoice:
    """The choice of a fit's law.

    Raises:
        NothingToDraw: there was none, for a reason that the message names.
    """
    if fit.choice is not None:
        return fit.choice
    if fit.estimate is None:
        raise NothingToDraw(f"no fit: {fit.status.sentence}")
    if fit.method != "parametric":
        raise NothingToDraw(f"method={fit.method!r} does not choose among laws")
    if fit.lack_of_fit is None:
        raise NothingToDraw("the points are too few to test the additive law, so no other was tried")
    if not fit.lack_of_fit.significant:
        raise NothingToDraw(f"the points do not contradict the {fit.form.law} law, so no other was tried")
    raise NothingToDraw("the law was given by name, or the points are too few to be divided")


def _panel(axes: "Axes", choice: LawChoice, look: Style, unit: str) -> None:
    known = [one for one in choice.candidates if np.isfinite(one.error)]
    taken = choice.candidates[choice.chosen]
    mixed = len({one.toward_largest for one in known}) > 1
    for place, one in enumerate(known):
        chosen = one is taken
        colour = look.colour if chosen else "#9a9a9a"
        fill = shade(look.colour, 0.45) if chosen else "#dddddd"
        axes.barh(place, 100.0 * one.error, height=0.66, color=fill, edgecolor=colour, linewidth=1.4 if chosen else 0.6)
        for origin, error in enumerate(one.errors):
            axes.plot(
                [100.0 * error], [place], _MARKS[origin % len(_MARKS)], color=colour, markersize=4.5,
                markeredgecolor="#333333", markeredgewidth=0.5, zorder=4,
            )  # fmt: skip
    axes.set_yticks(range(len(known)), [_label(one, taken, mixed=mixed) for one in known], fontsize=7.5)
    axes.get_yticklabels()[known.index(taken)].set_fontweight("bold")
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(left=0.0)
    marks = ", ".join(f"{mark} {scaled(cost, 2)}" for mark, cost in zip("◁▷△▽", choice.seen, strict=False))
    axes.set_xlabel(
        "mean error of larger runs, %" + (f"\nfitted up to {marks} {unit}" if marks else ""), loc="right", fontsize=8
    )


def _label(one: LawCandidate, taken: LawCandidate, *, mixed: bool) -> str:
    """Name a candidate; that larger runs weigh more only where that is not so for all."""
    larger = ", larger runs weigh more" if one.toward_largest and mixed else ""
    above = "" if one.over == 1.0 else f", above × {one.over:g}"
    return f"{'chosen: ' if one is taken else ''}{one.law}{larger}{above}"


def _legend(origins: int) -> "list[Artist]":
    from matplotlib.patches import Patch

    found: list[Artist] = [Patch(facecolor="#dddddd", edgecolor="#9a9a9a", label="mean of the origins")]
    names = ("the first origin: the fewest runs seen", "the second", "the third", "the fourth")
    found += [
        mark(names[k], linestyle="none", marker=_MARKS[k], color="#9a9a9a", markeredgecolor="#333333")
        for k in range(min(origins, len(_MARKS)))
    ]
    return [*found, Patch(facecolor="#777777", edgecolor="#333333", linewidth=1.4, label="the law that was taken")]
