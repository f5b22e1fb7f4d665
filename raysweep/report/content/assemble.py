"""Fits the points and puts together all that the table and the page say."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from raysweep import frontier
from raysweep.frontier import Fit
from raysweep.report.content.costs import family_costs
from raysweep.report.content.fits import exclusions, family_fit, run_interval
from raysweep.report.content.headline import headline
from raysweep.report.content.sources import Material
from raysweep.report.content.standings import Curve, curves, largest_common, standings
from raysweep.report.content.values import Answers

Method = Literal["parametric", "envelope", "isoflop"]
FURTHER = 10.0
"""Where no compute is asked for, the optimum is told at the largest common one, and at so many times of it."""


def trajectories(material: Material) -> dict[str, list[Curve]]:
    """Return the sound trajectories of each family."""
    return {family: curves(material.points, family) for family in material.families()}


def answer(material: Material, *, method: Method = "parametric", computes: Sequence[float] = ()) -> Answers:
    """Return the answers.

    Args:
        material: the points, and what is known about them.
        method: the approach that gives exponents and optima; the envelope's exponent is told beside it.
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
