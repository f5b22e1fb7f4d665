"""What a plan costs in all: by family, on this cluster, in money, and relative to a grid of one run per point."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from raysweep.core.text import short
from raysweep.sweep.space.running import Resources

T = TypeVar("T", int, float)


class _PlannedCost(Protocol):
    """The fields read from a planned trajectory (`plan.PlannedTrial`)."""

    @property
    def family(self) -> str: ...
    @property
    def ended(self) -> bool: ...
    @property
    def params(self) -> int | None: ...
    @property
    def data(self) -> float | None: ...
    @property
    def flops(self) -> float | None: ...
    @property
    def naive_flops(self) -> float | None: ...
    @property
    def device_seconds(self) -> float | None: ...
    @property
    def disk_bytes(self) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Totals of one family or of the whole grid. None where the cost of any trajectory is unknown."""

    family: str
    trajectories: int
    done: int
    params: tuple[int, int] | None
    """N of the smallest and of the largest size."""
    data: tuple[float, float] | None
    """D at the end of the shortest and of the longest trajectory, atoms."""
    flops: float | None
    naive_flops: float | None
    """What the same points would cost with one run for each of them."""
    device_hours: float | None
    device_hours_left: float | None
    """Of the trajectories that are not done."""
    disk_bytes: float | None
    hours_left: float | None
    """Wall-clock of the rest, `slots` trials at once; at least that of the longest trial."""
    price_left: float | None

    @property
    def saving(self) -> float | None:
        """FLOPs of the naive grid relative to those of this plan."""
        return self.naive_flops / self.flops if self.naive_flops and self.flops else None


def totals(family: str, trials: Sequence[_PlannedCost], slots: int | None, price: float | None) -> Totals:
    """Sum up trajectories.

    Args:
        family: what to call them.
        trials: the trajectories.
        slots: trials that run at once; None: not known.
        price: of a device hour, in any currency; None: not given.
    """
    left = [trial for trial in trials if not trial.ended]
    seconds = [trial.device_seconds for trial in left]
    to_go = _sum(seconds)
    longest = max((value for value in seconds if value is not None), default=0.0)
    hours = None if to_go is None else to_go / 3600
    whole = _sum([trial.device_seconds for trial in trials])
    return Totals(
        family=family,
        trajectories=len(trials),
        done=len(trials) - len(left),
        params=_range([trial.params for trial in trials]),
        data=_range([trial.data for trial in trials]),
        flops=_sum([trial.flops for trial in trials]),
        naive_flops=_sum([trial.naive_flops for trial in trials]),
        device_hours=None if whole is None else whole / 3600,
        device_hours_left=hours,
        disk_bytes=_sum([trial.disk_bytes for trial in trials]),
        hours_left=None if to_go is None or slots is None else max(to_go / slots, longest) / 3600,
        price_left=None if hours is None or price is None else hours * price,
    )


def family_rows(rows: Sequence[Totals]) -> list[tuple[str, ...]]:
    """Return the totals as rows of text, below a header."""
    head = ("family", "trials", "done", "N", "D atoms", "C FLOP", "naive", "device h", "to go", "wall h", "disk MB")
    priced = any(row.price_left is not None for row in rows)
    lines = [head + (("price",) if priced else ())]
    for row in rows:
        cells = (
            row.family, str(row.trajectories), str(row.done), _between(row.params), _between(row.data),
            short(row.flops), "?" if row.saving is None else f"× {row.saving:.1f}", short(row.device_hours),
            short(row.device_hours_left), short(row.hours_left),
            short(None if row.disk_bytes is None else row.disk_bytes / 1e6),
        )  # fmt: skip
        lines.append(cells + ((short(row.price_left),) if priced else ()))
    return lines


def slots(resources: Resources) -> int | None:
    """Count the trials that run at once on this machine; None where a cluster is joined instead."""
    if os.environ.get("RAY_ADDRESS"):
        return resources.parallel
    present = machine()
    fit = [int(present[name] / count) for name, count in resources.most.items() if count]
    return min([*fit, resources.parallel or min(fit)]) or None


def missing(resources: Resources) -> str | None:
    """Describe the resource that this machine lacks to run one trial; None if it lacks none, or on a cluster."""
    if os.environ.get("RAY_ADDRESS"):
        return None
    present = machine()
    for name, count in resources.most.items():
        if count > present[name]:
            return (
                f"no trial can run here: resources.{name.lower()} requests {count:g} {name}, and this machine has "
                f"{present[name]:g}; request less, or join a cluster (RAY_ADDRESS)"
            )
    return None


def idle(resources: Resources, entrypoint: str | None) -> str | None:
    """Describe the GPUs that a trial would reserve and not use; None if there are none.

    A trial of raysweep's own training uses one GPU; that of an entrypoint may use several.
    """
    if entrypoint is not None or resources.gpu == "auto" or resources.gpu <= 1:
        return None
    return (
        f"resources.gpu: {resources.gpu:g} reserves {resources.gpu:g} GPUs for each trial, which trains on one: "
        f"{resources.gpu - 1:g} of them stay idle; give gpu: 1, so that {resources.gpu:g} trials run side by side"
    )


def machine() -> dict[str, float]:
    """Count the cores and GPUs of this machine, as Ray does."""
    return {"CPU": float(os.cpu_count() or 1), "GPU": float(len(glob.glob("/dev/nvidia[0-9]*")))}


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(sum(known)) if len(known) == len(values) else None


def _range(values: Sequence[T | None]) -> tuple[T, T] | None:
    known = [value for value in values if value is not None]
    return (min(known), max(known)) if known else None


def _between(ends: tuple[float, float] | None) -> str:
    if ends is None:
        return "?"
    return short(ends[0]) if ends[0] == ends[1] else f"{short(ends[0])}–{short(ends[1])}"
