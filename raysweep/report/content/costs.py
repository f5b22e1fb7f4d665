"""The cost of each family, of training and of inference, from its measured points."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raysweep.frontier.points.families import family_label
from raysweep.report.content.values import FamilyCost

Floats = npt.NDArray[np.float64]


def family_costs(points: pa.Table, families: Sequence[str]) -> tuple[FamilyCost, ...]:
    """Return the cost per atom of each family at its smallest and its largest size.

    Args:
        points: a table with `params`, `data`, `flops`, optionally `seconds`, `md_ms_100`, `md_ms_1000`, `device`,
            `family` or `architecture`.
        families: those wanted.
    """
    rows = points.to_pydict()
    labels = rows.get("family", rows.get("architecture"))
    found = []
    for family in families:
        mine = [i for i in range(points.num_rows) if labels is None or family_label(labels[i]) == family]
        costs = _costs(family, rows, mine)
        if costs is not None:
            found.append(costs)
    return tuple(found)


def _costs(family: str, rows: dict[str, list[object]], mine: Sequence[int]) -> FamilyCost | None:
    params, data, flops = (_floats(rows, name, mine) for name in ("params", "data", "flops"))
    seconds = _floats(rows, "seconds", mine)
    known = np.isfinite(params) & np.isfinite(data) & np.isfinite(flops) & (data > 0)
    if not known.any():
        return None
    ends = float(params[known].min()), float(params[known].max())

    def at_ends(values: Floats) -> tuple[float, float] | None:
        pair = [values[known & (params == end) & np.isfinite(values)] for end in ends]
        return (float(np.median(pair[0])), float(np.median(pair[1]))) if all(len(v) for v in pair) else None

    with np.errstate(divide="ignore", invalid="ignore"):
        per_atom, per_param_atom, time = (
            at_ends(flops / data),
            at_ends(flops / (params * data)),
            at_ends(seconds / data),
        )
    assert per_atom is not None
    assert per_param_atom is not None
    devices = dict.fromkeys(str(rows["device"][i]) for i in mine if rows["device"][i]) if "device" in rows else {}
    return FamilyCost(
        family=family,
        params=ends,
        flops_per_atom=per_atom,
        flops_per_param_atom=per_param_atom,
        seconds_per_atom=time,
        md_ms_100=at_ends(_floats(rows, "md_ms_100", mine)),
        md_ms_1000=at_ends(_floats(rows, "md_ms_1000", mine)),
        devices=tuple(devices),
    )


def _floats(rows: dict[str, list[object]], name: str, mine: Sequence[int]) -> Floats:
    values = rows.get(name)
    if values is None:
        return np.full(len(mine), np.nan)
    picked = (values[i] for i in mine)
    return np.array([float(v) if isinstance(v, int | float) else np.nan for v in picked])
