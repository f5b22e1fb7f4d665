"""Forecasts on record: what a run was expected to give, written before it, and the content of the file that keeps it.

A forecast is named by the hash of its content, which covers the expectations, the digest of the points that the law was
fitted to, the version of raysweep and the specification of the run.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import JsonValue, TypeAdapter

from raysweep.core.hashing import content_id
from raysweep.core.text import short
from raysweep.core.trial import TrialSpec

ID_DIGITS = 12
Kind = Literal["forecast", "retrodiction"]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A number with its interval, None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class ForecastRate:
    """The learning rate of a forecast's run."""

    rate: float
    """At the base size, where muP carries it; else at the size itself."""
    tuned: float
    """As the search found it, before it was corrected for the horizon."""
    horizon_exponent: Expected | None = None
    """d ln rate / d ln D as the learning-rate stage measured it; None where it did not."""
    sentence: str
    """Where the rate comes from, for people."""


@dataclass(frozen=True, kw_only=True)
class ForecastFit:
    """The fit that a forecast was made by."""

    law: str
    status: str
    """Kind of its gravest finding, or "ok"."""
    points: int
    points_sha256: str
    largest_flops: float
    """The largest compute among its points."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run is expected to give."""

    kind: Kind
    """"retrodiction": its run had ended when this was written."""
    date: str
    """When it was recorded: ISO 8601, UTC."""
    raysweep: str
    sweep: str
    flops: float
    """Compute asked for."""
    family: str
    best_probability: float | None
    """That the family is the best at this compute, by the fits; None where there is no other, or none was asked."""
    size: dict[str, JsonValue]
    params: int
    optimal_params: Expected
    """N* by the fit; `params` is that of the nearest size that can be built."""
    structures: int
    """Seen by the end."""
    epochs: float
    data: float
    """Atoms seen by the end."""
    run_flops: float
    """Of the run, by the measured cost of its size."""
    run_seconds: float
    """Device seconds on the machine that measured the cost."""
    learning_rate: ForecastRate
    level: float
    """Coverage aimed at by the intervals."""
    expected: dict[str, Expected]
    """By column of a point: "loss", and the metrics that a law fits."""
    fit: ForecastFit
    notes: tuple[str, ...]
    trial_id: str
    spec: dict[str, JsonValue]
    """Specification of the run."""

    @property
    def id(self) -> str:
        """Name of the forecast: the first digits of its content hash."""
        return content_id(asdict(self))[:ID_DIGITS]

    @property
    def trial(self) -> TrialSpec:
        """Specification of its run."""
        return TrialSpec.model_validate(self.spec)


@dataclass(frozen=True, kw_only=True)
class Score:
    """A measured number beside the expected one."""

    measured: float
    """Infinite where the run diverged."""
    inside: bool | None
    """Whether it lies in the interval; None without one."""
    error: float
    """measured / expected - 1."""


@dataclass(frozen=True, kw_only=True)
class ForecastOutcome:
    """A forecast beside the outcome of its run."""

    id: str
    forecast: Forecast
    state: str
    """Of its run, as in `TrialState`."""
    blind: bool
    """Whether it was recorded before its run began."""
    flops: float | None
    """That the run spent."""
    scores: dict[str, Score]
    """By column; empty while the run has not ended."""

    @property
    def proved(self) -> bool:
        """Whether its run has ended, well or by divergence."""
        return bool(self.scores)

    @property
    def counts(self) -> bool:
        """Whether it enters the share inside: a forecast that was recorded before its run, which has ended."""
        return self.proved and self.blind and self.forecast.kind == "forecast"

    def __str__(self) -> str:
        made, loss = self.forecast, self.forecast.expected["loss"]
        within = "" if loss.low is None or loss.high is None else f" [{loss.low:.4g}, {loss.high:.4g}]"
        what = (
            f"{made.family} with N = {short(made.params)} on D = {short(made.data)} atoms was forecast to reach a loss "
            f"of {loss.value:.4g}{within} at {short(made.flops)} FLOP, {made.flops / made.fit.largest_flops:.3g} times "
            "the largest compute of its points"
        )
        score = self.scores.get("loss")
        if score is None:
            return f"{what}; its run is {self.state.replace('_', ' ')}."
        where = {True: ", inside the interval", False: ", outside the interval", None: ""}[score.inside]
        return f"{what}; its run gave {score.measured:.4g} ({score.error:+.1%}){where}."


@dataclass(frozen=True, kw_only=True)
class ForecastTotals:
    """Totals over the forecasts of a sweep; retrodictions, and forecasts written after their runs, count apart."""

    recorded: int
    proved: int
    inside: int
    """Whose loss lies in its interval."""
    median_error: float | None
    """Median absolute relative error of the loss; None where none was proved."""
    others: int
    """Retrodictions, and forecasts that were written after their runs began."""

    @property
    def share_inside(self) -> float | None:
        """Share of the proved ones whose loss lies in its interval; None where there is none."""
        return self.inside / self.proved if self.proved else None

    def __str__(self) -> str:
        text = f"forecasts: {self.recorded} on record, {self.proved} proved"
        if self.proved:
            text += f", {self.inside} of them inside their intervals, median error {self.median_error:.2%}"
        if self.others:
            text += f"; {self.others} retrodictions or written after their runs, which do not count"
        return text


def encode(forecast: Forecast) -> dict[str, object]:
    """Build the content of a forecast's file."""
    content = asdict(forecast)
    return {"sha256": content_id(content), "forecast": content}


def decode(content: object, name: str) -> Forecast:
    """Parse the content of a forecast's file.

    Args:
        content: of the file.
        name: the forecast's id, by the name of the file.

    Raises:
        ValueError: it was altered, or is another forecast's.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("forecast"), dict):
        raise ValueError("it holds no forecast")
    found = content_id(content["forecast"])
    if content.get("sha256") != found or found[:ID_DIGITS] != name:
        raise ValueError(f"its content has the hash {found[:ID_DIGITS]}, and its name and checksum say otherwise")
    return TypeAdapter(Forecast).validate_python(content["forecast"])
