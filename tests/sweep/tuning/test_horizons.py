"""The learning-rate stage measures how the best rate moves with the horizon, and forecasts correct for it."""

import contextlib
import io
import random
from pathlib import Path

import pytest
import toy_trials
from finished_sweep import finish
from rich.console import Console
from serial import KilledError, run_serially
from toy_sweep import Recorder, SpaceMaker

from raysweep.core.errors import SpaceError
from raysweep.core.stages import LEARNING_RATE
from raysweep.frontier.hyperparameters.horizon import HorizonExponent
from raysweep.frontier.hyperparameters.reading import read_searches
from raysweep.storage.rate_records import RateRecord
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.forecasts.make import forecast
from raysweep.sweep.forecasts.rates import forecast_rate
from raysweep.sweep.plan.specs import TrialSpecs
from raysweep.sweep.preview import plan
from raysweep.sweep.run import SweepResult, run
from raysweep.sweep.space.facts import data_facts
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.stage import Listeners, Stage
from raysweep.sweep.stages.tuning import TuningStage
from raysweep.sweep.steps import train as train_module
from raysweep.sweep.tuning.horizons import STEP, exponent_of, horizon_line, horizon_records
from raysweep.sweep.tuning.rates import cells

DRIFT = 0.3
FAMILIES = {
    "moves": {"architecture": "toy-a", "fixed": {"drift": DRIFT}, "sizes": {"width": [8, 12, 16, 24]}},
    "stays": {"architecture": "toy-b", "sizes": {"width": [8, 12, 16, 24]}},
}
SEARCHED = {"low": 2e-3, "high": 2e-1, "structures": 90, "trials": 6}


def tune(space: Space, draw: random.Random, events: int = 10**9) -> tuple[TuningStage, Recorder]:
    facts, store, recorder = data_facts(space), TrialStore(space.storage), Recorder()
    assert facts is not None
    stage = TuningStage(TrialSpecs.of(space, facts), store, Listeners([recorder]))
    run_serially(stage, store, workers=2, draw=draw, events=events)
    store.write_searches(stage.report().values())
    store.write_assignments(stage.assignments())
    return stage, recorder


def test_each_rate_is_one_run_to_all_horizons_and_the_exponent_is_that_of_the_training(make_space: SpaceMaker) -> None:
    space = make_space(families=FAMILIES, learning_rate={**SEARCHED, "horizons": [100, 3200]})
    tuned = plan(space).tuning_trials
    assert tuned == 2 * (6 + 7)
    stage, recorder = tune(space, random.Random(0))
    records = horizon_records(TrialStore(space.storage).searches())
    assert set(records) == {"moves", "stays"}
    for family, true in (("moves", -DRIFT), ("stays", 0.0)):
        found = exponent_of(records[family])
        assert isinstance(found, HorizonExponent)
        assert found.exponent == pytest.approx(true, abs=0.02)
        assert found.low <= true <= found.high
        assert found.matters == (true != 0)
        assert [one.data for one in found.best] == [100.0, 3200.0]
        assert all(len(trial.losses) == 2 for trial in records[family].trials)
    assert "moves as D^-0." in horizon_line(records["moves"])
    assert {stage for _, _, stage in recorder.started} == {LEARNING_RATE}
    assert stage.finished
    again, heard = tune(space, random.Random(1))
    assert heard.started == []
    assert again.rows == stage.rows
    assert 3200.0 in read_searches(space.storage)["data"].to_pylist()  # `raysweep hyperparameters` has them, too


def test_killed_anywhere_it_ends_with_the_same_exponents(make_space: SpaceMaker, tmp_path: Path) -> None:
    settings = {"rates": {"moves": 0.02, "stays": 0.02}, "horizons": [100, 3200]}
    whole = make_space(families=FAMILIES, learning_rate=settings)
    stage, _ = tune(whole, random.Random(0))
    killed = make_space(families=FAMILIES, learning_rate=settings, storage=str(tmp_path / "killed"))
    draw = random.Random(3)
    for events in (5, 11, 2):
        with pytest.raises(KilledError):
            tune(killed, draw, events)
    resumed, _ = tune(killed, draw)
    assert resumed.rows == stage.rows


def test_rates_are_tried_beyond_where_the_best_lies_at_an_end(make_space: SpaceMaker) -> None:
    start = toy_trials.BEST_RATE * STEP**4
    space = make_space(
        families=FAMILIES, learning_rate={"rates": dict.fromkeys(FAMILIES, start), "horizons": [100, 800]}
    )
    tune(space, random.Random(0))
    record = horizon_records(TrialStore(space.storage).searches())["stays"]
    assert record.widened >= 1
    assert isinstance(exponent_of(record), HorizonExponent)


def test_forecasts_correct_the_rate_where_the_exponent_is_not_zero(make_space: SpaceMaker) -> None:
    grid = {"structures": [100, 200, 400, 800, 1600], "seeds": [0, 1]}
    rates = {"rates": {"moves": 0.02, "stays": 0.02}, "horizons": [100, 3200]}
    space = make_space(families=FAMILIES, grid=grid, learning_rate=rates)
    tune(space, random.Random(0))
    searched = TrialStore(space.storage).assignments()
    store = finish(space)
    store.write_assignments([*store.assignments(), *searched])
    flops = 6 * 100 * 24**2 * 1600 * 5.0
    moves, stays = (forecast(space, flops=flops, family=family) for family in FAMILIES)
    best = toy_trials.BEST_RATE * (moves.data / 100) ** -DRIFT
    assert moves.learning_rate.rate == pytest.approx(best, rel=0.1)
    assert moves.learning_rate.tuned == 0.02
    assert moves.learning_rate.horizon_exponent is not None
    assert moves.trial.learning_rate == moves.learning_rate.rate
    assert "corrected for the horizon" in moves.learning_rate.sentence
    assert moves.notes[0].startswith("the grid was trained at 0.02, so the run may do better")
    assert stays.learning_rate.rate == 0.02
    assert "not distinguishable from 0: not corrected" in stays.learning_rate.sentence


def test_without_horizons_nothing_is_measured_and_searches_are_the_same(make_space: SpaceMaker) -> None:
    def keys(**settings: object) -> list[str]:
        space = make_space(families=FAMILIES, learning_rate={**SEARCHED, **settings})
        facts = data_facts(space)
        assert facts is not None
        return [cell.key for cell in cells(TrialSpecs.of(space, facts))]

    assert keys() == keys(horizons=[100, 800], horizon_trials=9)


def test_horizons_that_lie_too_close_are_refused(make_space: SpaceMaker) -> None:
    for horizons in ([100], [100, 150]):
        with pytest.raises(SpaceError, match=r"horizons: .* span less than a factor of 2"):
            make_space(learning_rate={**SEARCHED, "horizons": horizons})


def test_cosine_has_a_run_for_each_horizon(make_space: SpaceMaker) -> None:
    space = make_space(
        families=FAMILIES,
        learning_rate={"rates": {"moves": 0.02, "stays": 0.02}, "horizons": [100, 3200]},
        training={"optimizer": {"name": "cosine"}},
    )
    assert plan(space).tuning_trials == 2 * 7 * 2
    tune(space, random.Random(0))
    found = exponent_of(horizon_records(TrialStore(space.storage).searches())["moves"])
    assert isinstance(found, HorizonExponent)
    assert found.exponent == pytest.approx(-DRIFT, abs=0.02)


def test_the_grid_is_corrected_only_where_it_is_asked_for(make_space: SpaceMaker) -> None:
    settings = {"rates": {"moves": 0.02, "stays": 0.02}, "horizons": [100, 3200]}
    as_found = make_space(families=FAMILIES, learning_rate=settings)
    corrected = make_space(families=FAMILIES, learning_rate={**settings, "horizon_grid": True})
    assert not plan(corrected).identified  # until the exponents are known
    tune(as_found, random.Random(0))
    before, after = plan(as_found), plan(corrected)
    assert {trial.learning_rate for trial in before.trials} == {0.02}
    assert after.identified
    for trial in after.trials:
        assert trial.spec is not None
        assert trial.spec.learning_rate == trial.learning_rate
        end = trial.spec.data_budgets[-1]
        best = toy_trials.BEST_RATE * (end / 100) ** -DRIFT if trial.family == "moves" else 0.02
        assert trial.learning_rate == pytest.approx(best, rel=0.1)
    with pytest.raises(SpaceError, match="give `horizons` as well"):
        make_space(learning_rate={**SEARCHED, "horizon_grid": True})


def test_a_sweep_measures_exponents_also_where_its_grid_is_done_and_the_corrected_grid_waits_for_them(
    make_space: SpaceMaker,
) -> None:
    settings = {"rates": {"moves": 0.02, "stays": 0.02}}
    finish(make_space(families=FAMILIES, learning_rate=settings))
    settings = {**settings, "horizons": [100, 3200], "horizon_grid": True}
    space = make_space(families=FAMILIES, learning_rate=settings)
    result = run_serial(space)
    assert result.complete
    rates = {(trial.family, trial.learning_rate) for trial in result.plan.trials}
    assert len(rates) == 2
    assert ("stays", 0.02) in rates
    assert result.ran == 2 * 7 + 4  # the grid of the family whose rate moves is new
    assert run_serial(space).ran == 0


def run_serial(space: Space) -> SweepResult:
    def serially(stage: Stage, space: Space, store: TrialStore, *others: object) -> None:
        run_serially(stage, store, workers=2, draw=random.Random(0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "run_in_ray", serially)
        patch.setattr(train_module, "cluster", lambda _: contextlib.nullcontext())
        return run(space, mirror=lambda _: Recorder(), console=Console(file=io.StringIO()))


def test_losses_on_the_starting_plateau_tell_no_exponent() -> None:
    record = RateRecord(
        key="a-horizons", family="a", size={"width": 8}, seed=0, rate=0.02, method="horizons", edge=None, widened=0,
        on_plateau=True,
    )  # fmt: skip
    assert exponent_of(record) == "no trial has left the starting plateau; give larger horizons"


def test_rates_searched_per_size_are_corrected_by_the_same_factor(make_space: SpaceMaker) -> None:
    facts_space = make_space(
        families={"moves": FAMILIES["moves"]},
        learning_rate={**SEARCHED, "transfer": "per_size", "horizons": [100, 3200]},
    )
    tune(facts_space, random.Random(0))
    facts = data_facts(facts_space)
    assert facts is not None
    store = TrialStore(facts_space.storage)
    size = {"drift": DRIFT, "width": 24}
    near, far = (forecast_rate(facts_space, facts, store, "moves", size, data) for data in (1e3, 1e5))
    assert near.tuned == far.tuned
    assert "searched per size, at this size" in near.sentence
    assert far.rate / near.rate == pytest.approx(100**-DRIFT, rel=0.1)
    base = forecast_rate(facts_space, facts, store, "moves", {"drift": DRIFT, "width": 8}, 1e3)
    assert near.rate / base.rate == pytest.approx(near.tuned / base.tuned, rel=1e-3)
    between = forecast_rate(facts_space, facts, store, "moves", {"drift": DRIFT, "width": 20}, 1e3)
    assert "continued as a power law in width" in between.sentence
