"""The forecasts in a sweep's storage: written whole or not at all, read with their hashes checked, and scored.

Beside them the models that `raysweep train` has trained, each with its forecast.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from raysweep.core.errors import StorageError, TrialError
from raysweep.core.points import Point, at_budgets, from_table
from raysweep.core.stages import TRAINED
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage import layout
from raysweep.storage.forecast_records import Forecast, ForecastOutcome, ForecastTotals, Score, decode, encode
from raysweep.storage.reader import SweepReader
from raysweep.storage.records import Assignment
from raysweep.storage.trial_store import TrialStore

_SUFFIX = ".json"


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """Every forecast of a sweep beside its outcome, by date, and the files that cannot be trusted."""

    outcomes: tuple[ForecastOutcome, ...] = ()
    altered: tuple[str, ...] = ()
    """A sentence about each file whose content does not have its hash; it counts nowhere."""

    @property
    def totals(self) -> ForecastTotals:
        """Totals over them."""
        own = [one for one in self.outcomes if one.forecast.kind == "forecast" and one.blind]
        proved = [one for one in own if one.counts]
        return ForecastTotals(
            recorded=len(own),
            proved=len(proved),
            inside=sum(one.scores["loss"].inside is True for one in proved),
            median_error=median(abs(one.scores["loss"].error) for one in proved) if proved else None,
            others=len(self.outcomes) - len(own),
        )

    def find(self, given: str | None) -> ForecastOutcome:
        """Find a forecast by its id or the beginning of it.

        None: the latest that waits for its run, or the latest of all where none does.

        Raises:
            StorageError: there is none, several begin so, or its file was altered.
        """
        if given is None:
            waiting = [one for one in self.outcomes if not one.proved and one.forecast.kind == "forecast"]
            if not self.outcomes:
                raise StorageError("no forecast is on record yet; record one: `raysweep forecast SPACE --at FLOPS`")
            return (waiting or self.outcomes)[-1]
        found = [one for one in self.outcomes if one.id.startswith(given)]
        if len(found) == 1:
            return found[0]
        for sentence in self.altered:
            if sentence.startswith(f"{layout.FORECASTS}/{given}"):
                raise StorageError(sentence)
        known = ", ".join(one.id for one in self.outcomes) or "none"
        reason = f"{len(found)} forecasts begin so" if found else "there is no such forecast"
        raise StorageError(f"forecast {given!r}: {reason}; on record: {known}")


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model that was asked for by name or by compute, as far as it is trained."""

    trial_id: str
    family: str
    size: dict[str, object]
    structures: int | None
    """That its run sees; None before it has begun."""
    learning_rate: float
    seed: int
    state: str
    """Of its run, as in `TrialState`."""
    message: str | None
    """Why it ended badly; None where it did not."""
    last: Point | None
    """Its last point; None before the first."""
    checkpoints: str
    """Where its weights are."""
    forecast: ForecastOutcome | None
    """What was forecast before it was trained, beside the outcome; None where no law could."""

    @property
    def done(self) -> bool:
        """Whether it is trained to its end."""
        return self.state == TrialState.DONE

    @property
    def inside(self) -> bool | None:
        """Whether its loss lies in the forecast's interval; None without one, or before the end."""
        score = None if self.forecast is None else self.forecast.scores.get("loss")
        return None if score is None else score.inside


def trained_models(reader: SweepReader) -> list[TrainedModel]:
    """Read the models that `raysweep train` has begun, in the order in which they were."""
    rows = [row for row in reader.assignments() if row.stage == TRAINED]
    outcomes = {one.forecast.trial_id: one for one in read_forecasts(reader).outcomes} if rows else {}
    return [_trained(reader, row, outcomes.get(row.trial_id)) for row in rows]


def _trained(reader: SweepReader, row: Assignment, outcome: ForecastOutcome | None) -> TrainedModel:
    record, points = reader.valid_record(row.trial_id), from_table(reader.points_or_none(row.trial_id))
    try:
        spec: TrialSpec | None = reader.spec(row.trial_id)
    except TrialError:  # it was assigned, and has not begun
        spec = None
    return TrainedModel(
        trial_id=row.trial_id,
        family=row.family,
        size=json.loads(row.size),
        structures=None if spec is None else round(spec.structures * spec.epochs),
        learning_rate=row.learning_rate,
        seed=row.seed,
        state=str(record.state),
        message=record.message,
        last=points[-1] if points else None,
        checkpoints=reader.checkpoints(row.trial_id),
        forecast=outcome,
    )


def write_forecast(store: TrialStore, forecast: Forecast) -> None:
    """Write a forecast into a file of its own, whole or not at all."""
    store.write_bytes(_path(forecast.id), json.dumps(encode(forecast), indent=1, allow_nan=False).encode())


def read_forecasts(reader: SweepReader) -> Forecasts:
    """Read every forecast, and score those whose runs have ended."""
    outcomes, altered = [], []
    for name in reader.names(layout.FORECASTS):
        if not name.endswith(_SUFFIX):
            continue
        data = reader.read_bytes(f"{layout.FORECASTS}/{name}")
        try:
            forecast = decode(json.loads(data or b"null"), name.removesuffix(_SUFFIX))
        except ValueError as error:
            altered.append(
                f"{layout.FORECASTS}/{name} was altered and does not count: {' '.join(str(error).split())[:200]}; "
                "restore it from a copy, or delete it"
            )
            continue
        outcomes.append(_outcome(forecast, reader))
    outcomes.sort(key=lambda one: (one.forecast.date, one.id))
    return Forecasts(outcomes=tuple(outcomes), altered=tuple(altered))


def _outcome(forecast: Forecast, reader: SweepReader) -> ForecastOutcome:
    record = reader.valid_record(forecast.trial_id)
    points = from_table(reader.points_or_none(forecast.trial_id))
    recorded = datetime.fromisoformat(forecast.date).timestamp()
    ended = record.state.ends_trajectory
    return ForecastOutcome(
        id=forecast.id,
        forecast=forecast,
        state=str(record.state),
        blind=record.started is None or recorded <= record.started,
        flops=max((point.flops for point in points), default=None),
        scores=_scores(forecast, record.state, points) if ended else {},
    )


def _scores(forecast: Forecast, state: TrialState, points: Sequence[Point]) -> dict[str, Score]:
    """Score a run that has ended by its last point; one that diverged has an infinite loss."""
    end = at_budgets(points, forecast.trial.data_budgets[-1:])
    last = end[0] if end else None
    found = {}
    for name, expected in forecast.expected.items():
        measured = math.inf if last is None or state == TrialState.DIVERGED else getattr(last, name)
        if measured is None:
            continue
        inside = None
        if expected.low is not None and expected.high is not None:
            inside = expected.low <= measured <= expected.high
        found[name] = Score(measured=measured, inside=inside, error=measured / expected.value - 1)
    return found


def _path(forecast_id: str) -> str:
    return f"{layout.FORECASTS}/{forecast_id}{_SUFFIX}"


def now() -> str:
    """The date of a forecast that is recorded now."""
    return datetime.now(UTC).isoformat(timespec="seconds")
