"""Small sweeps made up for the tests of the room: trials with awkward points, and what MLflow holds of them."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from raysweep.core.points import TABLE_SCHEMA, Point, to_table
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.tracking.mlflow import TrialView, canonical
from raysweep.tracking.views import metrics_of


def spec(index: int = 0, family: str = "mpnn") -> TrialSpec:
    return TrialSpec(
        architecture=family,
        size={"width": 8 + index, "depth": 2},
        fingerprint="f" * 64,
        structures=100,
        learning_rate=0.1 / 3,
        seed=index,
    )


def points(trial: TrialSpec, count: int = 4) -> list[Point]:
    """Every other point is taken at a FLOPs budget, in the same step as the one before it."""
    return [
        Point(
            trial_id=trial.trial_id,
            architecture=trial.architecture,
            size=json.dumps(trial.size, sort_keys=True),
            seed=trial.seed,
            learning_rate=trial.learning_rate,
            step=10 * (i // 2 + 1),
            budget=100.0 * (i // 2 + 1) if i % 2 == 0 else 1e9 / 3 * (i // 2 + 1),
            budget_kind="data" if i % 2 == 0 else "flops",
            params=2**53 + 1 + trial.seed,
            data=100.0 * (i // 2 + 1) + 1 / 3,
            flops=1e9 / 3 * (i // 2 + 1),
            loss=1 / (3 + i // 2 + trial.seed),
            seconds=0.1 + 0.2 * (i // 2),
            device='Tésla "V100"\n',
            energy_mae=None if trial.seed % 2 else 5e-324,
            train_loss=math.inf if trial.seed == 1 and i == 3 else 0.1 + 0.2,
        )
        for i in range(count)
    ]


def view(index: int = 0, state: TrialState = TrialState.DONE, count: int = 4, stage: str = "grid") -> TrialView:
    trial = spec(index)
    params = {"architecture": trial.architecture, "learning_rate": str(trial.learning_rate), "seed": str(trial.seed)}
    return TrialView(
        trial_id=trial.trial_id,
        serves=((stage, trial.architecture),),
        state=state,
        points=points(trial, count),
        params=params | {f"size.{key}": str(value) for key, value in trial.size.items()},
        tags={"raysweep.fingerprint": trial.fingerprint},
        message="the loss is nan" if state == TrialState.DIVERGED else None,
        started=1e9,
        ended=1e9 + 60,
    )


def table_of(views: Iterable[TrialView]) -> pa.Table:
    """The table that a trial store would give for these trials, in canonical order."""
    parts = [
        to_table(v.points)
        .append_column("family", pa.array([family] * len(v.points), pa.string()))
        .append_column("stage", pa.array([stage] * len(v.points), pa.string()))
        for v in views
        for stage, family in v.serves
    ]
    return canonical(pa.concat_tables(parts).cast(TABLE_SCHEMA))


def runs(uri: str, experiment: str) -> list[Run]:
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id], max_results=1000))


def trial_runs(uri: str, experiment: str) -> dict[str, Run]:
    """The runs of trials by trial id; no trial has two."""
    found = [run for run in runs(uri, experiment) if run.data.tags["raysweep.kind"] == "trial"]
    by_id = {run.data.tags["raysweep.trial_id"]: run for run in found}
    assert len(by_id) == len(found)
    return by_id


Row = tuple[str, int, float]


def metric_rows(uri: str, run: Run) -> list[Row]:
    """All rows of all metrics of a run, as often as they are there."""
    client = MlflowClient(tracking_uri=uri)
    return sorted(
        (m.key, m.step, m.value) for key in run.data.metrics for m in client.get_metric_history(run.info.run_id, key)
    )


def rows_of(point: Point, *, last: bool) -> set[Row]:
    largest = 1.7976931348623157e308  # which MLflow keeps in the place of infinity
    return {(key, int(point.data), min(value, largest)) for key, value in metrics_of(point, last=last).items()}


def assert_metrics(uri: str, run: Run, some: Sequence[Point], *, at_once: bool = False) -> None:
    """Hold that a run has the points' curves, each row once, and the totals of the last point.

    Two points in one step share their rows. Where the points were not written at once, totals of others are there, too.
    """
    found = metric_rows(uri, run)
    assert len(found) == len(set(found))
    curves = {row for point in some for row in rows_of(point, last=False)}
    needed = curves | rows_of(some[-1], last=True)
    allowed = needed if at_once else {row for point in some for row in rows_of(point, last=True)}
    assert needed <= set(found) <= allowed


def tell(mirror: object, trial: TrialView) -> Iterator[None]:
    """Tell a mirror of a trial, step by step."""
    stage, family = trial.serves[0]
    mirror.trial_started(trial.trial_id, family, stage, dict(trial.params), dict(trial.tags))
    yield
    for point in trial.points:
        mirror.point(trial.trial_id, point)
        yield
    if trial.over:
        mirror.trial_ended(trial.trial_id, trial.state, trial.message)
    yield


def slower(trial: TrialView) -> TrialView:
    """The same trial done again, which took longer."""
    return replace(trial, points=[replace(point, seconds=2 * point.seconds) for point in trial.points])
