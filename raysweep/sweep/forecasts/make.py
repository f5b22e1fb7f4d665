"""`forecast`: what the best run at a compute is expected to give, recorded before there is such a run."""

from raysweep.core.errors import FrontierError, RaysweepError
from raysweep.core.version import __version__
from raysweep.frontier import Fit
from raysweep.frontier.answers.arguments import positive
from raysweep.frontier.answers.values import Answer
from raysweep.storage.forecast_records import Expected, Forecast, ForecastFit, Kind
from raysweep.storage.forecasts import Forecasts, now, read_forecasts, write_forecast
from raysweep.storage.reader import SweepReader
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.forecasts.points import GridPoints, best_family, probability_best
from raysweep.sweep.forecasts.runs import ForecastRun, run_at
from raysweep.sweep.space.identity import refuse_other_sweep
from raysweep.sweep.space.resolve import Resolved, resolve
from raysweep.sweep.space.space import Space
from raysweep.sweep.space.yaml_lines import nearest

LEVEL = 0.95


def forecast(space: Space, *, flops: float, family: str | None = None, retrodiction: bool = False) -> Forecast:
    """Forecast the best run at a compute, and write the forecast into the storage.

    Size, data and learning rate are those that the sweep's own fit gives; the loss and further metrics have prediction
    intervals of one run: the law's uncertainty, the noise of a run, the law's errors on larger runs than it had seen.
    The same forecast from the same points is recorded once.

    Args:
        space: the search space of a sweep that has run.
        flops: the compute, in training FLOPs.
        family: the family to train; None: the best one at that compute, by the fits.
        retrodiction: record it although its run has begun, named so; the fit is then without the points of that run.

    Returns:
        The forecast, as it is recorded; `id` names its file.

    Raises:
        FrontierError: there are no points, or no law to forecast by.
        SpaceError: the family is unknown, there are too few structures, or no learning rate is known.
        RaysweepError: its run has begun already, or what its size costs is not known.
    """
    flops = positive("forecast", "flops", flops)
    store = TrialStore(space.storage)
    resolved = with_points(space, store)
    check_family(space, family)
    points = GridPoints.of(store)
    fits = points.fits()
    run = best_run(resolved, store, fits, points, flops, family)
    chosen = run.family
    if (kept := _recorded(store, run, fits[chosen])) is not None:
        return kept
    kind: Kind = "forecast"
    if (begun := begun_already(store, run)) is not None:
        if not retrodiction:
            raise RaysweepError(
                f"the run of this forecast has begun already ({begun}), so there is nothing to forecast; "
                "--retrodiction (retrodiction=True) records what the other runs say about it, under that name"
            )
        kind, points = "retrodiction", GridPoints.of(store, without=run.spec.trial_id)
        fits = points.fits()
    made = forecast_of(store, resolved.space, run, fits, points, flops=flops, kind=kind, compared=family is None)
    write_forecast(store, made)
    return made


def best_run(
    resolved: Resolved, store: TrialStore, fits: dict[str, Fit], points: GridPoints, flops: float, family: str | None
) -> ForecastRun:
    """Find the run that spends a compute best: of a family, or of the one whose frontier is the lowest there."""
    chosen = best_family(fits, flops) if family is None else family
    return run_at(resolved, store, chosen, fit_of(fits, chosen), flops, points.params(chosen))


def forecast_of(
    store: TrialStore,
    space: Space,
    run: ForecastRun,
    fits: dict[str, Fit],
    points: GridPoints,
    *,
    flops: float,
    kind: Kind = "forecast",
    compared: bool = False,
) -> Forecast:
    """Forecast a run, without writing it down; one that is on record for the same points stays as it is.

    Args:
        store: the storage.
        space: the search space, resolved.
        run: what is forecast.
        fits: of the families.
        points: that they were fitted to.
        flops: compute asked for.
        kind: whether it is written before the run.
        compared: whether its family was chosen among several.

    Raises:
        FrontierError: the family has no law, no optimum at that compute, or no interval.
    """
    kept = _recorded(store, run, fit_of(fits, run.family))
    return kept or _forecast(space, kind, flops, run, fits, points, compared)


def forecasts(space: Space) -> Forecasts:
    """Read every forecast of a sweep with the outcome of its run.

    Raises:
        SpaceError: the storage holds another sweep.
    """
    reader = SweepReader(space.storage)
    refuse_other_sweep(space, reader)
    return read_forecasts(reader)


def with_points(space: Space, store: TrialStore) -> Resolved:
    """Resolve the search space of a sweep that has run.

    Raises:
        FrontierError: it has no structures yet, so that it cannot have run.
    """
    resolved = resolve(space, store)
    if resolved.facts is None:
        raise FrontierError(f"{space.storage}: no trajectory of the grid has ended yet; run the sweep first")
    resolved.check_networks()
    return resolved


def check_family(space: Space, family: str | None) -> None:
    """Refuse a family that the search space does not have."""
    if family is not None and family not in space.families:
        raise space.error(("families",), f"there is no family {family!r} to forecast{nearest(family, space.families)}")


def fit_of(fits: dict[str, Fit], family: str) -> Fit:
    """Return the fit of a family.

    Raises:
        FrontierError: it has no points, or no law.
    """
    if family not in fits:
        raise FrontierError(f"{family}: it has no points yet, so that no law can be fitted; run the sweep first")
    if not fits[family].status.usable:
        raise FrontierError(f"{family}: no law to forecast by: {fits[family].status}")
    return fits[family]


def begun_already(store: TrialStore, run: ForecastRun) -> str | None:
    """Say how far a run has come; None before it has begun."""
    record = store.usable_record(run.spec)
    if record.started is None and record.state.is_open:
        return None
    return f"trial {run.spec.trial_id}, {str(record.state).replace('_', ' ')}"


def _recorded(store: TrialStore, run: ForecastRun, fit: Fit) -> Forecast | None:
    """Return the forecast of a run that this version has made from the same points, if there is one."""
    for one in (outcome.forecast for outcome in read_forecasts(store).outcomes):
        same = one.raysweep == __version__ and one.fit.points_sha256 == fit.samples.digest()
        if same and one.trial_id == run.spec.trial_id:
            return one
    return None


def _forecast(
    space: Space,
    kind: Kind,
    flops: float,
    run: ForecastRun,
    fits: dict[str, Fit],
    points: GridPoints,
    compared: bool,
) -> Forecast:
    fit = fit_of(fits, run.family)
    expected, notes = _expected(fit, run, points)
    return Forecast(
        kind=kind,
        date=now(),
        raysweep=__version__,
        sweep=space.name,
        flops=flops,
        family=run.family,
        best_probability=probability_best(fits, run.family, flops) if compared else None,
        size=dict(run.spec.size),
        params=run.cost.params,
        optimal_params=_number(fit.optimal(flops, level=LEVEL).params),
        structures=run.structures,
        epochs=run.spec.epochs,
        data=run.data,
        run_flops=run.flops,
        run_seconds=run.seconds,
        learning_rate=run.rate,
        level=LEVEL,
        expected=expected,
        fit=_described(fit),
        notes=(*run.notes, *notes),
        trial_id=run.spec.trial_id,
        spec=run.spec.model_dump(mode="json"),
    )


def _described(fit: Fit) -> ForecastFit:
    return ForecastFit(
        law=str(fit.law),
        status=fit.status.kind.value,
        points=fit.samples.count,
        points_sha256=fit.samples.digest(),
        largest_flops=float(fit.samples.cost.max()),
    )


def _expected(fit: Fit, run: ForecastRun, points: GridPoints) -> tuple[dict[str, Expected], list[str]]:
    """Predict the loss and the metrics that a law fits; return them with notes on what is missing or doubtful."""
    loss = fit.loss(run.cost.params, run.data, level=LEVEL)
    if loss.interval is None:
        raise FrontierError(f"{run.family}: the fit gives no interval, so there is nothing to prove: {fit.status}")
    expected, notes = {"loss": _number(loss)}, [] if loss.caution is None else [f"loss: {loss.caution}"]
    for name, one in points.metric_fits(run.family).items():
        if isinstance(one, str):
            notes.append(f"{name} is not forecast: {one}")
            continue
        expected[name] = _number(one.loss(run.cost.params, run.data, level=LEVEL))
    return expected, notes


def _number(answer: Answer) -> Expected:
    interval = answer.interval
    return Expected(
        value=answer.value,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
    )
