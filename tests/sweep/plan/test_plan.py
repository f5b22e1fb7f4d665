"""The plan covers the grid with the fewest trajectories and knows what is done."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import toy_trials
from toy_sweep import SpaceMaker

from raysweep.core.errors import SpaceError
from raysweep.core.trial import TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.planner import make_plan
from raysweep.sweep.plan.totals import idle
from raysweep.sweep.preview import plan
from raysweep.sweep.space.facts import DataFacts, data_facts
from raysweep.sweep.space.parts import LearningRate
from raysweep.sweep.space.running import Resources

RATES = {"rates": {"a": 0.02, "b": 0.03}}


def test_one_trajectory_for_each_size_and_seed_serves_all_budgets(make_space: SpaceMaker) -> None:
    space = make_space(grid={"structures": [100, 400, 200], "flops": [1e6, 1e9], "seeds": [0, 1]}, learning_rate=RATES)
    result = plan(space)
    assert len(result.trials) == 2 * 2 * 2
    for trial in result.trials:
        assert trial.spec is not None
        assert trial.spec.data_budgets == (100, 200, 400)
        assert trial.spec.flops_budgets == (1e6, 1e9)
        assert trial.spec.structures == 400
        assert trial.data == 400
    small = result.trials[0]
    assert small.params == 100 * 8**2
    assert small.flops == 6 * 6400 * 400  # 1.5e7: it reaches 1e6 and not 1e9
    assert small.points == 4
    assert small.device_seconds == pytest.approx(1e-6 * 6400 * 400)


def test_cosine_has_a_trajectory_for_each_budget_that_the_data_lasts_for(make_space: SpaceMaker) -> None:
    grid = {"structures": [100, 400, 200], "flops": [1e6, 1e9], "seeds": [0, 1]}
    space = make_space(grid=grid, learning_rate=RATES, training={"optimizer": {"name": "cosine"}})
    trials = [t for t in plan(space).trials if t.family == "a" and t.size == {"width": 8} and t.seed == 1]
    budgets = [(t.spec.data_budgets, t.spec.flops_budgets) for t in trials if t.spec]
    assert budgets == [((100,), ()), ((200,), ()), ((400,), ()), ((), (1e6,))]  # 1e9 FLOPs are never reached
    assert {t.spec.structures for t in trials if t.spec} == {400}  # all on one subset, in one order
    assert [t.data for t in trials] == pytest.approx([100, 200, 400, 1e6 / (6 * 6400)])
    assert [t.flops for t in trials] == pytest.approx([6 * 6400 * n for n in (100, 200, 400)] + [1e6])
    assert [t.points for t in trials] == [1, 1, 1, 1]
    assert len({t.spec.trial_id for t in trials if t.spec}) == 4


def test_wsd_pays_for_the_decay_to_every_budget_besides_the_longest(make_space: SpaceMaker) -> None:
    grid = {"structures": [100, 400, 200], "flops": [1e6, 1e9]}
    optimizer = {"name": "wsd", "decay_share": 0.25}
    (trial, *_) = plan(make_space(grid=grid, learning_rate=RATES, training={"optimizer": optimizer})).trials
    assert (trial.data, trial.points) == (400, 4)
    assert trial.flops == pytest.approx(6 * 6400 * (400 + 0.25 * (100 + 200)) + 0.25 * 1e6)
    assert trial.device_seconds == pytest.approx(1e-6 * trial.flops / 6)


@pytest.mark.parametrize(
    ("gpu", "entrypoint", "idle_"),
    [(8, None, "7"), (2, None, "1"), (8, "mine:train", None), (1, None, None), (0.5, None, None), ("auto", None, None)],
)
def test_gpus_that_a_trial_reserves_and_does_not_use_are_named(
    gpu: float | str, entrypoint: str | None, idle_: str | None
) -> None:
    found = idle(Resources(gpu=gpu), entrypoint)
    assert (found is None) == (idle_ is None)
    if found is not None:
        assert f"{idle_} of them stay idle; give gpu: 1, so that {gpu} trials run side by side" in found


def test_plan_before_tuning_has_no_ids_and_says_so(make_space: SpaceMaker) -> None:
    result = plan(make_space())
    assert not result.tuned
    assert result.tuning_trials == 12
    assert all(trial.spec is None for trial in result.trials)
    assert "to be tuned" in result.table()
    assert "before them 12 learning-rate trials" in result.table()
    content = json.loads(json.dumps(result.to_dict()))
    assert content["totals"] == {
        "trajectories": 4, "done": 0, "points": 12, "flops": pytest.approx(6 * 400 * 100 * (64 + 256 + 64 + 144)),
        "device_seconds": pytest.approx(1e-6 * 400 * 100 * 528), "disk_bytes": pytest.approx(24 * 100 * 528),
    }  # fmt: skip
    assert content["trials"][0]["trial_id"] is None


@pytest.mark.parametrize(("keep", "more"), [("last", 0), ("best", 1), ("all", 3)])
def test_disk_counts_the_weights_that_are_kept(keep: str, more: int, make_space: SpaceMaker) -> None:
    totals = plan(make_space(keep_weights=keep)).to_dict()["totals"]
    assert totals["disk_bytes"] == pytest.approx(4 * (6 + more) * 100 * 528)  # type: ignore[index]


def test_rates_that_are_given_are_said_before_the_data_is_made(make_space: SpaceMaker, tmp_path: Path) -> None:
    space = make_space(
        entrypoint=None, data={"store": str(tmp_path / "absent"), "make": {"structures": 4000}},
        families={"a": {"architecture": "mpnn", "sizes": {"width": [8, 16]}},
                  "b": {"architecture": "egnn", "sizes": {"width": [8]}}},
        learning_rate={"rates": {"a": 0.0123}, "low": 1e-3, "high": 1e-1, "structures": 90},
    )  # fmt: skip
    found = plan(space)
    assert [trial.learning_rate for trial in found.trials] == [0.0123, 0.0123, None]
    assert [trial.spec for trial in found.trials] == [None] * 3
    assert not found.tuned
    rows = [line.split() for line in found.table().splitlines()[1:4]]
    assert [row[-1] for row in rows] == ["0.0123", "0.0123", "tuned"]
    given = plan(space.model_copy(update={"learning_rate": LearningRate(rates={"a": 0.0123, "b": 0.04})})).to_dict()
    assert given["tuned"] is True
    assert [row["learning_rate"] for row in given["trials"]] == [0.0123, 0.0123, 0.04]  # type: ignore[attr-defined]
    assert [row["trial_id"] for row in given["trials"]] == [None] * 3  # type: ignore[attr-defined]


def test_families_that_are_the_same_work_share_their_trials(make_space: SpaceMaker) -> None:
    family = {"architecture": "toy", "sizes": {"width": [8, 16]}}
    wider = {"architecture": "toy", "sizes": {"width": [8, 32]}}
    space = make_space(families={"a": family, "b": wider}, learning_rate={"rates": {"a": 0.02, "b": 0.02}})
    result = plan(space)
    assert len(result.trials) == 4
    assert len({trial.spec.trial_id for trial in result.trials if trial.spec}) == 3
    assert [row.family for row in result.assignments()] == ["a", "a", "b", "b"]


def test_done_trials_are_counted_and_costs_are_measured_once(
    make_space: SpaceMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = make_space(learning_rate=RATES)
    first = plan(space).trials[0].spec
    assert first is not None
    store = TrialStore(space.storage)
    store.end(store.begin(first), TrialState.DONE, list(toy_trials.train(first, None, checkpoints=None, device=None)))
    monkeypatch.setattr(toy_trials.train, "cost", lambda *_: pytest.fail("measured twice"))
    result = plan(space)
    assert [trial.state for trial in result.trials] == [TrialState.DONE] + [TrialState.PLANNED] * 3
    assert result.to_dict()["totals"]["done"] == 1  # type: ignore[index]
    assert "4 trajectories, 1 done" in result.table()


def test_budgets_are_the_exact_atoms_of_the_subsets() -> None:
    facts = DataFacts("f", 6, np.cumsum([3, 5, 4, 9, 2, 7]))
    assert [facts.atoms(n, 6) for n in (1, 2, 6)] == [3, 8, 30]
    # two passes over a subset of three: the fourth structure seen is the first one again
    assert [facts.atoms(n, 3) for n in (1, 3, 4, 6)] == [3, 12, 15, 24]


def test_more_structures_than_the_store_has_are_refused(make_space: SpaceMaker) -> None:
    space = make_space(learning_rate=RATES)
    facts = DataFacts("f", 300, np.arange(1, 301))
    with pytest.raises(SpaceError, match=r"toy.yaml:\d+: grid.structures: 400 structures .* the store has 300"):
        make_plan(space, facts, {("a", '{"width": 8}'): 0.02}, measure=False)


def test_ids_do_not_depend_on_the_storage_and_do_on_the_work(make_space: SpaceMaker, tmp_path: Path) -> None:
    def ids(**changes: object) -> set[str]:
        return {t.spec.trial_id for t in plan(make_space(learning_rate=RATES, **changes)).trials if t.spec}

    assert ids() == ids(storage=str(tmp_path / "elsewhere"), name="other", resources={"cpu": 2})
    for changes in (
        {"training": {"batch_atoms": 64}},
        {"forces": "conservative"},
        {"grid": {"structures": [100, 200]}},
    ):
        assert not ids() & ids(**changes)


def test_ten_thousand_trials_are_planned_in_five_seconds(make_space: SpaceMaker) -> None:
    widths = list(range(1, 1001))
    families = {"a": {"architecture": "toy", "sizes": {"width": widths}}}
    space = make_space(
        families=families, grid={"structures": [100, 200, 400], "seeds": list(range(10))},
        learning_rate={"rates": {"a": 0.02}},
    )  # fmt: skip
    facts = data_facts(space)
    assert facts is not None
    began = time.perf_counter()
    rates = {("a", json.dumps(size)): 0.02 for size in ({"width": 1},)}
    result = make_plan(space, facts, rates, measure=False)
    assert time.perf_counter() - began < 5
    assert len({trial.spec.trial_id for trial in result.trials if trial.spec}) == 10_000
