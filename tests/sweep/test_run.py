"""A sweep in Ray Tune, both stages, with a training that costs nothing."""

import hashlib
import json
import math
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import toy_trials
from rich.console import Console
from toy_sweep import Recorder, SpaceMaker

from raysweep.core.errors import RaysweepError, SpaceError
from raysweep.core.points import ADDED, TIMED
from raysweep.core.trial import TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.plan.costs import Cost
from raysweep.sweep.run import run

GOLDEN_TABLE = "0dcd00d598009daaa93ffab91323be329979888bda2aa3e2143135ba810178f8"
"""Of the toy sweep's points: a refactor must not change it (see tests/golden)."""


def digest(table: pd.DataFrame) -> str:
    """Digest the first columns of a table that are a function of its sweep, its rows in order of trial and budget."""
    columns = [name for name in table.columns if name not in (*TIMED, *ADDED)]
    rows = table[columns].sort_values(["trial_id", "stage", "budget"]).itertuples(index=False)
    text = "\n".join(",".join(f"{v:.9g}" if isinstance(v, float) else str(v) for v in row) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.usefixtures("one_ray")
def test_sweep_runs_both_stages_and_a_second_run_does_nothing(make_space: SpaceMaker, console: Console) -> None:
    space, recorder = make_space(), Recorder()
    result = run(space, mirror=lambda _: recorder, console=console)

    assert result.complete
    assert result.count(TrialState.FAILED) == 0
    table = result.table().to_pandas()
    grid = table[table.stage == "grid"]
    assert len(grid) == 2 * 2 * 3  # families × sizes × budgets
    assert sorted(grid.data.unique()) == [100.0, 200.0, 400.0]
    assert grid.groupby("family").learning_rate.nunique().to_dict() == {"a": 1, "b": 1}
    rates = grid.groupby("family").learning_rate.first()
    assert all(abs(math.log(rate / toy_trials.BEST_RATE)) < math.log(2) for rate in rates)
    tuning = table[table.stage == "learning_rate"]
    assert result.count(TrialState.STOPPED) >= 4
    assert set(tuning.data.unique()) == {10.0, 30.0, 90.0}

    # What the listener heard is what the store holds, to the last digit.
    heard = {i: [p.loss for p in points] for i, points in recorder.points.items()}
    kept = table.drop_duplicates(["trial_id", "budget"]).groupby("trial_id").loss.apply(list).to_dict()
    assert heard == kept
    assert {i: state for i, (state, _) in recorder.ended.items()} == result.states
    assert recorder.closed == 1
    assert pq.read_table(Path(space.storage) / "points.parquet").equals(result.table())
    assert digest(table) == GOLDEN_TABLE

    files = {p: p.stat().st_mtime_ns for p in Path(space.storage).rglob("*.*") if p.name != ".driver.json.guard"}
    again = run(space, mirror=lambda _: pytest.fail("nothing to mirror"), console=console)
    assert again.ran == 0
    assert again.seconds < 5
    assert again.table().equals(result.table())
    assert {p: p.stat().st_mtime_ns for p in files} == files

    more = run(make_space(grid={"structures": [100, 200, 400], "seeds": [0, 1]}), console=console)
    assert more.ran == 4  # the new seed of each family and size; the tuned rates and the old trials stay
    old = {(p.parent.name, p.name) for p in files}
    assert ("trials", result.plan.trials[0].spec.trial_id) not in old
    assert {t: s for t, s in more.states.items() if t in result.states} == result.states


@pytest.mark.usefixtures("one_ray")
def test_each_bad_end_is_a_state_of_its_own_and_others_are_untouched(make_space: SpaceMaker, console: Console) -> None:
    ways = {"good": "well", "bug": "raise", "inf": "diverge", "nan": "nan", "dead": "exit", "hurt": "exit-once"}
    ways |= {"big": "memory", "stuck": "hang"}
    families = {k: {"architecture": "toy", "sizes": [{"width": 8, "how": how}]} for k, how in ways.items()}
    space = make_space(
        families=families,
        learning_rate={"rates": dict.fromkeys(ways, 0.02)},
        resources={"max_failures": 1, "stall_seconds": 8},
    )
    recorder = Recorder()
    result = run(space, mirror=lambda _: recorder, console=console)

    family_of = {trial.spec.trial_id: trial.family for trial in result.plan.trials if trial.spec}
    states = {family_of[trial_id]: state for trial_id, state in result.states.items()}
    assert states == {
        "good": TrialState.DONE,
        "bug": TrialState.FAILED,
        "inf": TrialState.DIVERGED,
        "nan": TrialState.DIVERGED,
        "dead": TrialState.FAILED,
        "hurt": TrialState.DONE,
        "big": TrialState.OUT_OF_MEMORY,
        "stuck": TrialState.TIMED_OUT,
    }
    assert not result.complete
    store = TrialStore(space.storage)
    messages = {family_of[i]: store.record(i).message or "" for i in store.ids()}
    assert "ValueError: a bug in the training" in messages["bug"]
    assert "the loss is inf" in messages["inf"]
    assert "the loss is nan" in messages["nan"]
    assert "its worker died 2 times" in messages["dead"]
    assert "MemoryError: 42 GiB" in messages["big"]
    assert "no point came for 8 s (resources.stall_seconds); its stack" in messages["stuck"]
    assert "time.sleep(3600)" in messages["stuck"]
    counts = {family_of[i]: store.points(i).num_rows for i in store.ids()}
    assert counts == {"good": 3, "bug": 1, "inf": 1, "nan": 1, "dead": 1, "hurt": 3, "big": 1, "stuck": 1}
    attempts = {family_of[i]: store.record(i).attempt for i in store.ids()}
    assert attempts == {"good": 1, "bug": 1, "inf": 1, "nan": 1, "dead": 2, "hurt": 2, "big": 2, "stuck": 1}
    hurt = next(i for i in store.ids() if family_of[i] == "hurt")
    assert Path(store.checkpoints(hurt), "worked.txt").read_text().split() == ["0", "1", "2"]  # from its checkpoint
    assert [point.loss for point in recorder.points[hurt]] == store.points(hurt)["loss"].to_pylist()
    assert {family_of[i]: state for i, (state, _) in recorder.ended.items()} == states


@pytest.mark.usefixtures("one_ray")
def test_failures_are_tried_again_and_divergence_is_a_result(make_space: SpaceMaker, console: Console) -> None:
    ways = {"good": "well", "bug": "raise", "nan": "nan"}
    families = {k: {"architecture": "toy", "sizes": [{"width": 8, "how": how}]} for k, how in ways.items()}
    space = make_space(families=families, learning_rate={"rates": dict.fromkeys(ways, 0.02)})
    assert run(space, console=console).ran == 3
    assert run(space, console=console).ran == 1


@pytest.mark.usefixtures("one_ray")
def test_trials_share_a_gpu_by_the_memory_that_was_measured(make_space: SpaceMaker, console: Console) -> None:
    space = make_space(
        entrypoint="toy_trials:on_a_gpu",
        families={"a": {"architecture": "toy", "sizes": {"width": [9, 30]}}},
        learning_rate={"rates": {"a": 0.02}},
        resources={"cpu": 0.5, "gpu": "auto"},
    )
    result = run(space, console=console)
    assert result.complete
    store = TrialStore(space.storage)
    held = {
        int(t.size["width"]): json.loads(Path(store.checkpoints(t.spec.trial_id), "held.json").read_text())
        for t in result.plan.trials
        if t.spec
    }
    assert {width: what["GPU"] for width, what in held.items()} == {9: pytest.approx(1 / 3, abs=1e-3), 30: 1.0}
    assert Cost(1, 1.0, 1.0).gpu_share == 1.0  # where memory was not measured
    assert Cost(1, 1.0, 1.0, 10**6, 10**11).gpu_share == 1 / 16


def test_relative_storage_means_the_drivers_folder(
    make_space: SpaceMaker, console: Console, one_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = make_space(storage="runs/here", learning_rate={"rates": {"a": 0.02, "b": 0.02}})
    assert run(space, console=console).complete
    assert len(list(tmp_path.glob("runs/here/trials/*/checkpoints/*/toy.json"))) == 4


def test_storage_that_cannot_be_written_is_named(make_space: SpaceMaker, console: Console, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RaysweepError, match=r"storage .*/file is a file, not a folder; give another one"):
        run(make_space(storage=str(tmp_path / "file")), console=console)


def test_trial_that_no_node_can_hold_is_refused(make_space: SpaceMaker, console: Console, one_ray: None) -> None:
    with pytest.raises(SpaceError, match=r"resources.cpu: a trial requests 999 CPU and no node has more than 2"):
        run(make_space(resources={"cpu": 999}), console=console)


def test_entrypoint_that_does_not_exist_is_refused_before_any_trial(make_space: SpaceMaker, console: Console) -> None:
    space = make_space(entrypoint="toy_trials:trian")
    with pytest.raises(RaysweepError, match="trian"):
        run(space, console=console)
    assert TrialStore(space.storage).ids() == []


def test_planning_imports_neither_ray_nor_torch() -> None:
    import subprocess

    code = (
        "import sys, raysweep.sweep.run, raysweep.sweep.engine.trainable; "
        "print({'ray', 'torch', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


@pytest.mark.usefixtures("one_ray")
def test_worker_that_stands_still_is_ended_by_the_driver(
    make_space: SpaceMaker, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raysweep.sweep.engine import dispatch

    monkeypatch.setattr(dispatch, "LATE_SECONDS", 2.0)
    space = make_space(
        families={"a": {"architecture": "toy", "sizes": [{"width": 8, "how": "stop"}]}},
        learning_rate={"rates": {"a": 0.02}},
        resources={"max_failures": 0, "stall_seconds": 5},
    )
    result = run(space, console=console)
    assert list(result.states.values()) == [TrialState.TIMED_OUT]
    (record,) = [TrialStore(space.storage).record(trial_id) for trial_id in result.states]
    assert "no point came for 5 s (resources.stall_seconds); Python itself did not respond" in record.message
