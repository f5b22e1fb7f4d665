"""`train`: the compute-optimal model of a finished sweep, or one that is named, trained in a stage of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rich.console import Console

from raysweep.core.errors import FrontierError, RaysweepError
from raysweep.core.stages import TRAINED
from raysweep.core.text import knobs
from raysweep.core.trial import SizeValue, TrialSpec, TrialState
from raysweep.frontier.answers.arguments import positive
from raysweep.storage.forecast_records import Forecast, ForecastRate
from raysweep.storage.forecasts import TrainedModel, read_forecasts, trained_models, write_forecast
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.engine.caps import CapReachedError
from raysweep.sweep.forecasts.longer import give_checkpoint, longer_run
from raysweep.sweep.forecasts.make import best_run, check_family, forecast_of, with_points
from raysweep.sweep.forecasts.points import GridPoints
from raysweep.sweep.forecasts.runs import ForecastRun, Length, run_of_size
from raysweep.sweep.forecasts.sizes import named_size
from raysweep.sweep.space.resolve import Resolved
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.named import NamedTrial
from raysweep.sweep.steps.driving import driven, finish
from raysweep.sweep.steps.train import Mirror, train_named


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """The model to train: the best one at a compute, or one that is named by size and data."""

    flops: float | None = None
    """Compute to spend, in training FLOPs."""
    family: str | None = None
    size: Mapping[str, SizeValue] | None = None
    """Knobs of a named model; those that all sizes of its family share may be left out."""
    structures: int | None = None
    """Structures that a named model sees."""
    epochs: float = 1.0
    """Passes that these make."""
    rate: float | None = None
    """Learning rate; None: as the sweep tuned it, carried over to the size and horizon."""
    seed: int | None = None
    """None: the grid's first."""
    go_on: str | None = None
    """Trial to go on from, which names all but `structures`; its id, or the beginning of it."""

    def check(self) -> None:
        """Refuse a request that does not say which model.

        Raises:
            RaysweepError: names what is missing, or is too much.
        """
        if self.flops is not None:
            positive("train", "flops", self.flops)
        for name, value in (("structures", self.structures), ("epochs", self.epochs), ("rate", self.rate)):
            if value is not None and not 0 < value < float("inf"):
                raise RaysweepError(f"train: {name} = {value:g}: give a positive, finite number")
        if self.go_on is not None:
            others = (self.flops, self.family, self.size, self.rate, self.seed)
            if self.structures is None or any(one is not None for one in others) or self.epochs != 1:
                raise RaysweepError(
                    "train: a trial to go on from (--go-on) needs the structures seen by the end (--structures), "
                    "and names the rest"
                )
            return
        if (self.flops is None) == (self.structures is None):
            raise RaysweepError(
                "train: give either the compute (--at FLOPS) or the number of structures (--structures N)"
            )
        if self.size is None and self.structures is not None:
            raise RaysweepError(
                "train: structures are seen by a model of some size: give it (--size width=32), or the compute alone "
                "(--at FLOPS), for which the best size is found"
            )
        if self.size is not None and self.family is None:
            raise RaysweepError("train: a size is one of a family: name it (--family)")
        for name, given in (("rate", self.rate), ("seed", self.seed)):
            if given is not None and self.size is None:
                raise RaysweepError(f"train: --{name} is for a model that is named by its size (--family, --size)")


@dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """A model that would be trained, and what that would cost."""

    spec: TrialSpec
    family: str
    params: int
    structures: int
    """Seen by the end."""
    data: float
    """Atoms seen by the end."""
    flops: float
    """Training FLOPs, by the measured cost of its size."""
    seconds: float
    """Device seconds on the machine that measured the cost."""
    rate: ForecastRate
    state: TrialState
    """How far it has been trained already."""
    forecast: Forecast | None
    """What it is expected to give; it is recorded before the training begins."""
    notes: tuple[str, ...]
    goes_on: str | None = None
    """Trial from whose checkpoint it goes on; None: it is trained from the beginning."""

    @classmethod
    def of_run(
        cls, run: ForecastRun, state: TrialState, made: Forecast | None, notes: tuple[str, ...]
    ) -> "PlannedModel":
        """Plan a run that may not have begun."""
        return cls(
            spec=run.spec, family=run.family, params=run.cost.params, structures=run.structures, data=run.data,
            flops=run.flops, seconds=run.seconds, rate=run.rate, state=state, forecast=made, notes=notes,
        )  # fmt: skip

    @classmethod
    def of_forecast(cls, made: Forecast, state: TrialState) -> "PlannedModel":
        """Plan the rest of a run whose forecast is on record."""
        return cls(
            spec=made.trial, family=made.family, params=made.params, structures=made.structures, data=made.data,
            flops=made.run_flops, seconds=made.run_seconds, rate=made.learning_rate, state=state, forecast=made,
            notes=made.notes,
        )  # fmt: skip

    def __str__(self) -> str:
        return f"{self.family} {knobs(self.spec.size)}, {self.structures} structures, {self.flops:.3g} FLOP"


def plan_model(space: Space, request: ModelRequest) -> PlannedModel:
    """Plan the training of a model of a sweep that has run; nothing is written but measured costs.

    Raises:
        FrontierError: there are no points, or no law that gives a compute-optimal model.
        SpaceError: family, size or data are not what the sweep can have, or no learning rate is known.
        RaysweepError: the request is incomplete, or what the size costs is not known.
    """
    request.check()
    check_family(space, request.family)
    store = TrialStore(space.storage)
    resolved = with_points(space, store)
    begun = _begun(store, request)
    if begun is not None:
        return begun
    if request.go_on is not None:
        assert request.structures is not None
        run, trial_id = longer_run(resolved, store, request.go_on, request.structures)
        return replace(_with_forecast(resolved, store, run, None, request), goes_on=trial_id)
    return _best(resolved, store, request) if request.size is None else _named(resolved, store, request)


def train_model(
    space: Space, request: ModelRequest, *, mirror: Mirror | None = None, console: Console | None = None
) -> TrainedModel:
    """Record the forecast of a model, then train it, or the rest of it; one that has ended is not trained again.

    Args:
        space: the search space; its resources and caps apply.
        request: the model.
        mirror: makes a listener that mirrors the trial elsewhere (MLflow); None: no mirror.
        console: where progress is printed; standard output by default.

    Raises:
        RaysweepError: as `plan_model`; another driver runs this sweep, ...
        Interrupted: on SIGINT, SIGTERM or SIGHUP; the same call resumes.
        CapReachedError: the sweep has spent what `caps` allows; with a higher cap the same call resumes.
    """
    return train_planned(space, plan_model(space, request), mirror=mirror, console=console)


def train_planned(
    space: Space, planned: PlannedModel, *, mirror: Mirror | None = None, console: Console | None = None
) -> TrainedModel:
    """Train a model that is planned; see `train_model`."""
    with driven(space, console) as sweep:
        if planned.forecast is not None:
            write_forecast(sweep.store, planned.forecast)
        if planned.goes_on is not None:
            give_checkpoint(sweep.space, sweep.store, planned.goes_on, planned.spec)
        try:
            train_named(sweep, [NamedTrial(planned.spec, planned.family, planned.seconds)], TRAINED, mirror)
        except CapReachedError:
            finish(sweep, sweep.plan())
            raise
        finish(sweep, sweep.plan())
        trial_id = planned.spec.trial_id
        return next(one for one in trained_models(sweep.store) if one.trial_id == trial_id)


def _begun(store: TrialStore, request: ModelRequest) -> PlannedModel | None:
    """Return the best model at the same compute that was begun and has not ended, though the fit may have changed."""
    if request.flops is None or request.size is not None:
        return None
    trained = {one.trial_id for one in trained_models(store) if not TrialState(one.state).is_final}
    for outcome in reversed(read_forecasts(store).outcomes):
        made = outcome.forecast
        asked = made.flops == request.flops and request.family in (None, made.family)
        if asked and made.trial_id in trained:
            return PlannedModel.of_forecast(made, TrialState(outcome.state))
    return None


def _best(resolved: Resolved, store: TrialStore, request: ModelRequest) -> PlannedModel:
    """Plan the best model at a compute."""
    assert request.flops is not None
    points = GridPoints.of(store)
    fits = points.fits()
    run = best_run(resolved, store, fits, points, request.flops, request.family)
    return _with_forecast(resolved, store, run, points, request)


def _named(resolved: Resolved, store: TrialStore, request: ModelRequest) -> PlannedModel:
    """Plan a model of a given size."""
    assert request.family is not None
    assert request.size is not None
    size = named_size(resolved.space, request.family, request.size)
    length = Length(flops=request.flops, structures=request.structures, epochs=request.epochs)
    run = run_of_size(resolved, store, request.family, size, length, rate=request.rate, seed=request.seed)
    return _with_forecast(resolved, store, run, None, request)


def _with_forecast(
    resolved: Resolved, store: TrialStore, run: ForecastRun, points: GridPoints | None, request: ModelRequest
) -> PlannedModel:
    """Add the forecast of a run: the one on record, or else, before it begins, one by the points of the sweep."""
    record = store.usable_record(run.spec)
    for outcome in read_forecasts(store).outcomes:
        if outcome.forecast.trial_id == run.spec.trial_id and outcome.blind:
            return PlannedModel.of_run(run, record.state, outcome.forecast, run.notes)
    if record.started is not None or not record.state.is_open:
        note = "no forecast of it: its run had begun before there was one"
        return PlannedModel.of_run(run, record.state, None, (*run.notes, note))
    try:
        points = points or GridPoints.of(store)
        made = forecast_of(
            store, resolved.space, run, points.fits(), points, flops=request.flops or run.flops,
            compared=request.size is None and request.family is None and request.go_on is None,
        )  # fmt: skip
    except FrontierError as error:
        return PlannedModel.of_run(run, record.state, None, (*run.notes, f"no forecast of it: {error}"))
    return PlannedModel.of_run(run, record.state, made, made.notes)
