"""From a table to the points that enter a fit; each point left out is listed with its reason, none silently dropped."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from raysweep.core.errors import FrontierError
from raysweep.core.points import PLATEAU_SHARE
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask
from raysweep.frontier.points.columns import filled_in
from raysweep.frontier.points.findings import Finding, Kind, caution, count_of, fatal, note
from raysweep.frontier.points.inference import COLUMNS as INFERENCE
from raysweep.frontier.points.inference import MeasuredInference, measured_inference
from raysweep.frontier.points.samples import Exclusion, Samples

INT64_LIMIT = 9.2e18
"""Totals beyond this do not fit a signed 64-bit integer."""
WRAPPED = -1e15
"""An integer below this is taken for a total that overflowed."""
Exclude = Sequence[int] | Sequence[bool] | Indices | Mask | None
"""Rows that a user leaves out: row numbers, or a flag per row."""
Reasons = dict[int, tuple[Kind, str]]
"""Why points are left out, by position in their group."""


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """The points that enter a fit, those that do not, and the findings about them."""

    samples: Samples
    excluded: tuple[Exclusion, ...]
    findings: tuple[Finding, ...]
    inference: MeasuredInference | None = None
    """What inference costs at the sizes of all points, those left out as well."""

    def take(self, chosen: Mask) -> "Cleaned":
        """Select among the points that enter."""
        return replace(self, samples=self.samples.take(chosen))


def column(table: pa.Table, name: str) -> Floats:
    """Read a column as floats, with NaN where a value is missing.

    Raises:
        FrontierError: the column holds no numbers.
    """
    try:
        values = table[name].cast(pa.float64(), safe=False)
    except pa.ArrowInvalid as error:
        raise FrontierError(f"column {name!r} holds something that is not a number: {error}") from error
    return np.asarray(values.to_numpy(), dtype=np.float64).copy()


def exclude_mask(exclude: Exclude, count: int) -> Mask:
    """Mark the rows that a user excludes, shape (count,).

    Raises:
        FrontierError: a row number is beyond the table, or the flags are not as many as the rows.
    """
    mask = np.zeros(count, dtype=bool)
    if exclude is None:
        return mask
    try:
        given = np.asarray(exclude)
    except ValueError as error:
        raise FrontierError(f"exclude = {exclude!r:.60}: give row numbers, or a flag per row") from error
    if given.size == 0:
        return mask
    if given.dtype == bool:
        if given.shape != (count,):
            raise FrontierError(f"exclude has {given.size} flags for {count} points: one per point, or row numbers")
        return np.asarray(given.copy())
    if not np.issubdtype(given.dtype, np.integer):
        raise FrontierError(f"exclude = {exclude!r:.60}: give row numbers, or a flag per row")
    if given.min() < 0 or given.max() >= count:
        raise FrontierError(f"exclude names rows outside 0..{count - 1}: {given.tolist()[:10]}")
    mask[given] = True
    return mask


def clean(table: pa.Table, rows: Indices, cost: str, exclude: Exclude = None) -> Cleaned:
    """Select the points of a group that a fit can use.

    Args:
        table: as `readers.as_table` returns it.
        rows: of the group.
        cost: the column that counts as compute: "flops" or "seconds".
        exclude: rows of the whole table to leave out.

    Raises:
        FrontierError: the cost column is absent, or `exclude` does not fit the table.
    """
    if cost not in table.column_names:
        raise FrontierError(f"cost={cost!r}: the points have no such column; they have {', '.join(table.column_names)}")
    part = table.take(pa.array(rows))
    samples = _samples(part, rows, cost)
    reasons = _reasons(part, samples, exclude_mask(exclude, table.num_rows)[rows])
    kept = np.array([place not in reasons for place in range(rows.size)], dtype=bool)
    devices = _devices(part, kept) if cost == "seconds" else Counter()
    excluded = tuple(
        Exclusion(row=int(rows[place]), kind=kind, reason=reason) for place, (kind, reason) in sorted(reasons.items())
    )
    samples = replace(samples.take(kept), device=next(iter(devices), None))
    findings = (*_mixed_devices(devices), *_summaries(excluded), *_totals(samples), *_fillings(table, cost))
    return Cleaned(samples=samples, excluded=excluded, findings=findings, inference=_inference(part))


def _samples(part: pa.Table, rows: Indices, cost: str) -> Samples:
    names = part.column_names
    return Samples(
        params=column(part, "params"),
        data=column(part, "data"),
        cost=column(part, cost),
        loss=column(part, "loss"),
        weight=column(part, "weight") if "weight" in names else np.ones(rows.size),
        row=rows,
        cost_name=cost,
        trajectory=np.array(part["trajectory"].to_pylist(), dtype=object) if "trajectory" in names else None,
        unique_data=_unique_data(part) if "unique_data" in names else None,
    )


def _inference(part: pa.Table) -> MeasuredInference | None:
    given = {name: column(part, name) for name in INFERENCE if name in part.column_names}
    devices = part["device"].to_pylist() if "device" in part.column_names else [None] * part.num_rows
    return measured_inference(column(part, "params"), given, devices) if given else None


def _unique_data(part: pa.Table) -> Floats:
    """The distinct part of the data; all of it where a point names none, or an unlimited amount."""
    unique, data = column(part, "unique_data"), column(part, "data")
    return np.where(np.isfinite(unique), unique, data)


def _reasons(part: pa.Table, samples: Samples, by_user: Mask) -> Reasons:
    """Find the points to leave out; where several reasons hold, the first one stands."""
    numbers = {
        "params": samples.params,
        "data": samples.data,
        samples.cost_name: samples.cost,
        "loss": samples.loss,
        "weight": samples.weight,
    }
    if samples.unique_data is not None:
        numbers["unique_data"] = samples.unique_data
    reasons: Reasons = {int(place): (Kind.EXCLUDED_BY_USER, "named in exclude") for place in np.flatnonzero(by_user)}
    for found in (_not_finite(numbers), _not_positive(part, numbers), _on_plateau(part, samples.loss)):
        reasons = found | reasons
    return _duplicates(part, samples, reasons) | reasons


def _not_finite(numbers: dict[str, Floats]) -> Reasons:
    reasons: Reasons = {}
    for name, values in numbers.items():
        for place in np.flatnonzero(~np.isfinite(values)):
            reasons.setdefault(int(place), (Kind.NOT_FINITE, f"{name} is {values[place]}"))
    return reasons


def _not_positive(part: pa.Table, numbers: dict[str, Floats]) -> Reasons:
    reasons: Reasons = {}
    for name, values in numbers.items():
        integer = name in part.column_names and pa.types.is_integer(part.schema.field(name).type)
        for place in np.flatnonzero(values <= 0):
            wrapped = integer and values[place] < WRAPPED
            kind = Kind.INTEGER_OVERFLOW if wrapped else Kind.NOT_POSITIVE
            why = "a total that overflowed a 64-bit integer" if wrapped else "not a positive number"
            reasons.setdefault(int(place), (kind, f"{name} = {values[place]:.6g}: {why}"))
    return reasons


def _on_plateau(part: pa.Table, loss: Floats) -> Reasons:
    if "trivial_loss" not in part.column_names:
        return {}
    trivial = column(part, "trivial_loss")
    text = "on the starting plateau: loss is {:.2f} of that of a trivial model"
    places = np.flatnonzero(loss > PLATEAU_SHARE * trivial)
    return {int(place): (Kind.ON_PLATEAU, text.format(loss[place] / trivial[place])) for place in places}


def _duplicates(part: pa.Table, samples: Samples, reasons: Reasons) -> Reasons:
    """Find points that repeat another in every number, trajectory and seed: the same measurement read twice."""
    seeds = part["seed"].to_numpy() if "seed" in part.column_names else None
    seen: dict[tuple[object, ...], int] = {}
    found: Reasons = {}
    for place in range(samples.count):
        if place in reasons:
            continue
        key = (
            *(float(values[place]) for values in (samples.params, samples.data, samples.cost, samples.loss)),
            None if samples.trajectory is None else samples.trajectory[place],
            None if seeds is None else seeds[place],
        )
        if key in seen:
            found[place] = (Kind.DUPLICATES, f"repeats point {seen[key]} of the group in every column")
        else:
            seen[key] = place
    return found


_SENTENCES = {
    Kind.NOT_FINITE: (
        caution,
        "has a NaN, infinite or missing value (a diverged or unfinished run) and is left out",
        "have a NaN, infinite or missing value (diverged or unfinished runs) and are left out",
    ),
    Kind.NOT_POSITIVE: (
        caution,
        "has a value that is not positive and is left out: check the columns",
        "have a value that is not positive and are left out: check the columns",
    ),
    Kind.INTEGER_OVERFLOW: (
        caution,
        "has a total that overflowed a 64-bit integer and is left out: store it as floating point",
        "have totals that overflowed a 64-bit integer and are left out: store them as floating point",
    ),
    Kind.ON_PLATEAU: (
        note,
        "has not left the starting plateau and is left out",
        "have not left the starting plateau and are left out",
    ),
    Kind.DUPLICATES: (
        caution,
        "repeats another in every column and is left out: was a file read twice?",
        "repeat another in every column and are left out: was a file read twice?",
    ),
    Kind.EXCLUDED_BY_USER: (note, "was excluded by name", "were excluded by name"),
}


def _devices(part: pa.Table, kept: Mask) -> Counter[str]:
    """Count the kept points by the device that timed them; empty where the points name none."""
    if "device" not in part.column_names:
        return Counter()
    names = part.filter(pa.array(kept))["device"].to_pylist()
    return Counter("unknown" if name is None else str(name) for name in names)


def _mixed_devices(devices: Counter[str]) -> list[Finding]:
    """Refuse seconds of several device types: a second of one is not a second of another."""
    if len(devices) < 2:
        return []
    counts = ", ".join(f"{count} points on {name}" for name, count in devices.most_common())
    text = f"seconds of several devices do not mix ({counts}): fit the points of one device alone, or cost='flops'"
    return [fatal(Kind.MIXED_DEVICES, text)]


def _summaries(excluded: tuple[Exclusion, ...]) -> list[Finding]:
    found = []
    for kind, (severity, one, many) in _SENTENCES.items():
        count = sum(item.kind is kind for item in excluded)
        if count:
            found.append(severity(kind, count_of(count, one, many)))
    return found


_FILLINGS = {
    "flops": "{count} computed as C = 6 N D, which holds for dense language models; force fields need measured FLOPs",
    "params": "{count} computed as N = C / (6 D), which holds for dense language models alone",
    "data": "{count} computed as D = C / (6 N), which holds for dense language models alone",
}


def _fillings(table: pa.Table, cost: str) -> list[Finding]:
    """Report which of N, D and C were computed from the other two."""
    found = []
    for name, count in filled_in(table).items():
        if name != "flops" or cost == "flops":
            counted = count_of(count, f"of {name} was", f"of {name} were", what="value")
            found.append(note(Kind.FILLED_IN, _FILLINGS[name].format(count=counted)))
    return found


def _totals(samples: Samples) -> list[Finding]:
    if samples.count and max(samples.cost.max(), samples.data.max()) > INT64_LIMIT:
        return [note(Kind.TOTALS_OVER_INT64, "totals beyond 9.2e18 are kept as floats: integers would overflow")]
    return []
