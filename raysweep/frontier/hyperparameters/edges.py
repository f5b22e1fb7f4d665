"""Cells that show no optimum: too few rates, or the lowest loss at the first or last rate that was tried."""

from dataclasses import dataclass

import numpy as np

from raysweep.core.text import short
from raysweep.frontier.hyperparameters.runs import HyperparameterRuns, distinct
from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.points.findings import Kind

LEAST_SETTINGS = 3
"""Distinct values of a hyperparameter that a cell needs to show an optimum."""
WORDS = {"learning_rate": "learning rate", "batch": "batch size"}


@dataclass(frozen=True, kw_only=True)
class NoOptimum:
    """A cell that is left out: its number, the kind of reason, and the reason."""

    cell: int
    kind: Kind
    reason: str


def without_optimum(runs: HyperparameterRuns, axes: tuple[str, ...]) -> list[NoOptimum]:
    """Find the cells in which the runs themselves bracket no optimum."""
    found = []
    for cell in np.unique(runs.cell):
        inside = runs.take(runs.cell == cell)
        for axis in axes:
            reason = _reason(inside, axis)
            if reason is not None:
                found.append(NoOptimum(cell=int(cell), kind=reason[0], reason=reason[1]))
                break
    return found


def _reason(runs: HyperparameterRuns, axis: str) -> tuple[Kind, str] | None:
    values = runs.axis(axis)
    count = distinct(values)
    where = place_of(runs)
    if count < LEAST_SETTINGS:
        plural = "s" if count > 1 else ""
        return Kind.TOO_FEW_SETTINGS, f"{where}: {count} {WORDS[axis]}{plural} with a loss; 3 or more show an optimum"
    levels = np.unique(np.round(np.log(values), 6))
    best = _best_level(runs, axis)
    if levels[0] < best < levels[-1]:
        return None
    end = "lowest" if best == levels[0] else "highest"
    return Kind.OPTIMUM_AT_EDGE, f"{where}: best at the {end} {WORDS[axis]} tried, {short(float(np.exp(best)))}"


def _best_level(runs: HyperparameterRuns, axis: str) -> float:
    """The ln of the value with the lowest mean loss of replicates (runs of all the same settings)."""
    others = [runs.axis(name) for name in ("learning_rate", "batch") if getattr(runs, name) is not None]
    settings = np.round(np.log(np.stack(others, axis=1)), 6)
    unique, member = np.unique(settings, axis=0, return_inverse=True)
    means = np.bincount(member.reshape(-1), weights=np.log(runs.loss)) / np.bincount(member.reshape(-1))
    first = 0 if axis == "learning_rate" or runs.learning_rate is None else 1
    return float(unique[int(np.argmin(means)), first])


def place_of(runs: HyperparameterRuns) -> str:
    """Name a cell by its N and D."""
    params, data = (short(float(np.exp(np.log(column).mean()))) for column in (runs.params, runs.data))
    return f"N = {params}, D = {data}"


def outside(runs: HyperparameterRuns, axis: str, best: Floats) -> Mask:
    """Mark the cells for which the law puts the best value beyond the values tried, shape (cells,).

    Args:
        runs: of the cells that are in use, numbered from 0.
        axis: the hyperparameter.
        best: ln of the law's value in each cell, shape (cells,).
    """
    logs = np.log(runs.axis(axis))
    low = np.full(best.size, np.inf)
    high = np.full(best.size, -np.inf)
    np.minimum.at(low, runs.cell, logs)
    np.maximum.at(high, runs.cell, logs)
    return np.asarray((best < low) | (best > high))
