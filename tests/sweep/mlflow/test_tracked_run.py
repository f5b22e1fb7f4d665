"""`raysweep.run` and `raysweep.sync` from Python: MLflow has the trial store's points, where the space says so."""

from pathlib import Path

import mlflow
import pytest
from rich.console import Console
from toy_sweep import Recorder, SpaceMaker

import raysweep
from raysweep.core.errors import SpaceError, TrackingError
from raysweep.storage import layout
from raysweep.sweep.space.space import Space
from raysweep.tracking.connection import quiet
from raysweep.tracking.mlflow import canonical, read_points

FAMILIES = {"a": {"architecture": "toy-a", "sizes": {"width": [8, 16]}}}
SMALL = {"families": FAMILIES, "grid": {"structures": [100]}, "learning_rate": {"rates": {"a": 0.02}}}


@pytest.fixture(autouse=True)
def _calm() -> None:
    quiet(None)


def database(space: Space) -> Path:
    return Path(space.storage) / layout.MLFLOW_DATABASE


def trials_in(space: Space) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{database(space)}")
    found = client.get_experiment_by_name("toy")
    runs = client.search_runs([found.experiment_id], "tags.`raysweep.kind` = 'trial'")
    return list(runs)


@pytest.mark.usefixtures("one_ray")
def test_a_sweep_in_python_is_tracked_and_sync_is_idempotent(make_space: SpaceMaker, console: Console) -> None:
    space = make_space(**SMALL)
    result = raysweep.run(space, console=console)
    assert result.complete
    assert result.notes == ()
    uri = f"sqlite:///{database(space)}"
    assert read_points("toy", uri).equals(canonical(result.table()), check_metadata=True)
    assert result.table().num_rows == 2
    assert {run.data.tags["raysweep.trial_id"]: run.info.status for run in trials_in(space)} == dict.fromkeys(
        result.states, "FINISHED"
    )
    assert (Path(space.storage) / layout.MLFLOW_MARK).exists()

    assert raysweep.sync(space).equal
    client = mlflow.MlflowClient(uri)
    client.delete_run(trials_in(space)[0].info.run_id)
    healed = raysweep.sync(space)
    assert (healed.trials, healed.created, healed.removed) == (2, 1, 0)
    assert read_points("toy", uri).equals(canonical(result.table()), check_metadata=True)
    assert raysweep.sync(space).equal

    before = database(space).read_bytes()
    assert raysweep.run(space, console=console).ran == 0
    assert database(space).read_bytes() == before


@pytest.mark.usefixtures("one_ray")
def test_a_sweep_that_is_not_to_be_tracked_writes_no_mlflow(make_space: SpaceMaker, console: Console) -> None:
    space = make_space(**SMALL, tracking={"enabled": False})
    assert raysweep.run(space, console=console).complete
    assert not list(Path(space.storage).rglob("*mlflow*"))


@pytest.mark.usefixtures("one_ray")
def test_a_listener_of_the_caller_s_own_takes_the_place_of_mlflow_s(make_space: SpaceMaker, console: Console) -> None:
    space, recorder = make_space(**SMALL), Recorder()
    result = raysweep.run(space, mirror=lambda _: recorder, console=console)
    assert set(recorder.ended) == set(result.states)
    assert recorder.closed == 1
    assert not list(Path(space.storage).rglob("*mlflow*"))
    assert raysweep.sync(space).trials == 2  # whoever wants both asks for the second afterwards


@pytest.mark.usefixtures("one_ray")
def test_an_mlflow_that_is_away_costs_no_trial_and_is_told_of(make_space: SpaceMaker, console: Console) -> None:
    space = make_space(**SMALL, tracking={"uri": "http://127.0.0.1:9"})
    result = raysweep.run(space, console=console)
    assert result.complete
    assert len(result.notes) == 1
    assert "`raysweep sync` writes it to MLflow" in result.notes[0]
    assert not (Path(space.storage) / layout.MLFLOW_MARK).exists()


def test_a_storage_that_cannot_hold_a_database_is_refused_before_anything_runs(make_space: SpaceMaker) -> None:
    with pytest.raises(TrackingError, match="give a server"):
        raysweep.run(make_space(**SMALL, storage="s3://nowhere/at-all"))


def test_sync_refuses_the_storage_of_another_sweep(make_space: SpaceMaker) -> None:
    space = make_space(**SMALL)
    Path(space.storage).mkdir()
    (Path(space.storage) / layout.SWEEP).write_text('{"name": "another"}')
    with pytest.raises(SpaceError, match="holds the sweep 'another'"):
        raysweep.sync(space)
