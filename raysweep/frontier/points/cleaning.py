"""From a table to the points that enter a fit: what is left out is listed with its reason, never dropped silently."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raysweep.core.errors import FrontierError
from raysweep.core.hashing import digest
from raysweep.core.points import PLATEAU_SHARE
from raysweep.frontier.numerics.solver import Floats, Mask
from raysweep.frontier.points.findings import Finding, Kind, caution, fatal, note

INT64_LIMIT = 9.2e18
"""Totals beyond this do not fit a signed 64-bit integer."""


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A point that was kept out of a fit."""

    row: int
    """Of the table that was given."""
    kind: Kind
    reason: str


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The points of one fit, as arrays of shape (n,).

    `cost` is the column that the fit counts as compute (FLOPs or seconds), `row` the row in the table given.
    """

    params: Floats
    data: Floats
    cost: Floats
    loss: Floats
    weight: Floats
    row: NDArray[np.int64]
    trajectory: NDArray[np.object_] | None = None
    unique_data: Floats | None = None
    cost_name: str = "flops"
    device: str | None = None
    """Whose seconds the cost is; None where it is FLOPs, or where the points name no device."""

    @property
    def count(self) -> int:
        """The number of points."""
        return int(self.loss.size)

    def take(self, chosen: Mask | NDArray[np.int64]) -> "Samples":
        """Return the chosen points."""
        return Samples(
            params=self.params[chosen],
            data=self.data[chosen],
            cost=self.cost[chosen],
            loss=self.loss[chosen],
            weight=self.weight[chosen],
            row=self.row[chosen],
            trajectory=None if self.trajectory is None else self.trajectory[chosen],
            unique_data=None if self.unique_data is None else self.unique_data[chosen],
            cost_name=self.cost_name,
            device=self.device,
        )

    def digest(self) -> str:
        """Return the SHA-256 of the points' numbers: the same points, in the same order, give the same digest."""
        columns = [self.params, self.data, self.cost, self.loss, self.weight]
        return digest(b"".join(np.ascontiguousarray(column, dtype="<f8").tobytes() for column in columns))


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """The points that enter, those that do not, and what was found on the way."""

    samples: Samples
    excluded: tuple[Exclusion, ...]
    findings: tuple[Finding, ...]


def column(table: pa.Table, name: str) -> Floats:
    """Return a column as floats, with NaN where a value is missing.

    Raises:
        FrontierError: the column holds no numbers.
    """
    try:
        values = table[name].cast(pa.float64(), safe=False)
    except pa.ArrowInvalid as error:
        raise FrontierError(f"column {name!r} holds something that is not a number: {error}") from error
    return np.asarray(values.to_numpy(), dtype=np.float64).copy()


def exclude_mask(exclude: Sequence[int] | Sequence[bool] | Mask | NDArray[np.int64] | None, count: int) -> Mask:
    """Return which rows a user's `exclude` names: row numbers, or a flag per row.

    Raises:
        FrontierError: a row number is beyond the table, or the flags are not as many as the rows.
    """
    mask = np.zeros(count, dtype=bool)
    if exclude is None:
        return mask
    given = np.asarray(exclude)
    if given.size == 0:
        return mask
    if given.dtype == bool:
        if given.shape != (count,):
            raise FrontierError(f"exclude has {given.size} flags for {count} points: one per point, or row numbers")
        return np.asarray(given.copy())
    if not np.issubdtype(given.dtype, np.integer) or given.min() < 0 or given.max() >= count:
        raise FrontierError(f"exclude names rows outside 0..{count - 1}: {given.tolist()[:10]}")
    mask[given] = True
    return mask


def clean(table: pa.Table, rows: NDArray[np.int64], cost: str, excluded_by_user: Mask) -> Cleaned:
    """Return the points of `rows` that a fit can use.

    Args:
        table: as `points.as_table` returns it.
        rows: row numbers of the group in hand.
        cost: the column that counts as compute: "flops" or "seconds".
        excluded_by_user: flag per row of the whole table.

    Raises:
        FrontierError: the cost column is absent.
    """
    if cost not in table.column_names:
        raise FrontierError(f"cost={cost!r}: the points have no such column; they have {', '.join(table.column_names)}")
    part = table.take(pa.array(rows))
    numbers = {name: column(part, name) for name in ("params", "data", cost, "loss")}
    weight = column(part, "weight") if "weight" in part.column_names else np.ones(rows.size)
    reasons: dict[int, tuple[Kind, str]] = {}
    for place in np.flatnonzero(excluded_by_user[rows]):
        reasons[int(place)] = (Kind.EXCLUDED_BY_USER, "named in exclude")
    _not_finite(numbers | {"weight": weight}, reasons)
    _not_positive(part, numbers | {"weight": weight}, reasons)
    _on_plateau(part, numbers["loss"], reasons)
    trajectory = None
    if "trajectory" in part.column_names:
        trajectory = np.array(part["trajectory"].to_pylist(), dtype=object)
    seed = part["seed"].to_numpy() if "seed" in part.column_names else None
    _duplicates(numbers, trajectory, seed, reasons)
    kept = np.array([place not in reasons for place in range(rows.size)], dtype=bool)
    unique = column(part, "unique_data") if "unique_data" in part.column_names else None
    devices = _devices(part, kept) if cost == "seconds" else Counter()
    samples = Samples(
        params=numbers["params"],
        data=numbers["data"],
        cost=numbers[cost],
        loss=numbers["loss"],
        weight=weight,
        row=rows,
        trajectory=trajectory,
        unique_data=unique,
        cost_name=cost,
        device=next(iter(devices), None),
    ).take(kept)
    excluded = tuple(
        Exclusion(row=int(rows[place]), kind=kind, reason=reason) for place, (kind, reason) in sorted(reasons.items())
    )
    findings = (*_mixed_devices(devices), *_summaries(excluded), *_totals(samples))
    return Cleaned(samples=samples, excluded=excluded, findings=findings)


def _not_finite(numbers: dict[str, Floats], reasons: dict[int, tuple[Kind, str]]) -> None:
    for name, values in numbers.items():
        for place in np.flatnonzero(~np.isfinite(values)):
            reasons.setdefault(int(place), (Kind.NOT_FINITE, f"{name} is {values[place]}"))


def _not_positive(part: pa.Table, numbers: dict[str, Floats], reasons: dict[int, tuple[Kind, str]]) -> None:
    for name, values in numbers.items():
        integer = name in part.column_names and pa.types.is_integer(part.schema.field(name).type)
        for place in np.flatnonzero(values <= 0):
            wrapped = integer and values[place] < -1e15
            kind = Kind.INTEGER_OVERFLOW if wrapped else Kind.NOT_POSITIVE
            why = "a total that overflowed a 64-bit integer" if wrapped else "not a positive number"
            reasons.setdefault(int(place), (kind, f"{name} = {values[place]:.6g}: {why}"))


def _on_plateau(part: pa.Table, loss: Floats, reasons: dict[int, tuple[Kind, str]]) -> None:
    if "trivial_loss" not in part.column_names:
        return
    trivial = column(part, "trivial_loss")
    for place in np.flatnonzero(loss > PLATEAU_SHARE * trivial):
        share = loss[place] / trivial[place]
        reasons.setdefault(
            int(place), (Kind.ON_PLATEAU, f"on the starting plateau: loss is {share:.2f} of that of a trivial model")
        )


def _duplicates(
    numbers: dict[str, Floats],
    trajectory: NDArray[np.object_] | None,
    seed: NDArray[np.object_] | None,
    reasons: dict[int, tuple[Kind, str]],
) -> None:
    """Mark rows that repeat another in every number, trajectory and seed: the same measurement read twice."""
    seen: dict[tuple[object, ...], int] = {}
    for place in range(numbers["loss"].size):
        if place in reasons:
            continue
        key = (
            *(float(values[place]) for values in numbers.values()),
            None if trajectory is None else trajectory[place],
            None if seed is None else seed[place],
        )
        if key in seen:
            reasons[place] = (Kind.DUPLICATES, f"repeats point {seen[key]} of the group in every column")
        else:
            seen[key] = place


_SENTENCES = {
    Kind.NOT_FINITE: (
        caution,
        "{n} points have a NaN, infinite or missing value (diverged or unfinished runs) and are left out",
    ),
    Kind.NOT_POSITIVE: (caution, "{n} points have a value that is not positive and are left out: check the columns"),
    Kind.INTEGER_OVERFLOW: (
        caution,
        "{n} points have totals that overflowed a 64-bit integer and are left out: store them as floating point",
    ),
    Kind.ON_PLATEAU: (note, "{n} points have not left the starting plateau and are left out"),
    Kind.DUPLICATES: (caution, "{n} points repeat another in every column and are left out: was a file read twice?"),
    Kind.EXCLUDED_BY_USER: (note, "{n} points were excluded by name"),
}


def _devices(part: pa.Table, kept: Mask) -> Counter[str]:
    """Return how many of the points each device has timed; an empty count where the points name none."""
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
    for kind, (severity, sentence) in _SENTENCES.items():
        count = sum(item.kind is kind for item in excluded)
        if count:
            found.append(severity(kind, sentence.format(n=count)))
    return found


def _totals(samples: Samples) -> list[Finding]:
    if samples.count and max(samples.cost.max(), samples.data.max()) > INT64_LIMIT:
        return [note(Kind.TOTALS_OVER_INT64, "totals beyond 9.2e18 are kept as floats: integers would overflow")]
    return []
