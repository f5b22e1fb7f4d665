"""`prove`: tests a forecast by training its run in a separate stage."""

from collections.abc import Sequence

from rich.console import Console

from raysweep.core.errors import RaysweepError
from raysweep.core.stages import FORECAST
from raysweep.storage.forecast_records import Forecast, ForecastOutcome
from raysweep.storage.forecasts import read_forecasts
from raysweep.storage.reader import SweepReader
from raysweep.sweep.engine.caps import CapReachedError
from raysweep.sweep.space.identity import refuse_other_sweep
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.named import NamedTrial
from raysweep.sweep.steps.driving import driven, finish
from raysweep.sweep.steps.prepare import Sweep
from raysweep.sweep.steps.train import Mirror, train_named


def prove(
    space: Space, forecast_id: str | None = None, *, mirror: Mirror | None = None, console: Console | None = None
) -> ForecastOutcome:
    """Train the run of a forecast, or the rest of it, and score the forecast; a run that has ended is not repeated.

    Args:
        space: the search space; its resources and caps apply.
        forecast_id: of the forecast, or the beginning of it; None: the latest that has not been proved.
        mirror: makes a listener that mirrors the trial elsewhere (MLflow); None: no mirror.
        console: where progress is printed; standard output by default.

    Returns:
        The forecast beside its outcome; `proved` is false where the run failed.

    Raises:
        StorageError: there is no such forecast, or its file was altered.
        RaysweepError: its run is not one of this search space, another driver runs this sweep, ...
        Interrupted: on SIGINT, SIGTERM or SIGHUP; the same call resumes.
        CapReachedError: the sweep has spent what `caps` allows; with a higher cap the same call resumes.
    """
    (outcome,) = prove_each(space, [forecast_id], mirror=mirror, console=console)
    return outcome


def prove_each(
    space: Space, forecast_ids: Sequence[str | None], *, mirror: Mirror | None = None, console: Console | None = None
) -> list[ForecastOutcome]:
    """Train the runs of several forecasts side by side, and score them; see `prove`."""
    reader = SweepReader(space.storage)
    refuse_other_sweep(space, reader)
    on_record = read_forecasts(reader)
    found = [on_record.find(forecast_id) for forecast_id in forecast_ids]
    if all(one.proved for one in found):
        return found
    with driven(space, console) as sweep:
        for one in found:
            _check(sweep, one.forecast)
        trials = [NamedTrial(one.forecast.trial, one.forecast.family, one.forecast.run_seconds) for one in found]
        try:
            train_named(sweep, trials, FORECAST, mirror)
        except CapReachedError:
            finish(sweep, sweep.plan())
            raise
        finish(sweep, sweep.plan())
        after = read_forecasts(sweep.store)
        return [after.find(one.id) for one in found]


def _check(sweep: Sweep, forecast: Forecast) -> None:
    """Refuse a run that this search space could not have: on other structures, or by another training."""
    spec, space = forecast.trial, sweep.space
    if (spec.fingerprint, spec.entrypoint) != (sweep.facts.fingerprint, space.entrypoint):
        raise RaysweepError(
            f"forecast {forecast.id} is of a run on other structures or by another training than this search space has"
        )
