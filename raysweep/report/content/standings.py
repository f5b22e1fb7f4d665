"""Which family has the lowest measured loss at the largest compute and data that all of them reached."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysweep.core.points import PLATEAU_SHARE
from raysweep.report.content.values import Standing

Floats = npt.NDArray[np.float64]

REACHED = 0.98
"""A trajectory that ends at this share of a budget has reached it: batches do not end on round numbers."""


@dataclass(frozen=True)
class LearningCurve:
    """The sound points of one trajectory, ascending in compute."""

    params: float
    data: Floats
    flops: Floats
    loss: Floats


def curves(points: pa.Table, family: str) -> list[LearningCurve]:
    """Return the trajectories of a family; points on the starting plateau and losses that are no numbers left out."""
    rows = points.to_pydict()
    count = points.num_rows
    mine = [i for i in range(count) if "architecture" not in rows or str(rows["architecture"][i]) == family]
    groups: dict[tuple[object, ...], list[int]] = {}
    for i in mine:
        key = ("trajectory", rows["trajectory"][i]) if "trajectory" in rows else ("params", rows["params"][i])
        groups.setdefault((*key, rows["params"][i]), []).append(i)
    found = []
    for members in groups.values():
        kept = sorted((i for i in members if _sound(rows, i)), key=lambda i: float(rows["flops"][i]))
        if kept:
            data, flops, loss = (np.array([float(rows[k][i]) for i in kept]) for k in ("data", "flops", "loss"))
            found.append(LearningCurve(float(rows["params"][kept[0]]), data, flops, loss))
    return sorted(found, key=lambda curve: curve.params)


def largest_common(by_family: Sequence[Sequence[LearningCurve]], axis: str) -> float | None:
    """Return the largest compute ("flops") or data ("data") that every family reached; None if one has no point."""
    ends = [max((float(getattr(c, axis)[-1]) for c in family), default=np.nan) for family in by_family]
    return None if not ends or np.isnan(ends).any() else float(min(ends))


def standings(
    families: Sequence[str], by_family: Sequence[Sequence[LearningCurve]], flops: float | None, data: float | None
) -> tuple[Standing, ...]:
    """Return the families by their measured loss at a compute, those without one last."""
    rows = []
    for family, found in zip(families, by_family, strict=True):
        at_flops = None if flops is None else _lowest(found, "flops", flops, carry=True)
        at_data = None if data is None else _lowest(found, "data", data, carry=False)
        rows.append(
            Standing(
                family=family,
                loss_at_flops=at_flops[0] if at_flops else None,
                loss_at_data=at_data[0] if at_data else None,
                params_at_flops=at_flops[1] if at_flops else None,
                data_at_flops=at_flops[2] if at_flops else None,
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.loss_at_flops is None, row.loss_at_flops or 0.0)))


def _lowest(
    found: Sequence[LearningCurve], axis: str, budget: float, *, carry: bool
) -> tuple[float, float, float] | None:
    """Return the lowest loss at a budget, and the size and data that have it; seeds of one size are averaged.

    With `carry`, a trajectory that ended before the budget counts with its last loss: less compute reached it.
    """
    by_size: dict[float, list[tuple[float, float]]] = {}
    for curve in found:
        at = getattr(curve, axis)
        beyond = budget > at[-1]
        if at[0] > budget / REACHED or (beyond and not carry and at[-1] < REACHED * budget):
            continue
        loss, data = (np.exp(np.interp(np.log(budget), np.log(at), np.log(y))) for y in (curve.loss, curve.data))
        by_size.setdefault(curve.params, []).append((float(loss), float(data)))
    means = []
    for params, pairs in by_size.items():
        loss, data = np.mean(pairs, axis=0)
        means.append((float(loss), params, float(data)))
    return min(means, default=None)


def _sound(rows: dict[str, list[object]], i: int) -> bool:
    numbers = []
    for name in ("params", "data", "flops", "loss"):
        value = rows[name][i]
        numbers.append(float(value) if isinstance(value, int | float) else np.nan)
    trivial = rows["trivial_loss"][i] if "trivial_loss" in rows else None
    learnt = not isinstance(trivial, float) or numbers[3] <= PLATEAU_SHARE * trivial
    return learnt and all(np.isfinite(value) and value > 0 for value in numbers)
