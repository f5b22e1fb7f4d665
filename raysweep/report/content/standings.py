"""The measured losses of the families at the largest compute and data that all of them reached."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysweep.core.points import PLATEAU_SHARE
from raysweep.frontier.points.families import family_label
from raysweep.report.content.values import Standing

Floats = npt.NDArray[np.float64]

REACHED = 0.98
"""A trajectory that ends at this share of a budget has reached it: batches do not end on round numbers."""

_SAME = 0.02
"""ln of the ratio of two amounts of data that count as one: those of seeds."""


@dataclass(frozen=True)
class LearningCurve:
    """The usable points of one trajectory, by rising compute.

    Where points name no trajectory, those of one size are joined, the lowest of each compute and data (the others are
    replicates), and `runs` is True: each point is a run of its own.
    """

    params: float
    data: Floats
    flops: Floats
    loss: Floats
    runs: bool = False


def curves(points: pa.Table, family: str, left_out: Collection[int] = ()) -> list[LearningCurve]:
    """Get the trajectories of a family, without points on the starting plateau and losses that are not finite.

    Args:
        points: a table as the frontier's readers return it.
        family: its label in the column `architecture`.
        left_out: rows that do not measure a run.
    """
    rows = points.to_pydict()
    count = points.num_rows
    gone = set(left_out)
    mine = [i for i in range(count) if "architecture" not in rows or family_label(rows["architecture"][i]) == family]
    groups: dict[tuple[object, ...], list[int]] = {}
    for i in mine:
        name = rows["trajectory"][i] if "trajectory" in rows else None
        groups.setdefault((name is None, name, rows["params"][i]), []).append(i)
    found = []
    for (alone, _, _), members in groups.items():
        kept = sorted((i for i in members if i not in gone and _sound(rows, i)), key=lambda i: _place(rows, i))
        if alone:
            kept = list({_place(rows, i)[:2]: i for i in reversed(kept)}.values())[::-1]
        if kept:
            data, flops, loss = (np.array([float(rows[k][i]) for i in kept]) for k in ("data", "flops", "loss"))
            found.append(LearningCurve(float(rows["params"][kept[0]]), data, flops, loss, runs=bool(alone)))
    return sorted(found, key=lambda curve: curve.params)


def _place(rows: dict[str, list[float]], i: int) -> tuple[float, float, float]:
    return float(rows["flops"][i]), float(rows["data"][i]), float(rows["loss"][i])


def largest_common(by_family: Sequence[Sequence[LearningCurve]], axis: str) -> float | None:
    """Find the largest compute ("flops") or data ("data") that every family reached; None if one has no point."""
    ends = [max((float(getattr(c, axis)[-1]) for c in family), default=np.nan) for family in by_family]
    return None if not ends or np.isnan(ends).any() else float(min(ends))


def standings(
    families: Sequence[str], by_family: Sequence[Sequence[LearningCurve]], flops: float | None, data: float | None
) -> tuple[Standing, ...]:
    """Rank the families by their measured loss at a compute, those without one last."""
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
    """Find the lowest loss at a budget, with its size and data; seeds of one size and data are averaged.

    With `carry`, a trajectory that ended before the budget counts with its last loss, which took less compute; so
    does every run whose points name no trajectory.
    """
    by_run: dict[tuple[float, int], list[tuple[float, float]]] = {}
    for curve in found:
        at = getattr(curve, axis)
        beyond = budget > at[-1]
        if at[0] > budget / REACHED or (beyond and not carry and at[-1] < REACHED * budget):
            continue
        loss, data = (np.exp(np.interp(np.log(budget), np.log(at), np.log(y))) for y in (curve.loss, curve.data))
        by_run.setdefault((curve.params, round(float(np.log(data)) / _SAME)), []).append((float(loss), float(data)))
    means = []
    for curve in found if carry else ():
        reached = np.flatnonzero(curve.flops <= budget / REACHED) if curve.runs else np.empty(0, dtype=np.int64)
        means += [(float(curve.loss[i]), curve.params, float(curve.data[i])) for i in reached]
    for (params, _), pairs in by_run.items():
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
