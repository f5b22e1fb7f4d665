"""From a table of runs to those that enter a fit; each run left out is listed with its reason."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from raysweep.core.points import PLATEAU_SHARE
from raysweep.frontier.hyperparameters.edges import LEAST_SETTINGS, WORDS, NoOptimum
from raysweep.frontier.hyperparameters.laws import AXES
from raysweep.frontier.hyperparameters.runs import HyperparameterRuns, cells_of, distinct
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask
from raysweep.frontier.points.cleaning import Exclude, Reasons, column, exclude_mask
from raysweep.frontier.points.findings import Finding, Kind, caution, note
from raysweep.frontier.points.samples import Exclusion


@dataclass(frozen=True, kw_only=True)
class PreparedRuns:
    """Runs with numbers, the hyperparameters that can have a law, and what was left out or found.

    `given` is a hyperparameter that was varied, but in too few values to have a law: it tells cells apart.
    """

    runs: HyperparameterRuns
    axes: tuple[str, ...]
    given: str | None
    excluded: tuple[Exclusion, ...]
    findings: tuple[Finding, ...]


def prepare(table: pa.Table, rows: Indices, exclude: Exclude = None) -> PreparedRuns:
    """Select the runs of a family that a fit can use.

    Args:
        table: as `reading.runs_table` returns it.
        rows: of the family.
        exclude: rows of the whole table to leave out.

    Raises:
        FrontierError: `exclude` does not fit the table.
    """
    part = table.take(pa.array(rows))
    names = [axis for axis in AXES if axis in part.column_names and part[axis].null_count < part.num_rows]
    numbers = {name: column(part, name) for name in ("params", "data", "loss", *names)}
    if "weight" in part.column_names:
        numbers["weight"] = column(part, "weight")
    reasons = _reasons(part, numbers, exclude_mask(exclude, table.num_rows)[rows])
    kept = np.array([place for place in range(rows.size) if place not in reasons], dtype=np.int64)
    labels = part["trajectory"].to_pylist() if "trajectory" in part.column_names else None
    runs = HyperparameterRuns(
        params=numbers["params"][kept],
        data=numbers["data"][kept],
        loss=numbers["loss"][kept],
        weight=numbers.get("weight", np.ones(rows.size))[kept],
        row=rows[kept],
        cell=np.zeros(kept.size, dtype=np.int64),
        learning_rate=numbers["learning_rate"][kept] if "learning_rate" in names else None,
        batch=numbers["batch"][kept] if "batch" in names else None,
        trajectory=None if labels is None else np.array(labels, dtype=object)[kept],
    )
    excluded = tuple(Exclusion(row=int(rows[at]), kind=kind, reason=why) for at, (kind, why) in sorted(reasons.items()))
    return _with_cells(runs, tuple(names), excluded)


def _with_cells(runs: HyperparameterRuns, names: tuple[str, ...], excluded: tuple[Exclusion, ...]) -> PreparedRuns:
    """Number the cells, and find which hyperparameters have enough values in them for a law."""
    found = _summaries(excluded)
    axes: tuple[str, ...] = ()
    given = None
    cell = cells_of(runs.params, runs.data) if runs.count else runs.cell
    for axis in names:
        enough = list(_distinct_by_cell(runs, cell, axis).values()) if runs.count else []
        share = np.mean([count >= LEAST_SETTINGS for count in enough]) if enough else 0.0
        if share >= 0.5:
            axes = (*axes, axis)
        elif runs.count and distinct(runs.axis(axis)) > 1:
            given = axis
            text = (
                f"most cells have fewer than {LEAST_SETTINGS} values of the {WORDS[axis]}, which show no optimum: "
                f"there is no law for it; try {LEAST_SETTINGS} or more at each N and D"
            )
            found.append(caution(Kind.TOO_FEW_SETTINGS, text))
    if runs.count and given is not None and axes:
        cell = cells_of(runs.params, runs.data, runs.axis(given))
    runs = replace(runs, cell=cell)
    return PreparedRuns(runs=runs, axes=axes, given=given, excluded=excluded, findings=tuple(found))


def _distinct_by_cell(runs: HyperparameterRuns, cell: Indices, axis: str) -> dict[int, int]:
    return {int(one): distinct(runs.axis(axis)[cell == one]) for one in np.unique(cell)}


def _reasons(part: pa.Table, numbers: dict[str, Floats], by_user: Mask) -> Reasons:
    """Find the runs to leave out; where several reasons hold, the first one stands."""
    reasons: Reasons = {int(place): (Kind.EXCLUDED_BY_USER, "named in exclude") for place in np.flatnonzero(by_user)}
    for name, values in numbers.items():
        for place in np.flatnonzero(~np.isfinite(values)):
            why = f"{name} is {values[place]}" + (": the run diverged or did not end" if name == "loss" else "")
            reasons.setdefault(int(place), (Kind.NOT_FINITE, why))
        for place in np.flatnonzero(values <= 0):
            reasons.setdefault(int(place), (Kind.NOT_POSITIVE, f"{name} = {values[place]:.6g}: not a positive number"))
    if "trivial_loss" in part.column_names:
        trivial = column(part, "trivial_loss")
        for place in np.flatnonzero(numbers["loss"] > PLATEAU_SHARE * trivial):
            reasons.setdefault(int(place), (Kind.ON_PLATEAU, "on the starting plateau: no better than a trivial model"))
    return _duplicates(part, numbers, reasons) | reasons


def _duplicates(part: pa.Table, numbers: dict[str, Floats], reasons: Reasons) -> Reasons:
    """Find runs that repeat another in every column: the same run read twice."""
    labels = [part[name].to_pylist() for name in ("seed", "trajectory") if name in part.column_names]
    seen: dict[tuple[object, ...], int] = {}
    found: Reasons = {}
    for place in range(part.num_rows):
        if place in reasons:
            continue
        key = (*(float(values[place]) for values in numbers.values()), *(label[place] for label in labels))
        if key in seen:
            found[place] = (Kind.DUPLICATES, f"repeats run {seen[key]} of the family in every column")
        else:
            seen[key] = place
    return found


_SENTENCES = {
    Kind.NOT_FINITE: (note, "{n} runs have a NaN, infinite or missing value (diverged or unfinished) and are left out"),
    Kind.NOT_POSITIVE: (caution, "{n} runs have a value that is not positive and are left out: check the columns"),
    Kind.ON_PLATEAU: (note, "{n} runs have not left the starting plateau and are left out"),
    Kind.DUPLICATES: (caution, "{n} runs repeat another in every column and are left out: was a file read twice?"),
    Kind.EXCLUDED_BY_USER: (note, "{n} runs were excluded by name"),
}


def _summaries(excluded: tuple[Exclusion, ...]) -> list[Finding]:
    counts = Counter(item.kind for item in excluded)
    return [
        severity(kind, sentence.format(n=counts[kind]))
        for kind, (severity, sentence) in _SENTENCES.items()
        if counts[kind]
    ]


def exclusions_of(cells: tuple[NoOptimum, ...], runs: HyperparameterRuns) -> list[Exclusion]:
    """List the runs of cells that show no optimum; `runs` are those that the cells number."""
    return [
        Exclusion(row=int(row), kind=item.kind, reason=item.reason)
        for item in cells
        for row in runs.row[runs.cell == item.cell]
    ]
