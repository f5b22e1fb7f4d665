"""`raysweep.train`: a model of a finished sweep, trained and tracked in MLflow where its search space says so."""

from collections.abc import Mapping

from rich.console import Console

from raysweep.core.trial import SizeValue
from raysweep.storage.forecasts import TrainedModel
from raysweep.sweep.cluster.driver.signals import interruptible
from raysweep.sweep.forecasts.models import ModelRequest, train_model
from raysweep.sweep.mlflow.equal import catch_up
from raysweep.sweep.mlflow.place import mirror_of, place_of
from raysweep.sweep.progress import Progress
from raysweep.sweep.space.space import Space


def train(
    space: Space,
    *,
    flops: float | None = None,
    family: str | None = None,
    size: Mapping[str, SizeValue] | None = None,
    structures: int | None = None,
    epochs: float = 1.0,
    rate: float | None = None,
    seed: int | None = None,
    go_on: str | None = None,
    console: Console | None = None,
) -> TrainedModel:
    """Train the compute-optimal model of a finished sweep, or one that is named; the rest of it where it was begun.

    Its forecast is recorded first. The run is a trial of the stage "trained": it resumes like every trial, counts in
    `caps`, and enters no fit.

    Args:
        space: the search space of a sweep that has run; its resources, caps and tracking apply.
        flops: compute to spend; without `size` the best size and data there are found.
        family: the family; None: the best one at that compute.
        size: knobs of a named model; those that all sizes of its family share may be left out.
        structures: structures that a named model sees, in place of `flops`.
        epochs: passes that these make.
        rate: learning rate of a named model (at the base size, where muP carries it); None: as the sweep tuned it.
        seed: of a named model; None: the grid's first.
        go_on: trial to go on from until `structures` are seen, its own included; its id, or the beginning of it.
        console: where progress is printed; standard output by default.

    Returns:
        The model: its state, last point, place of its weights, and the forecast beside its outcome.

    Raises:
        FrontierError: there are no points, or no law that gives a compute-optimal model.
        SpaceError: family, size or data are not what the sweep can have, or no learning rate is known.
        RaysweepError: the request is incomplete, what the run needs is not available, or another driver runs this
            sweep.
        Interrupted: on SIGINT, SIGTERM or SIGHUP; the same call resumes.
        CapReachedError: the sweep has spent what `caps` allows; with a higher cap the same call resumes.
    """
    request = ModelRequest(
        flops=flops, family=family, size=size, structures=structures, epochs=epochs, rate=rate, seed=seed, go_on=go_on
    )
    if not space.tracking.enabled:
        return train_model(space, request, console=console)
    place_of(space)  # an error before hours of work, not after
    with interruptible():
        model = train_model(space, request, mirror=mirror_of, console=console)
        for note in catch_up(space):
            Progress(console).say(note)
    return model
