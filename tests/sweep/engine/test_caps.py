"""Caps: what counts, what stops a sweep, and that it goes on to the points of one without caps."""

import os
from pathlib import Path

import pytest
import toy_trials
from rich.console import Console
from toy_sweep import Recorder, SpaceMaker

from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.engine import caps
from raysweep.sweep.engine.caps import CapReachedError, Spending
from raysweep.sweep.run import run

RATES = {"rates": {"a": 0.02, "b": 0.02}}
SPEC = TrialSpec(
    architecture="toy", size={"width": 8}, fingerprint="none", structures=100, data_budgets=(10.0, 100.0),
    learning_rate=0.02,
)  # fmt: skip


def test_flops_of_this_run_and_of_earlier_ones_count_once(make_space: SpaceMaker) -> None:
    points = list(toy_trials.train(SPEC, None, checkpoints=None, device=None))
    space = make_space(caps={"flops": 1.5 * points[-1].flops})
    store = TrialStore(space.storage)
    store.end(store.begin(SPEC), TrialState.CANCELLED, points)
    spending = Spending(space.caps, store)
    assert spending.reached() is None
    spending.began(SPEC.trial_id)
    spending.point(SPEC.trial_id, points[0])  # told again after the resume
    assert spending.reached() is None
    spending.began("0" * 16)
    spending.point("0" * 16, points[1])
    reached = str(spending.reached())
    assert f"caps.flops = {1.5 * points[-1].flops:g} is reached: {2 * points[-1].flops:.4g}" in reached
    assert f"caps.flops={3 * points[-1].flops:g} on the command line" in reached


def test_device_hours_are_wall_clock_where_points_have_no_seconds(
    make_space: SpaceMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(caps.time, "monotonic", lambda: now)
    space = make_space(caps={"device_hours": 1})
    spending = Spending(space.caps, TrialStore(space.storage))
    point = next(toy_trials.train(SPEC, None, checkpoints=None, device=None))
    for trial_id in ("0" * 16, "1" * 16):
        spending.began(trial_id)
    now = 1700.0
    spending.point("0" * 16, point)
    assert spending.reached() is None
    now = 1900.0
    spending.point("1" * 16, point)
    assert "caps.device_hours = 1 is reached: 1 device hours" in str(spending.reached())


def test_hours_trials_and_disk_have_caps_of_their_own(make_space: SpaceMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make_space(caps={"hours": 1, "trials": 1, "disk_gigabytes": 1e-5})
    store = TrialStore(space.storage)
    spending = Spending(space.caps, store)
    assert spending.full(SPEC.trial_id) is None
    spending.began(SPEC.trial_id)
    assert spending.full(SPEC.trial_id) is None  # begun: it may go on
    assert "caps.trials = 1 is reached" in str(spending.full("0" * 16))
    assert spending.reached() is None
    store.write_bytes("large", os.urandom(20_000))
    monkeypatch.setattr(caps, "DISK_EVERY_SECONDS", -1.0)
    assert "caps.disk_gigabytes = 1e-05 is reached: 2e-05 GB" in str(spending.reached())
    later = caps.time.monotonic() + 3601
    monkeypatch.setattr(caps.time, "monotonic", lambda: later)
    assert "hours of this run" in str(spending.reached())


@pytest.mark.usefixtures("one_ray")
def test_sweep_stops_at_its_cap_and_goes_on_to_the_same_points(
    make_space: SpaceMaker, console: Console, tmp_path: Path
) -> None:
    whole = run(make_space(storage=str(tmp_path / "whole"), learning_rate=RATES), console=console)
    flops = sum(whole.table().group_by("trial_id").aggregate([("flops", "max")])["flops_max"].to_pylist())
    recorder = Recorder()
    with pytest.raises(CapReachedError, match=r"caps\.flops = .* is reached: .* Everything is kept") as stopped:
        run(make_space(learning_rate=RATES, caps={"flops": flops / 4}), mirror=lambda _: recorder)
    assert stopped.value.exit_code == 130
    store = TrialStore(str(tmp_path / "sweep"))
    states = {store.state(trial_id) for trial_id in store.ids()}
    assert states <= {TrialState.DONE, TrialState.CANCELLED}
    assert len(store.ids()) < 4 or TrialState.CANCELLED in states
    assert set(recorder.ended) == set(store.ids())
    for trial_id, (state, _) in recorder.ended.items():  # a worker may reach its end while it is told to stop
        assert state == store.state(trial_id) or store.state(trial_id) == TrialState.DONE
    assert not (tmp_path / "sweep" / "driver.json").exists()
    assert (tmp_path / "sweep" / "points.parquet").exists()

    with pytest.raises(CapReachedError, match=r"caps\.trials = "):
        run(make_space(learning_rate=RATES, caps={"trials": 3}), console=console)
    assert len(store.ids()) == 3
    assert {store.state(trial_id) for trial_id in store.ids()} == {TrialState.DONE}
    result = run(make_space(learning_rate=RATES, caps={"flops": 2 * flops}), console=console)
    assert result.complete
    assert result.table().equals(whole.table())
