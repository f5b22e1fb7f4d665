"""`train`: a model of a finished sweep, planned, forecast, trained in a stage of its own, resumed."""

import contextlib
import io
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import toy_trials
from finished_sweep import finish, write_space
from rich.console import Console
from serial import KilledError, run_serially
from toy_sweep import Recorder

from raysweep.core.errors import FrontierError, RaysweepError, SpaceError
from raysweep.core.stages import TRAINED
from raysweep.core.trial import TrialState
from raysweep.frontier import read_store
from raysweep.report.content.sources import from_storage
from raysweep.storage.forecasts import TrainedModel, trained_models
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.forecasts.make import forecasts
from raysweep.sweep.forecasts.models import ModelRequest, plan_model, train_model
from raysweep.sweep.space.space import Space, load_space
from raysweep.sweep.stages.stage import Stage
from raysweep.sweep.steps import train as train_module

FLOPS = 6 * 100 * 24**2 * 1600 * 5.0
"""Five times the largest compute of the grid."""
AT = ModelRequest(flops=FLOPS)
NAMED = ModelRequest(family="a", size={"width": 20}, structures=3000)


def changes(**further: object) -> dict[str, object]:
    sizes = {"width": [8, 12, 16, 24]}
    families = {name: {"architecture": f"toy-{name}", "sizes": sizes, "fixed": {"depth": 2}} for name in "a"}
    grid = {"structures": [100, 200, 400, 800, 1600], "seeds": [0, 1]}
    rates = {"rates": {"a": 0.02}}
    return {"families": families, "grid": grid, "learning_rate": rates, "tracking": {"enabled": False}, **further}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep that tests copy."""
    folder = tmp_path_factory.mktemp("models")
    finish(load_space(write_space(folder / "space.yaml", folder / "sweep", **changes())))
    return folder / "sweep"


@pytest.fixture
def space(finished: Path, tmp_path: Path) -> Space:
    shutil.copytree(finished, tmp_path / "sweep")
    return load_space(write_space(tmp_path / "space.yaml", tmp_path / "sweep", **changes()))


def train_without_ray(space: Space, request: ModelRequest, events: int = 10**9) -> tuple[TrainedModel, int, Recorder]:
    """Train a model on one pretended worker; return it, how many points were worked out, and what was mirrored."""
    worked, recorder = 0, Recorder()

    def serially(stage: Stage, space: Space, store: TrialStore, *others: object) -> None:
        nonlocal worked
        worked = run_serially(stage, store, workers=1, draw=random.Random(0), events=events)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "run_in_ray", serially)
        patch.setattr(train_module, "cluster", lambda _: contextlib.nullcontext())
        found = train_model(space, request, mirror=lambda _: recorder, console=Console(file=io.StringIO()))
    return found, worked, recorder


def test_the_best_model_at_a_compute_is_forecast_then_trained_and_enters_no_fit(space: Space) -> None:
    planned = plan_model(space, AT)
    assert forecasts(space).outcomes == ()  # a plan writes nothing
    assert planned.flops == pytest.approx(FLOPS, rel=0.01)
    assert planned.state == TrialState.PLANNED
    assert planned.forecast is not None

    before = read_store(space.storage)
    model, worked, recorder = train_without_ray(space, AT)
    assert model.done
    assert model.trial_id == planned.spec.trial_id
    assert worked == len(planned.spec.data_budgets)
    assert model.last is not None
    assert model.last.loss == toy_trials.loss_at(planned.spec, planned.data)
    assert model.forecast is not None
    assert model.forecast.blind
    assert model.inside is True
    assert forecasts(space).totals.inside == 1
    assert read_store(space.storage).equals(before)
    assert recorder.started == [(model.trial_id, "a", TRAINED)]

    again, worked, _ = train_without_ray(space, AT)
    assert (again, worked) == (model, 0)
    assert [one.trial_id for one in from_storage(space.storage).models] == [model.trial_id]


def test_killed_between_any_two_points_it_resumes_though_the_sweep_has_grown(space: Space) -> None:
    whole = plan_model(space, AT)
    for events in (1, 3):
        with pytest.raises(KilledError):
            train_without_ray(space, AT, events)
    (open_one,) = trained_models(TrialStore(space.storage))
    assert (open_one.done, open_one.inside) == (False, None)
    grown = load_space(
        write_space(Path(space.storage).parent / "grown.yaml", space.storage, **changes(grid=grid_with(2)))
    )
    finish_rest(grown)
    assert plan_model(grown, AT).spec == whole.spec  # not the one that the larger fit names
    model, _, _ = train_without_ray(space, AT)
    assert model.trial_id == whole.spec.trial_id
    worked = Path(TrialStore(space.storage).checkpoints(model.trial_id), "worked.txt").read_text().split()
    assert worked == [str(index) for index in range(len(whole.spec.data_budgets))]  # none twice


def grid_with(seed: int) -> dict[str, object]:
    return {"structures": [100, 200, 400, 800, 1600], "seeds": [0, 1, seed]}


def finish_rest(space: Space) -> None:
    """Add the trajectories of a grid that grew, and keep what was trained beside it."""
    store = TrialStore(space.storage)
    kept = [row for row in store.assignments() if row.stage == TRAINED]
    finish(space).add_assignments(kept)


def test_a_named_model_is_trained_at_the_rate_of_the_sweep_or_at_its_own(space: Space) -> None:
    model, _, _ = train_without_ray(space, NAMED)
    assert model.done
    assert model.size == {"depth": 2, "width": 20}
    assert (model.structures, model.learning_rate, model.seed) == (3000, 0.02, 0)
    assert model.last is not None
    assert model.last.data == 3000
    assert model.inside is True
    other = ModelRequest(family="a", size={"width": 20}, flops=6 * 100 * 20**2 * 3000.0, rate=0.03, seed=7)
    planned = plan_model(space, other)
    assert (planned.structures, planned.spec.learning_rate, planned.spec.seed) == (3000, 0.03, 7)
    assert planned.spec.trial_id != model.trial_id
    repeated = plan_model(space, ModelRequest(family="a", size={"width": 20}, structures=3000, epochs=2))
    assert (repeated.spec.structures, repeated.spec.epochs) == (1500, 2.0)
    assert any("passes over" in note for note in repeated.notes)


def test_a_model_whose_run_the_grid_has_is_not_trained_again(space: Space) -> None:
    request = ModelRequest(family="a", size={"width": 16}, structures=1600)
    planned = plan_model(space, request)
    assert planned.state == TrialState.DONE
    assert any("its run had begun" in note for note in planned.notes)
    model, worked, _ = train_without_ray(space, request)
    assert (model.done, worked, model.forecast) == (True, 0, None)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ModelRequest(), r"either the compute \(--at FLOPS\) or the number of structures"),
        (ModelRequest(flops=1e9, structures=3), "either the compute"),
        (ModelRequest(structures=30), r"give it \(--size width=32\)"),
        (ModelRequest(size={"width": 8}, flops=1e9), r"name it \(--family\)"),
        (ModelRequest(flops=1e9, rate=0.1), "--rate is for a model that is named by its size"),
        (ModelRequest(flops=-1.0), "give a positive, finite number"),
        (ModelRequest(family="a", size={"width": 8}, structures=10, epochs=0), "epochs = 0"),
        (ModelRequest(family="a", size={"width": 8}, flops=1e-3), "do not suffice for one structure"),
        (ModelRequest(family="a", flops=1e300), "no network that can be built here: ask for less"),
        (ModelRequest(family="c", flops=1e9), "there is no family 'c'"),
        (ModelRequest(family="a", size={"widht": 8}, structures=10), "no knob 'widht' to train; nearest: width"),
        (ModelRequest(family="a", size={"depth": 2}, structures=10), "its sizes differ in width"),
    ],
)
def test_a_request_that_names_no_model_is_refused(space: Space, request_: ModelRequest, message: str) -> None:
    with pytest.raises(RaysweepError, match=message):
        plan_model(space, request_)


def test_a_sweep_that_has_not_run_and_a_store_that_is_too_small_are_refused(
    space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = load_space(write_space(tmp_path / "other.yaml", tmp_path / "empty", **changes()))
    with pytest.raises(FrontierError, match="no trajectory of the grid has ended yet"):
        plan_model(empty, AT)
    from raysweep.sweep.forecasts import runs
    from raysweep.sweep.space.facts import DataFacts

    held = DataFacts("none", 2000, np.cumsum(np.full(2000, 9)))
    monkeypatch.setattr(runs, "data_facts", lambda space, at_least=0: held)
    with pytest.raises(SpaceError, match=r"3000 different ones, and the store has 2000 .*\(epochs of 1.5 or more\)"):
        plan_model(space, NAMED)
    twice = ModelRequest(family="a", size={"width": 20}, structures=3000, epochs=1.5)
    assert plan_model(space, twice).data == 3000 * 9
