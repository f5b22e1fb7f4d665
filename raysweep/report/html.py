"""One self-contained report.html: text, tables and figures in a single file that loads nothing else."""

import base64
import io
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined
from ruamel.yaml import YAML

from raysweep.core.text import knobs, scaled
from raysweep.frontier.hyperparameters.horizon import exponent_of
from raysweep.report.content import study
from raysweep.report.content.races import race_pages
from raysweep.report.content.sources import Material
from raysweep.report.content.values import Answers, grouped
from raysweep.report.figures.figures import Drawn
from raysweep.report.figures.palette import styles

FIGURES = {
    "loss_against_compute.png": (
        "Loss against compute",
        "Every point of the grid, joined along its trajectory. Thick: the fitted frontier with its 95 % band; thin "
        "where its optimum lies beyond the compute, the sizes or the data that were tried: the law alone speaks. "
        "γ is the exponent of the reducible loss, L − E.",
    ),
    "optimal_model.png": (
        "The compute-optimal model",
        "Size and data that reach the lowest loss at each compute, by the fitted law, with 95 % bands; thin beyond the "
        "compute, the sizes or the data that were tried, where the law alone speaks.",
    ),
    "loss_against_size.png": (
        "Loss against size",
        "Each line is one data budget, darker for more data. Where a line turns up, larger models need more data.",
    ),
    "loss_against_data.png": (
        "Loss against data",
        "Each line is one size, darker for larger models.",
    ),
    "isoflop_valleys.png": (
        "IsoFLOP valleys",
        "Loss against size at each compute budget, darker for more compute. Stars mark the minima of the valleys with "
        "their 95 % intervals, crosses the optima of the fitted law at the same compute; where they part, the two "
        "approaches disagree on N*.",
    ),
    "residuals.png": (
        "Residuals of the fitted law",
        "Measured over predicted loss against N, D and compute. Under a law that holds, the means (black) stay near 0 "
        "everywhere; red bars mark the departures that the test of the residuals names. Outliers that the fit gives no "
        "weight are hollow, and lie at the edge where they are off the scale.",
    ),
    "local_exponents.png": (
        "Local exponents along learning curves",
        "How fast the loss falls between consecutive budgets of each run, and how fast the fitted law says (dashed). "
        "Shaded: the window of D that was fitted. Hollow points begin before it, in the transition.",
    ),
    "windows.png": (
        "Exponents as budgets are dropped",
        "The law refitted without the largest or the smallest budgets; bars are the 95 % intervals of the fit to all. "
        "Exponents that drift, or leave the interval (hollow), describe the window of the points, not the family.",
    ),
    "rolling_origin.png": (
        "Choice of the law",
        "Candidate laws fitted to the cheaper runs and asked for the larger ones: mean absolute error, the best first. "
        "Another law than the additive one is taken only where it errs clearly less. “Above × 0.4”: points above the "
        "law weigh 0.4.",
    ),
    "learning_rates.png": (
        "Learning rates",
        "Loss against learning rate at the rungs of successive halving, darker for later ones. The dotted line is the "
        "rate that was chosen. Trials without a point at a later rung were stopped early.",
    ),
}


def render(material: Material, answers: Answers, drawn: Drawn, made_with: Mapping[str, str]) -> str:
    """Render the page.

    Args:
        material: the content of the report.
        answers: what was fitted.
        drawn: the figures.
        made_with: versions by package.
    """
    environment = Environment(
        loader=PackageLoader("raysweep.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["number"] = scaled
    environment.filters["knobs"] = knobs
    facts = material.facts or {}
    space = facts.get("space")
    return environment.get_template("report.html.j2").render(
        title=material.title,
        answers=answers,
        headline=answers.headline,
        style=styles(material.families(), material.planned_families()),
        architectures=_architectures(material),
        nearest=study.nearest,
        study_rows=study.rows(),
        study_source=study.SOURCE,
        races=race_pages(material),
        searches=material.searches,
        horizons=[(record, exponent_of(record)) for record in material.horizons],
        forecasts=material.forecasts,
        models=material.models,
        broken=material.broken,
        pictures=_pictures(drawn),
        not_drawn={FIGURES[name][0]: reason for name, reason in drawn.absent.items()},
        unit=(material.data_unit or "unit of D").removesuffix("s"),
        units=material.data_unit or "units of D",
        fingerprint=facts.get("fingerprint"),
        seeds=_seeds(material),
        versions=_versions(facts.get("versions"), made_with),
        space_text=_yaml(space) if space else None,
        several_optima=any(fit.optima for fit in answers.families),
        regret=_regret(answers),
        excluded_groups=grouped(answers.excluded),
    )


def _pictures(drawn: Drawn) -> list[dict[str, object]]:
    return [
        {
            "title": title,
            "caption": caption,
            "alt": drawn.alts[name],
            "left_out": drawn.left_out.get(name, {}),
            "data": base64.b64encode(drawn.files[name]).decode(),
        }
        for name, (title, caption) in FIGURES.items()
        if name in drawn.files
    ]


def _architectures(material: Material) -> dict[str, str]:
    """Map each family to its architecture, or to itself if that is unknown."""
    found = {family: family for family in material.families()}
    if material.full is not None and {"family", "architecture"} <= set(material.full.column_names):
        rows = material.full.select(["family", "architecture"]).to_pylist()
        found.update({str(row["family"]): str(row["architecture"]) for row in rows})
    return found


def _yaml(content: object) -> str:
    stream = io.StringIO()
    YAML().dump(content, stream)
    return stream.getvalue()


def _regret(answers: Answers) -> str:
    found = [optimum.regret for fit in answers.families for optimum in fit.optima if optimum.regret is not None]
    return f"{100 * found[0]:g} %" if found else "–"


def _seeds(material: Material) -> str:
    if "seed" not in material.points.column_names:
        return "–"
    return ", ".join(str(seed) for seed in sorted({s for s in material.points["seed"].to_pylist() if s is not None}))


def _versions(of_sweep: object, of_report: Mapping[str, str]) -> dict[str, str]:
    swept = {f"{k} (sweep)": str(v) for k, v in of_sweep.items()} if isinstance(of_sweep, dict) else {}
    return {**swept, **{f"{name} (report)": version for name, version in of_report.items()}}
