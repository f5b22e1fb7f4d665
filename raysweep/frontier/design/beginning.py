"""Where the part of runs begins that a law describes: after the starting plateau and the transition, if it is reached.

A fit leaves out points on the plateau, and those before the transition ends where it finds that. Runs that all end too
early give a fit as well, of a curve that has not become a power law yet: its exponents describe no law.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raysweep.core.points import PLATEAU_SHARE
from raysweep.core.text import short
from raysweep.frontier.fitting.misfit.transition import LEAST_SPAN, data_wanted
from raysweep.frontier.numerics.arrays import Indices, Mask
from raysweep.frontier.points.cleaning import column
from raysweep.frontier.points.findings import Kind
from raysweep.frontier.result import Fit

FEWEST_RUNS = 3
"""That have to show the part after the transition, as for its window (`fitting.misfit.transition`)."""


@dataclass(frozen=True, kw_only=True)
class LawBegins:
    """Where the runs of one family begin to obey a law.

    Attributes:
        data: D before which points do not count; 0 where all of them do.
        needed: D that runs have to reach to show enough of what comes after; 0 where they do.
        params: N of the runs that have left the starting plateau, ascending; empty where none has, or none was on it.
        why: the part of their curves in which the runs end, in words; empty where they show enough.
    """

    data: float = 0.0
    needed: float = 0.0
    params: tuple[float, ...] = ()
    why: str = ""

    @property
    def shown(self) -> bool:
        """Whether the runs show enough of what comes after."""
        return not self.why


def law_begins(fitted: Fit | None, points: pa.Table) -> LawBegins:
    """Find where the runs of one family begin to obey a law.

    Args:
        fitted: the fit of the points, usable or not; None where they cannot be fitted at all.
        points: as in `fit`; with a column trivial_loss, if the starting plateau is to be seen.
    """
    runs = _plateaus(points)
    left = [run for run in runs if run.end < run.last]
    end = float(np.median([run.end for run in left])) if left else max((run.last for run in runs), default=0.0)
    if sum(run.last >= LEAST_SPAN * run.end for run in left) < min(FEWEST_RUNS, len(runs)):
        why = f"{len(runs) - len(left)} of {len(runs)} runs have not left the starting plateau, the others only just"
        if not left:
            why = f"no run has left the starting plateau, up to D = {short(max(run.last for run in runs))}"
        params = tuple(sorted({run.params for run in left}))
        return LawBegins(data=end, needed=LEAST_SPAN * end, params=params, why=why)
    if fitted is None or not fitted.status.found(Kind.TRANSITION):
        return LawBegins(data=end)
    data = fitted.samples.data
    if any(one.kind is Kind.BEFORE_WINDOW for one in fitted.excluded):
        return LawBegins(data=max(end, float(data.min())))
    seen, needed = data_wanted(data, None)
    why = f"the runs look as if they were in transition, up to D = {short(float(data.max()))}"
    return LawBegins(data=seen, needed=needed, why=why)


@dataclass(frozen=True)
class _Plateau:
    """The D up to which a run is on the starting plateau (0 where none of its points is), its last D, and its N."""

    end: float
    last: float
    params: float


def _plateaus(points: pa.Table) -> list[_Plateau]:
    if "trivial_loss" not in points.column_names:
        return []
    loss, trivial, data, params = (column(points, name) for name in ("loss", "trivial_loss", "data", "params"))
    known, on_it = np.isfinite(trivial) & np.isfinite(loss), loss > PLATEAU_SHARE * trivial
    return [
        _Plateau(float(np.where(on_it, data, 0.0)[rows].max()), float(data[rows].max()), float(params[rows[0]]))
        for rows in _runs(points, known)
    ]


def _runs(points: pa.Table, known: Mask) -> Iterable[Indices]:
    """Rows of each run; of all points together where they name none."""
    name = next((name for name in ("trajectory", "trial_id") if name in points.column_names), None)
    label = np.array(points[name].to_pylist()) if name else np.zeros(points.num_rows)
    for run in np.unique(label[known]):
        yield np.flatnonzero(known & (label == run))
