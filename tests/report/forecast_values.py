"""Forecasts of a run, with outcomes as a storage would give them."""

import dataclasses

from raysweep.core.trial import TrialSpec
from raysweep.storage.forecast_records import (
    Expected,
    Forecast,
    ForecastFit,
    ForecastOutcome,
    ForecastRate,
    Score,
)

SPEC = TrialSpec(architecture="mpnn", size={"width": 64}, fingerprint="none", structures=4000, learning_rate=0.02)
FORECAST = Forecast(
    kind="forecast",
    date="2026-01-02T03:04:05+00:00",
    raysweep="0.1.0",
    sweep="synthetic",
    flops=3e14,
    family="mpnn",
    best_probability=0.9,
    size={"width": 64},
    params=70123,
    optimal_params=Expected(value=71000.0, low=50000.0, high=90000.0),
    structures=4000,
    epochs=1.0,
    data=81234.0,
    run_flops=2.9e14,
    run_seconds=400.0,
    learning_rate=ForecastRate(rate=0.02, tuned=0.02, sentence="searched"),
    level=0.95,
    expected={"loss": Expected(value=0.4, low=0.38, high=0.42), "force_l2": Expected(value=0.2, low=0.19, high=0.21)},
    fit=ForecastFit(law="L = ...", status="ok", points=48, points_sha256="ab" * 32, largest_flops=1e14),
    notes=(),
    trial_id=SPEC.trial_id,
    spec=SPEC.model_dump(mode="json"),
)


def outcome(measured: float | None, *, blind: bool = True, **changes: object) -> ForecastOutcome:
    """Return a forecast beside a measured loss; None: its run has not ended."""
    made = dataclasses.replace(FORECAST, **changes)
    scores = {}
    if measured is not None:
        scores["loss"] = Score(measured=measured, inside=0.38 <= measured <= 0.42, error=measured / 0.4 - 1)
    state = "planned" if measured is None else "done"
    return ForecastOutcome(id=made.id, forecast=made, state=state, blind=blind, flops=None, scores=scores)
