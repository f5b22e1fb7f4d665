"""`fit_hyperparameters`: from a table of runs to the laws of the best learning rate and batch size."""

from collections.abc import Mapping
from typing import TypedDict, Unpack

import numpy as np
import pyarrow as pa
import scipy

from raysweep.core.errors import FrontierError
from raysweep.core.text import short
from raysweep.core.version import __version__
from raysweep.frontier.hyperparameters.edges import WORDS, NoOptimum
from raysweep.frontier.hyperparameters.estimate import in_use
from raysweep.frontier.hyperparameters.fitting import Fitted, fit_runs, refit
from raysweep.frontier.hyperparameters.preparing import PreparedRuns, exclusions_of, prepare
from raysweep.frontier.hyperparameters.reading import runs_table
from raysweep.frontier.hyperparameters.result import NAMES, HyperparameterFit
from raysweep.frontier.hyperparameters.surface import height
from raysweep.frontier.numerics.arrays import Indices
from raysweep.frontier.numerics.intervals import LEAST_DRAWS
from raysweep.frontier.points.cleaning import Exclude
from raysweep.frontier.points.families import Family, named_families, only_family
from raysweep.frontier.points.findings import Finding, Kind, caution, fatal, note, status_of
from raysweep.frontier.points.samples import Exclusion

CONVERGED = 1e-4
"""Gradient norm above which a fit is not at its optimum."""
_SHOWN = 4
"""Cells that a sentence names."""


class HyperparameterSettings(TypedDict, total=False):
    """Arguments of `fit_hyperparameters` that other functions pass on to it."""

    columns: Mapping[str, str] | None
    batch_with_params: bool
    seed: int
    bootstraps: int


def fit_hyperparameters(
    points: object,
    columns: Mapping[str, str] | None = None,
    *,
    batch_with_params: bool = False,
    exclude: Exclude = None,
    seed: int = 0,
    bootstraps: int = 1000,
) -> HyperparameterFit:
    """Fit the best learning rate ~ N^a D^b and the best batch size ~ D^c of one family (2503.04715).

    In each cell (one N and D) the loss has a valley about the best hyperparameters; its shape is shared by all cells,
    its bottom follows the laws. So every run near a bottom counts, and not only the lowest one of each cell.

    Args:
        points: a pyarrow table, a pandas frame or a mapping of columns: params, data, loss, and learning_rate, batch or
            both; optional architecture (or family), seed, trajectory (or trial_id), weight, trivial_loss. A row is a
            run; one that was evaluated at several D is a row for each, with one trajectory.
        columns: the names above -> the table's own, where they differ: {"params": "N", "learning_rate": "lr"}.
        batch_with_params: whether the best batch size may depend on N too, ~ D^c N^e; the paper finds that it does not.
        exclude: rows to leave out: numbers, or a flag per row.
        seed: of the bootstraps.
        bootstraps: number of resamples; 0 leaves out intervals.

    Raises:
        FrontierError: the points or an argument cannot be read, or the points are of several families (then use
            `fit_hyperparameters_families`). What is wrong with readable points is in the fit's `status`.

    >>> import math
    >>> cells = [(n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)]
    >>> rows = [(n, d, rate) for n, d in cells for rate in (2.0**-k for k in range(2, 14))]
    >>> best = [1.8 * n**-0.7 * d**0.3 for n, d, _ in rows]
    >>> loss = [3 * n**-0.05 * math.exp(0.01 * math.log(rate / at) ** 2) for (n, _, rate), at in zip(rows, best)]
    >>> params, data, rates = zip(*rows)
    >>> points = {"params": params, "data": data, "learning_rate": rates, "loss": loss}
    >>> found = fit_hyperparameters(points, bootstraps=0)
    >>> print(found.known.learning_rate)
    1.8 N^-0.7000 D^0.3000
    """
    table = runs_table(points, columns)
    family, rows = only_family(table, "fit_hyperparameters")
    return _fit_group(
        table, rows, family, exclude, batch_with_params, _whole("seed", seed), _whole("bootstraps", bootstraps)
    )


def fit_hyperparameters_families(
    points: object, *, exclude: Exclude = None, **settings: Unpack[HyperparameterSettings]
) -> dict[str, HyperparameterFit]:
    """Fit the hyperparameter laws of each family of the points; arguments as in `fit_hyperparameters`.

    Raises:
        FrontierError: as `fit_hyperparameters`, or the points name no family.
    """
    table = runs_table(points, settings.get("columns"))
    free = settings.get("batch_with_params", False)
    seed, bootstraps = _whole("seed", settings.get("seed", 0)), _whole("bootstraps", settings.get("bootstraps", 1000))
    return {
        family: _fit_group(table, rows, family, exclude, free, seed, bootstraps)
        for family, rows in named_families(table, "fit_hyperparameters").items()
    }


def _whole(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < 10**6:
        raise FrontierError(f"{name} = {value}: give 0 or more, a whole number below 1e6")
    return int(value)


def _fit_group(
    table: pa.Table, rows: Indices, family: Family, exclude: Exclude, free: bool, seed: int, bootstraps: int
) -> HyperparameterFit:
    prepared = prepare(table, rows, exclude)
    fitted: Fitted | None = None
    left_out: tuple[NoOptimum, ...] = ()
    refusal: Finding | None = None
    if not prepared.axes:
        refusal = _no_axes(prepared)
    else:
        fitted, left_out = fit_runs(prepared.runs, prepared.axes, prepared.given, batch_with_params=free)
        if fitted is None:
            refusal = _no_valley(prepared, left_out)
    excluded = [*prepared.excluded, *exclusions_of(left_out, prepared.runs)]
    findings = [*prepared.findings, *_cell_findings(left_out)]
    blank = HyperparameterFit(
        status=status_of([*findings, *([refusal] if refusal else [])]),
        architecture=family,
        seed=seed,
        bootstraps=bootstraps,
        versions={"raysweep": __version__, "numpy": np.__version__, "scipy": scipy.__version__},
        excluded=tuple(sorted(excluded, key=lambda item: item.row)),
        samples=prepared.runs,
        open_exponents={},
    )
    return blank if fitted is None else _filled(blank, fitted, findings)


def _filled(blank: HyperparameterFit, fitted: Fitted, findings: list[Finding]) -> HyperparameterFit:
    """Add the surface, its refits, and the findings about them."""
    known, used = fitted.estimated, in_use(fitted.estimated)
    excluded = (*blank.excluded, *_far(fitted))
    opened = _open(fitted)
    findings = [*findings, *(caution(kind, text) for kind, text in opened.values()), *_surface_findings(fitted)]
    values = {
        **vars(blank),
        "excluded": tuple(sorted(excluded, key=lambda item: item.row)),
        "samples": fitted.runs.take(used),
        "open_exponents": {name: text for name, (_, text) in opened.items()},
        "window": known.window,
        "noise": known.noise,
        "gradient_norm": known.gradient_norm,
        "residuals": known.residuals[used],
        "trust": known.trust[used],
        "estimate": fitted.law,
    }
    if blank.bootstraps:
        refits = refit(fitted, blank.bootstraps, blank.seed)
        values |= {
            "units": int(refits.unit.max()) + 1,
            "by_cells": refits.by_cells,
            "degrees_of_freedom": refits.degrees_of_freedom,
            "draws": refits.draws,
            "leave_one_out": refits.leave_one_out,
        }
        findings += _refit_findings(refits.by_cells, refits.drawn, blank.bootstraps)
    return HyperparameterFit(**{**values, "status": status_of(findings)})


def _far(fitted: Fitted) -> list[Exclusion]:
    """List the runs beyond the window."""
    known, heights = fitted.estimated, height(fitted.valley, fitted.estimated.theta[None])[0]
    text = "{:.1%} above the valley's bottom by its parabola, beyond the window of {:.1%}"
    return [
        Exclusion(
            row=int(fitted.runs.row[place]),
            kind=Kind.FAR_FROM_OPTIMUM,
            reason=text.format(np.expm1(min(heights[place], 50.0)), np.expm1(known.window)),
        )
        for place in np.flatnonzero(~in_use(known))
    ]


def _open(fitted: Fitted) -> dict[str, tuple[Kind, str]]:
    """The exponents that the cells leave open, with the reason."""
    found: dict[str, tuple[Kind, str]] = {}
    for axis, missing in zip(fitted.design.axes, fitted.design.open, strict=True):
        for name, (of, quantity) in NAMES.items():
            if of != axis or quantity not in missing:
                continue
            if len(missing) == 2 and fitted.design.columns[fitted.design.axes.index(axis)][:1] == ("data",):
                law = float(np.asarray(fitted.law.of(axis).data))
                text = (
                    f"N and D rise in lockstep over the cells, so that their exponents cannot be told apart; along "
                    f"them the best {WORDS[axis]} goes as D^{law:.3f}: vary D at fixed N"
                )
                found[name] = (Kind.DEPENDENT_DESIGN, text)
            elif quantity == "params":
                text = f"all cells with an optimum have one N: how the best {WORDS[axis]} changes with N cannot be seen"
                found[name] = (Kind.ONE_SIZE_ONLY, text)
            else:
                text = f"all cells with an optimum have one D: how the best {WORDS[axis]} changes with D cannot be seen"
                found[name] = (Kind.ONE_DATA_ONLY, text)
    return found


def _surface_findings(fitted: Fitted) -> list[Finding]:
    known, found = fitted.estimated, []
    used = in_use(known)
    share = float(np.mean(known.kernel > 0))
    text = (
        f"{int(used.sum())} of {used.size} runs of {np.unique(fitted.runs.cell).size} cells lie within "
        f"{np.expm1(known.window):.1%} of the valley's bottom and are fitted"
    )
    found.append(note(Kind.FAR_FROM_OPTIMUM, text)) if share < 1 else None
    silenced = np.flatnonzero(used & (known.trust < 0.5 * np.median(known.trust[used])) & (known.trust < 0.3))
    if silenced.size:
        rows = ", ".join(str(row) for row in fitted.runs.row[silenced][:_SHOWN])
        more = "" if silenced.size <= _SHOWN else ", ..."
        text = f"{silenced.size} runs lie far from the surface and weigh little: rows {rows}{more}"
        found.append(note(Kind.OUTLIERS, text))
    if known.gradient_norm > CONVERGED:
        text = f"the solver did not reach the optimum: gradient norm {known.gradient_norm:.1e}"
        found.append(caution(Kind.NOT_CONVERGED, text))
    return found


def _refit_findings(by_cells: bool, drawn: int, bootstraps: int) -> list[Finding]:
    found = []
    if not by_cells:
        text = (
            "too few cells to see how much the best values scatter about the law: intervals take it as exact at every N"
            " and D, and draw runs; add cells"
        )
        found.append(caution(Kind.TOO_FEW_TRAJECTORIES, text))
    if drawn < max(LEAST_DRAWS, 0.5 * bootstraps):
        text = f"only {drawn} of {bootstraps} bootstraps gave a valley: intervals are missing or rough"
        found.append(caution(Kind.TOO_FEW_BOOTSTRAPS, text))
    return found


def _cell_findings(left_out: tuple[NoOptimum, ...]) -> list[Finding]:
    """One sentence for each kind of cell that shows no optimum."""
    found = []
    remedies = {
        Kind.OPTIMUM_AT_EDGE: "try values beyond",
        Kind.TOO_FEW_SETTINGS: "try more values",
    }
    for kind, remedy in remedies.items():
        reasons = [item.reason for item in left_out if item.kind is kind]
        if reasons:
            shown = "; ".join(reasons[:_SHOWN]) + ("; ..." if len(reasons) > _SHOWN else "")
            count = "1 cell shows" if len(reasons) == 1 else f"{len(reasons)} cells show"
            found.append(
                caution(
                    kind,
                    f"{count} no optimum and is left out ({shown}): {remedy}".replace(
                        "cells show no optimum and is", "cells show no optimum and are"
                    ),
                )
            )
    return found


def _no_axes(prepared: PreparedRuns) -> Finding:
    if prepared.runs.count == 0:
        return fatal(Kind.TOO_FEW_POINTS, "no run has a loss, N, D and a learning rate or batch size")
    cells = np.unique(prepared.runs.cell).size
    text = (
        f"{prepared.runs.count} runs at {cells} pairs of N and D: most of them have fewer than 3 learning rates or "
        "batch sizes with a loss, so no optimum can be found; try 3 or more at each N and D"
    )
    return fatal(Kind.TOO_FEW_SETTINGS, text)


def _no_valley(prepared: PreparedRuns, left_out: tuple[NoOptimum, ...]) -> Finding:
    cells = np.unique(prepared.runs.cell).size
    if len({item.cell for item in left_out}) == cells:
        text = f"none of the {cells} cells shows an optimum between the values tried: {left_out[0].reason}"
        return fatal(left_out[0].kind, text)
    left = prepared.runs.count - len(exclusions_of(left_out, prepared.runs))
    text = (
        f"the {left} runs of the {short(cells - len({item.cell for item in left_out}))} cells that may hold an optimum "
        "are too few for the law, or their losses form no valley: try more values about the lowest loss"
    )
    return fatal(Kind.NEGATIVE_CURVATURE, text)
