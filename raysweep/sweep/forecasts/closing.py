"""The forecast that a sweep ends with: recorded when its grid is done, then proved (`forecast` in the search space)."""

import pyarrow.compute as pc
from rich.console import Console

from raysweep.core.errors import FrontierError, SpaceError
from raysweep.core.trial import TrialState
from raysweep.storage.forecast_records import Forecast, ForecastOutcome
from raysweep.storage.reader import SweepReader
from raysweep.sweep.forecasts.make import forecast, forecasts
from raysweep.sweep.forecasts.points import GridPoints
from raysweep.sweep.forecasts.prove import prove
from raysweep.sweep.space.space import Space
from raysweep.sweep.steps.train import Mirror


def closing_forecast(
    space: Space, *, mirror: Mirror | None = None, console: Console | None = None
) -> ForecastOutcome | str:
    """Record the forecast that a search space asks for, and prove it, once at each compute.

    Args:
        space: the search space; its grid has run.
        mirror: makes a listener that mirrors the trial elsewhere (MLflow); None: no mirror.
        console: where progress is printed; standard output by default.

    Returns:
        The forecast beside its outcome, or the reason why the points allow none.

    Raises:
        RaysweepError: the run has begun already without a forecast, or as in `prove`, like its other exceptions.
    """
    try:
        flops = _compute(space)
        made = _standing(space, flops) or forecast(space, flops=flops, family=space.forecast.family)
    except (FrontierError, SpaceError) as error:
        return f"no forecast: {error}"
    return prove(space, made.id, mirror=mirror, console=console)


def _standing(space: Space, flops: float) -> Forecast | None:
    """Return the forecast at this compute whose run has begun: what the points say since then is none any more."""
    found = [
        one.forecast
        for one in forecasts(space).outcomes
        if one.forecast.flops == flops
        and one.forecast.kind == "forecast"
        and space.forecast.family in (None, one.forecast.family)
        and one.forecast.family in space.families
        and one.state != TrialState.PLANNED
    ]
    return found[-1] if found else None


def _compute(space: Space) -> float:
    """Return the compute of the forecast, to three digits where it follows from the points."""
    if space.forecast.at_flops is not None:
        return space.forecast.at_flops
    assert space.forecast.times is not None
    largest = pc.max(GridPoints.of(SweepReader(space.storage)).table["flops"]).as_py()
    if largest is None:
        raise FrontierError("the points count no FLOPs")
    return float(f"{space.forecast.times * largest:.3g}")
