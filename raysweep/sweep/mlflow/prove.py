"""`raysweep.prove`: a forecast put to the test by a run that is tracked in MLflow where its search space says so."""

from collections.abc import Sequence

from rich.console import Console

from raysweep.storage.forecast_records import ForecastOutcome
from raysweep.sweep.cluster.driver.signals import interruptible
from raysweep.sweep.forecasts import prove as sweep_prove
from raysweep.sweep.mlflow.equal import catch_up
from raysweep.sweep.mlflow.place import mirror_of, place_of
from raysweep.sweep.progress import Progress
from raysweep.sweep.space.space import Space


def prove(space: Space, forecast_id: str | None = None, *, console: Console | None = None) -> ForecastOutcome:
    """Train the run of a forecast, or the rest of it, and score the forecast; a run that has ended is not repeated.

    The run is a trial of the stage "forecast": it resumes like every trial, counts in `caps`, and enters no fit.

    Args:
        space: the search space; its resources, caps and tracking apply.
        forecast_id: of the forecast, or the beginning of it; None: the latest that has not been proved.
        console: where progress is printed; standard output by default.

    Returns:
        The forecast beside its outcome; `proved` is false where the run failed.

    Raises:
        StorageError: there is no such forecast, or its file was altered.
        RaysweepError: what the run needs is not available, or another driver runs this sweep.
        Interrupted: on SIGINT, SIGTERM or SIGHUP; the same call resumes.
        CapReachedError: the sweep has spent what `caps` allows; with a higher cap the same call resumes.
    """
    (outcome,) = prove_each(space, [forecast_id], console=console)
    return outcome


def prove_each(
    space: Space, forecast_ids: Sequence[str | None], *, console: Console | None = None
) -> list[ForecastOutcome]:
    """Train the runs of several forecasts side by side, and score them; see `prove`."""
    if not space.tracking.enabled:
        return sweep_prove.prove_each(space, forecast_ids, console=console)
    place_of(space)  # an error before hours of work, not after
    with interruptible():
        outcomes = sweep_prove.prove_each(space, forecast_ids, mirror=mirror_of, console=console)
        for note in catch_up(space):
            Progress(console).say(note)
    return outcomes
