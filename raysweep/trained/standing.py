"""Where the point of a model stands on the frontier of its family: against the fitted law, and the best size."""

import math

import pyarrow.compute as pc
from pydantic import JsonValue

from raysweep.core.errors import FrontierError, StorageError
from raysweep.core.points import Point
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.fit import fit
from raysweep.frontier.points.readers import read_store
from raysweep.frontier.result import Fit
from raysweep.storage.reader import SweepReader

BOOTSTRAPS = 200
"""Resamples behind the intervals: enough for two digits of their ends."""

Values = dict[str, JsonValue]


def frontier_standing(reader: SweepReader, family: str | None, point: Point) -> Values:
    """Compare a point with the law fitted to the points of its family, as they are in the storage now.

    Returns:
        For a model file: `law`, `points` (their number) and `status` of the fit, `predicted` loss of a run of the
        point's N and D, `best` (`params`, `data`, `loss` of the best size at the point's compute) and `extrapolation`
        (the point's compute over the largest of the points); predicted and best values are [value, low, high], an end
        None where it is not known. Otherwise `missing`: the reason why there is no law.
    """
    if family is None:
        return {"missing": "the storage does not say which family the trial belongs to"}
    try:
        table = read_store(reader.location)
        own = table.filter(pc.equal(table["architecture"], family))
        fitted = fit(own, bootstraps=BOOTSTRAPS)
    except (FrontierError, StorageError, KeyError) as error:
        told = str(error).replace(reader.location, "the storage")  # the file may go to people without this disk
        return {"missing": f"no law could be fitted: {told}"}
    if not fitted.status.usable:
        return {"missing": f"no law could be fitted: {fitted.status.sentence}"}
    return {
        "law": str(fitted.law),
        "points": int(fitted.samples.count),
        "status": fitted.status.sentence,
        "predicted": _row(_predicted(fitted, point)),
        "extrapolation": point.flops / float(fitted.samples.cost.max()),
        **_best(fitted, point.flops),
    }


def _predicted(fitted: Fit, point: Point) -> Answer:
    unique = point.unique_data if fitted.form.law == "data_constrained" else None
    return fitted.loss(float(point.params), point.data, unique_data=unique)


def _best(fitted: Fit, flops: float) -> Values:
    try:
        best = fitted.optimal(flops)
    except FrontierError as error:
        return {"no_best": str(error)}
    return {"best": {"params": _row(best.params), "data": _row(best.data), "loss": _row(best.loss)}}


def _row(found: Answer) -> list[JsonValue]:
    """A value and the ends of its interval; None for what is not a finite number."""
    ends = (None, None) if found.interval is None else tuple(found.interval)
    return [None if end is None or not math.isfinite(end) else float(end) for end in (found.value, *ends)]
