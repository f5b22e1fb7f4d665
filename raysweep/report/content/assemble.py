"""The content of a report: fits the points and collects everything that its table and page show."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from raysweep import frontier
from raysweep.frontier import Fit
from raysweep.report.content.costs import family_costs
from raysweep.report.content.fits import exclusions, family_fit, run_interval
from raysweep.report.content.headline import headline
from raysweep.report.content.sources import Material
from raysweep.report.content.standings import LearningCurve, curves, largest_common, standings
from raysweep.report.content.values import Answers

Method = Literal["parametric", "envelope", "isoflop"]
FURTHER = 10.0
"""Where no compute is asked for, the optimum is given at the largest common compute and at this multiple of it."""


def trajectories(material: Material) -> dict[str, list[LearningCurve]]:
    """The sound trajectories of each family."""
    return {family: curves(material.points, family) for family in material.families()}


def answer(material: Material, *, method: Method = "parametric", computes: Sequence[float] = ()) -> Answers:
    """Fit the points and collect the report's answers.

    Args:
        material: the points, and the facts about their sweep.
        method: the approach that gives exponents and optima; the envelope's exponent is given beside it.
        computes: FLOPs at which the compute-optimal model is wanted; see `FURTHER` for the default.
    """
    families = material.families()
    found = trajectories(material)
    fits = _fits(material, method)
    envelopes = fits if method == "envelope" else _fits(material, "envelope")
    sound = [part for part in found.values() if part]
    flops, data = largest_common(sound, "flops"), largest_common(sound, "data")
    if not computes and flops is not None:
        computes = (flops, FURTHER * flops)
    rows = tuple(family_fit(family, fits[family], envelopes[family], computes) for family in families)
    placed = standings(families, list(found.values()), flops, data)
    placed = tuple(replace(row, interval=run_interval(fits[row.family], row)) for row in placed)
    return Answers(
        method=method,
        families=rows,
        headline=headline(placed, flops, data, rows, material.incomplete()),
        excluded=tuple(row for family in families for row in exclusions(family, fits[family], material.points)),
        costs=family_costs(material.points if material.full is None else material.full, families),
        digest=material.points_digest(),
    )


def _fits(material: Material, method: Method) -> dict[str, Fit]:
    if "architecture" in material.points.column_names:
        return frontier.fit_families(material.points, method=method)
    (only,) = material.families()
    return {only: frontier.fit(material.points, method=method)}
