"""Forecasts of single runs: recorded before the run, named by their content, put to the test by a run of their own."""

import contextlib
import dataclasses
import io
import json
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest
import toy_trials
from finished_sweep import finish, write_space
from rich.console import Console
from serial import KilledError, run_serially
from toy_sweep import Recorder

from raysweep.core.errors import FrontierError, RaysweepError, SpaceError, StorageError
from raysweep.core.stages import FORECAST
from raysweep.core.trial import TrialState
from raysweep.frontier import fit_families, read_store, to_json
from raysweep.storage.forecast_records import Forecast, ForecastOutcome
from raysweep.storage.forecasts import read_forecasts
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.forecasts.make import forecast, forecasts
from raysweep.sweep.forecasts.prove import prove, prove_each
from raysweep.sweep.space.space import Space, load_space
from raysweep.sweep.stages.stage import Stage
from raysweep.sweep.steps import train as train_module

FLOPS = 6 * 100 * 24**2 * 1600 * 5.0
"""Five times the largest compute of the grid."""
GRID = {"structures": [100, 200, 400, 800, 1600], "seeds": [0, 1]}
FAMILIES = {
    "a": {"architecture": "toy-a", "sizes": {"width": [8, 12, 16, 24]}},
    "b": {"architecture": "toy-b", "sizes": {"width": [8, 12, 16, 24]}},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep that tests copy."""
    folder = tmp_path_factory.mktemp("forecasts")
    finish(load_space(write_space(folder / "space.yaml", folder / "sweep", **changes())))
    return folder / "sweep"


def changes(**further: object) -> dict[str, object]:
    return {"families": FAMILIES, "grid": GRID, "learning_rate": {"rates": {"a": 0.02, "b": 0.02}}, **further}


@pytest.fixture
def space(finished: Path, tmp_path: Path) -> Space:
    import shutil

    shutil.copytree(finished, tmp_path / "sweep")
    return load_space(write_space(tmp_path / "space.yaml", tmp_path / "sweep", **changes(tracking={"enabled": False})))


def prove_without_ray(space: Space, forecast_id: str | None = None, events: int = 10**9) -> tuple[ForecastOutcome, int]:
    """Prove a forecast on one pretended worker; return the outcome and how many points were worked out."""
    worked = 0

    def serially(stage: Stage, space: Space, store: TrialStore, *others: object) -> None:
        nonlocal worked
        worked = run_serially(stage, store, workers=1, draw=random.Random(0), events=events)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "run_in_ray", serially)
        patch.setattr(train_module, "cluster", lambda _: contextlib.nullcontext())
        found = prove(space, forecast_id, mirror=lambda _: Recorder(), console=Console(file=io.StringIO()))
    return found, worked


def table_of(space: Space) -> dict[str, str]:
    return {family: to_json(found) for family, found in fit_families(read_store(space.storage)).items()}


def file_of(space: Space, made: Forecast) -> Path:
    return Path(space.storage, "forecasts", f"{made.id}.json")


def test_forecast_is_recorded_then_proved_and_enters_no_fit(space: Space) -> None:
    made = forecast(space, flops=FLOPS)
    assert made.kind == "forecast"
    assert made.run_flops == pytest.approx(FLOPS, rel=0.01)  # whole structures
    assert made.params == 100 * int(made.size["width"]) ** 2
    assert made.params / made.optimal_params.value == pytest.approx(1, abs=0.05)  # widths are whole numbers
    assert made.best_probability is not None
    assert TrialStore(space.storage).record(made.trial_id).started is None
    loss = made.expected["loss"]
    assert loss.low < loss.value < loss.high
    assert "not corrected for the horizon" in made.learning_rate.sentence
    assert json.loads(file_of(space, made).read_text())["forecast"] == json.loads(json.dumps(dataclasses.asdict(made)))
    (waiting,) = forecasts(space).outcomes
    assert (waiting.id, waiting.state, waiting.proved) == (made.id, "planned", False)

    before = table_of(space)
    outcome, worked = prove_without_ray(space)
    assert worked == len(made.trial.data_budgets)
    assert outcome.proved
    assert outcome.blind
    score = outcome.scores["loss"]
    assert score.measured == toy_trials.loss_at(made.trial, made.data)
    assert score.inside is True
    assert score.error == pytest.approx(score.measured / loss.value - 1)
    assert abs(score.error) < 0.05
    totals = forecasts(space).totals
    assert (totals.recorded, totals.proved, totals.inside, totals.others) == (1, 1, 1, 0)
    assert totals.median_error == abs(score.error)

    assert table_of(space) == before  # to the last digit
    rows = read_store_stages(space)
    assert rows.count(FORECAST) == len(made.trial.data_budgets)
    again, worked = prove_without_ray(space)
    assert (again, worked) == (outcome, 0)
    assert forecast(space, flops=FLOPS) == made  # on record once


def read_store_stages(space: Space) -> list[str]:
    table = TrialStore(space.storage).saved_table()
    assert table is not None
    return [str(stage) for stage in table["stage"].to_pylist()]


def test_killed_between_any_two_points_it_resumes(space: Space) -> None:
    made = forecast(space, flops=FLOPS)
    budgets = len(made.trial.data_budgets)
    for events in (1, 3):
        with pytest.raises(KilledError):
            prove_without_ray(space, made.id[:5], events)
    outcome, _ = prove_without_ray(space, made.id[:5])
    assert outcome.scores["loss"].inside is True
    worked = Path(TrialStore(space.storage).checkpoints(made.trial_id), "worked.txt").read_text().split()
    assert worked == [str(index) for index in range(budgets)]  # none twice


def test_a_run_of_the_sweep_keeps_the_forecasts_run(space: Space) -> None:
    from raysweep.sweep.steps.driving import driven, finish

    forecast(space, flops=FLOPS)
    prove_without_ray(space)
    with driven(space, Console(file=io.StringIO())) as sweep:
        finish(sweep, sweep.plan())
    assert FORECAST in read_store_stages(space)


def test_altered_file_counts_nowhere(space: Space) -> None:
    made = forecast(space, flops=FLOPS, family="a")
    file = file_of(space, made)
    content = json.loads(file.read_text())
    content["forecast"]["expected"]["loss"]["high"] *= 2
    file.write_text(json.dumps(content))
    found = forecasts(space)
    assert (found.outcomes, found.totals.recorded) == ((), 0)
    assert found.altered[0].startswith(f"forecasts/{made.id}.json was altered and does not count")
    with pytest.raises(StorageError, match="was altered"):
        prove_without_ray(space, made.id)
    from raysweep.core.hashing import content_id

    content["sha256"] = content_id(content["forecast"])  # the name still says otherwise
    file.write_text(json.dumps(content))
    assert "hash" in forecasts(space).altered[0]
    file.write_bytes(b'{"torn')
    assert len(forecasts(space).altered) == 1


def test_a_run_that_has_begun_is_a_retrodiction_that_is_named_so(space: Space) -> None:
    made = forecast(space, flops=FLOPS)
    prove_without_ray(space)
    file_of(space, made).unlink()
    with pytest.raises(RaysweepError, match=rf"has begun already \(trial {made.trial_id}, done\).*retrodiction"):
        forecast(space, flops=FLOPS)
    told = forecast(space, flops=FLOPS, retrodiction=True)
    assert (told.kind, told.trial_id) == ("retrodiction", made.trial_id)
    found = forecasts(space)
    assert found.outcomes[0].proved
    assert (found.totals.recorded, found.totals.proved, found.totals.others) == (0, 0, 1)


def test_forecast_written_after_its_run_does_not_count(space: Space) -> None:
    from raysweep.storage.forecasts import write_forecast

    made = forecast(space, flops=FLOPS)
    prove_without_ray(space)
    write_forecast(TrialStore(space.storage), dataclasses.replace(made, date="2999-01-01T00:00:00+00:00"))
    found = read_forecasts(TrialStore(space.storage))
    assert [one.blind for one in found.outcomes] == [True, False]
    assert (found.totals.recorded, found.totals.others) == (1, 1)


def test_diverged_run_is_outside(space: Space) -> None:
    made = forecast(space, flops=FLOPS)
    store = TrialStore(space.storage)
    store.end(store.begin(made.trial), TrialState.DIVERGED, [], "the loss is nan")
    (found,) = forecasts(space).outcomes
    assert found.scores["loss"].inside is False
    assert found.scores["loss"].measured == float("inf")


def test_what_cannot_be_forecast_is_named(space: Space, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"no family 'c' to forecast"):
        forecast(space, flops=FLOPS, family="c")
    with pytest.raises(FrontierError, match="give a positive, finite number"):
        forecast(space, flops=0)
    with pytest.raises(StorageError, match="no forecast is on record yet"):
        prove_without_ray(space)
    empty = load_space(write_space(tmp_path / "other.yaml", tmp_path / "empty", **changes()))
    with pytest.raises(FrontierError, match="no trajectory of the grid has ended yet"):
        forecast(empty, flops=FLOPS)
    made = forecast(space, flops=FLOPS)
    with pytest.raises(StorageError, match=f"forecast 'zz': there is no such forecast; on record: {made.id}"):
        prove_without_ray(space, "zz")


def test_several_are_proved_side_by_side_and_each_family_can_be_asked(space: Space) -> None:
    made = [forecast(space, flops=FLOPS, family="a"), forecast(space, flops=FLOPS / 2, family="b")]
    assert [one.family for one in made] == ["a", "b"]
    assert [one.best_probability for one in made] == [None, None]

    def serially(stage: Stage, space: Space, store: TrialStore, *others: object) -> None:
        run_serially(stage, store, workers=2, draw=random.Random(0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "run_in_ray", serially)
        patch.setattr(train_module, "cluster", lambda _: contextlib.nullcontext())
        outcomes = prove_each(space, [one.id for one in made], console=Console(file=io.StringIO()))
    assert [one.scores["loss"].inside for one in outcomes] == [True, True]
    assert forecasts(space).totals.proved == 2


def test_a_training_without_costs_is_told_what_it_lacks(tmp_path: Path) -> None:
    path = write_space(tmp_path / "space.yaml", tmp_path / "sweep", **changes(entrypoint="toy_trials:costless"))
    finish(load_space(path))
    with pytest.raises(RaysweepError, match="a forecast needs what sizes cost: give toy_trials:costless a `cost`"):
        forecast(load_space(path), flops=FLOPS)


@pytest.mark.parametrize(
    ("structures", "epochs", "expected"), [(10**5, 1, None), (400, 1, 400), (400, 99, None)], ids=str
)
def test_structures_that_are_too_few_are_refused_with_their_number_unless_repeats_are_allowed(
    space: Space, monkeypatch: pytest.MonkeyPatch, structures: int, epochs: int, expected: int | None
) -> None:
    from raysweep.sweep.forecasts import runs
    from raysweep.sweep.space.facts import DataFacts

    atoms = np.cumsum(np.full(structures, 9, dtype=np.int64))
    held = DataFacts("none", structures, atoms)
    monkeypatch.setattr(runs, "data_facts", lambda space, at_least=0: held)
    repeats = space.model_copy(update={"grid": space.grid.model_copy(update={"epochs": float(epochs)})})
    repeats._source = space._source
    if expected is not None:
        with pytest.raises(SpaceError) as refused:
            forecast(repeats, flops=FLOPS)
        found = re.search(
            r"sees (\d+) structures, so it needs (\d+) different ones, and the store has (\d+) for training; make a "
            r"store of at least (\d+) structures.*forecast at about (\S+) FLOP or less",
            str(refused.value),
        )
        assert found is not None, refused.value
        seen, needed, available, made = (int(number) for number in found.groups()[:4])
        assert seen == needed > available == structures
        assert made == math.ceil(needed / 0.9)
        within = forecast(repeats, flops=0.5 * float(found.group(5)))
        assert within.structures <= structures
        return
    made_ = forecast(repeats, flops=FLOPS)
    assert made_.data == 9 * made_.structures
    assert made_.data * 6 * made_.params == pytest.approx(FLOPS, rel=0.02)
    passes = made_.structures / min(structures, made_.structures)
    assert made_.epochs == pytest.approx(passes)
    assert any("passes over" in note for note in made_.notes) == (passes > 1)
