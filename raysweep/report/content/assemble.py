"""The content of a report: fits the points and collects everything that its table and page show."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from raysweep import frontier
from raysweep.core.errors import FrontierError
from raysweep.frontier import Fit
from raysweep.frontier.approaches.options import Method
from raysweep.frontier.fitting.screening import BELOW
from raysweep.frontier.points.findings import Kind
from raysweep.report.content.costs import family_costs
from raysweep.report.content.fits import exclusions, family_fit, run_interval
from raysweep.report.content.headline import headline
from raysweep.report.content.questions import Question
from raysweep.report.content.sources import Material
from raysweep.report.content.standings import LearningCurve, curves, largest_common, standings
from raysweep.report.content.values import Answers

FURTHER = 10.0
"""Where no compute is asked for, the optimum is given at the largest common compute and at this multiple of it."""


def trajectories(material: Material, fits: Mapping[str, Fit] | None = None) -> dict[str, list[LearningCurve]]:
    """Get the usable trajectories of each family, without points that its fit excludes or finds far below the law."""
    left_out = {} if fits is None else {family: _unsound(fit) for family, fit in fits.items()}
    return {family: curves(material.points, family, left_out.get(family, ())) for family in material.families()}


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """The answers, the trajectories that figures draw beside them, and the fits that the answers are of, by family."""

    answers: Answers
    curves: dict[str, list[LearningCurve]]
    fits: dict[str, Fit]


def answer(material: Material, question: Question | None = None) -> Answers:
    """Fit the points and collect the report's answers; see `assemble`."""
    return assemble(material, question).answers


def assemble(material: Material, question: Question | None = None) -> Assembled:
    """Fit the points, collect the report's answers, and the trajectories that its figures draw.

    Args:
        material: the points, and the facts about their sweep.
        question: which fit, and where its optimum is wanted; None: the default one, see `FURTHER`.

    Raises:
        FrontierError: the question has no answer for these points.
    """
    question = question or Question()
    families = material.families()
    fits = _fits(material, question, question.method)
    envelopes = fits if question.method == "envelope" else _fits(material, question, "envelope")
    found = trajectories(material, fits)
    sound = [part for part in found.values() if part]
    flops, data = largest_common(sound, "flops"), largest_common(sound, "data")
    computes = question.computes
    if not (computes or question.losses) and flops is not None:
        computes = (flops, FURTHER * flops)
    rows = tuple(family_fit(family, fits[family], envelopes[family], computes, question) for family in families)
    placed = standings(families, list(found.values()), flops, data)
    placed = tuple(replace(row, interval=run_interval(fits[row.family], row)) for row in placed)
    answers = Answers(
        method=question.method,
        families=rows,
        headline=headline(placed, flops, data, rows, material.incomplete()),
        excluded=tuple(row for family in families for row in exclusions(family, fits[family], material.points)),
        costs=family_costs(material.points if material.full is None else material.full, families),
        digest=material.points_digest(),
    )
    return Assembled(answers=answers, curves=found, fits=fits)


def _fits(material: Material, question: Question, method: Method) -> dict[str, Fit]:
    settings, exclude = question.settings(method), list(question.exclude) or None
    if "architecture" in material.points.column_names:
        share = question.share if method == "parametric" else ()
        return frontier.fit_families(material.points, exclude=exclude, share=share, **settings)
    (only,) = material.families()
    if question.share:
        raise FrontierError(
            f"share = {', '.join(question.share)}: the points are of one family; name its column (--group)"
        )
    return {only: frontier.fit(material.points, exclude=exclude, **settings)}


def _unsound(fit: Fit) -> tuple[int, ...]:
    """List the rows that are excluded, and those of zero weight far below the law, which no run reaches."""
    rows = [item.row for item in fit.excluded if item.kind not in (Kind.ON_PLATEAU, Kind.DUPLICATES)]
    if fit.status.found(Kind.FAR_BELOW) and fit.trust is not None:
        silent = fit.trust == 0.0
        if fit.method == "parametric":  # the others silence far points alone
            assert fit.residuals is not None
            silent &= fit.residuals < -BELOW
        rows += [int(row) for row in fit.samples.row[silent]]
    return tuple(rows)
