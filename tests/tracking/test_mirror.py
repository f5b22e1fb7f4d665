"""The live mirror: fast for its caller, whole after kills, patient with an absent server."""

import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from sweeps import assert_metrics, runs, table_of, tell, trial_runs, view

import raysweep
from raysweep.core.trial import TrialState
from raysweep.tracking.mlflow import MlflowMirror, TrialView, read_points, sync


def wait_for(text: str, log: Path, seconds: float = 60) -> None:
    """Wait until the mirror has logged a text."""
    until = time.monotonic() + seconds
    while not (log.exists() and text in log.read_text()):
        assert time.monotonic() < until, f"not logged: {text}"
        time.sleep(0.05)


def drive(mirror: MlflowMirror, views: list[TrialView]) -> None:
    """Tell the mirror of the trials side by side, a step of each in turn."""
    tales = [tell(mirror, trial) for trial in views]
    while tales:
        tales = [tale for tale in tales if next(tale, "over") != "over"]


def test_what_was_told_stands_in_mlflow_and_telling_takes_no_time(uri: str, tmp_path: Path) -> None:
    views = [view(0), view(1, TrialState.DIVERGED), view(2, stage="learning_rate")]
    mirror = MlflowMirror(uri, "some", "toy", log=tmp_path / "logs" / "mlflow.log")
    began, busy = time.monotonic(), time.thread_time()
    drive(mirror, views)
    assert time.thread_time() - busy < 0.1
    assert time.monotonic() - began < 5, "the caller had to wait"
    mirror.close()
    assert read_points("some", uri).equals(table_of(views), check_metadata=True)
    trials = trial_runs(uri, "some")
    for trial in views:
        assert_metrics(uri, trials[trial.trial_id], trial.points)
        assert trials[trial.trial_id].data.params == dict(trial.params) | {"params": str(trial.points[0].params)}
        assert trials[trial.trial_id].data.tags["raysweep.code"].startswith(raysweep.__version__)
    assert Counter(run.info.status for run in runs(uri, "some")) == {"FINISHED": 5, "KILLED": 1}
    assert not (tmp_path / "mlruns").exists()

    # The store's own times come later, and are close enough: sync after a mirror that heard all changes nothing.
    assert sync(views, tracking_uri=uri, experiment="some", sweep_name="toy").equal


def test_points_are_seen_while_the_sweep_runs(uri: str) -> None:
    mirror = MlflowMirror(uri, "some", "toy")
    trial = view(0)
    tale = tell(mirror, trial)
    for _ in range(3):
        next(tale)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        time.sleep(0.2)
        try:
            run = trial_runs(uri, "some")[trial.trial_id]
        except (AttributeError, KeyError):  # no experiment yet, or no run in it
            continue
        if run.data.metrics:
            break
    assert run.info.status == "RUNNING"
    assert_metrics(uri, run, trial.points[:2])
    assert read_points("some", uri).num_rows == 0  # for the trial has not ended
    mirror.close()  # as after SIGINT: the trial is without an end
    run = trial_runs(uri, "some")[trial.trial_id]
    assert (run.info.status, run.data.tags["raysweep.state"]) == ("KILLED", "interrupted")
    assert_metrics(uri, run, trial.points[:2])

    again = MlflowMirror(uri, "some", "toy")
    drive(again, [trial])
    again.close()
    reopened = trial_runs(uri, "some")[trial.trial_id]
    assert (reopened.info.run_id, reopened.info.status) == (run.info.run_id, "FINISHED")
    assert_metrics(uri, reopened, trial.points)


def test_driver_killed_twice_leaves_no_run_doubled_or_running(uri: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", str(Path(__file__).parent / "killed.py"), uri, str(tmp_path / "log")]
    views = [view(i, count=8) for i in range(6)]
    for steps in (25, 45):  # in the middle of the third trial, and of the fifth
        with subprocess.Popen([*command, str(steps)], stdout=subprocess.PIPE, text=True) as driver:
            assert driver.stdout is not None
            assert [driver.stdout.readline() for _ in range(2)] == ["begun\n", "standing\n"]
            until = time.monotonic() + 120  # till MLflow is imported there and has the first news
            while not (begun := _run_ids(uri)) and time.monotonic() < until:
                time.sleep(0.02)
            driver.kill()
    assert len(begun) >= 1
    assert {run.info.status for run in runs(uri, "some")} >= {"RUNNING"}
    done = subprocess.run([*command, "0"], capture_output=True, text=True, timeout=250, check=True)
    assert done.stdout == "begun\nclosed\n"
    assert done.stderr == ""
    assert len(runs(uri, "some")) == 1 + 1 + len(views)
    assert {run.info.status for run in runs(uri, "some")} == {"FINISHED"}
    assert begun <= _run_ids(uri)  # reopened, not made anew
    for trial in views:
        assert_metrics(uri, trial_runs(uri, "some")[trial.trial_id], trial.points)
    assert read_points("some", uri).equals(table_of(views))


def _run_ids(uri: str) -> set[str]:
    try:
        return {run.info.run_id for run in trial_runs(uri, "some").values()}
    except AttributeError:  # no experiment yet
        return set()


def test_trial_that_ran_in_one_stage_is_not_hidden_from_another(uri: str) -> None:
    for stage in ("learning_rate", "grid"):
        mirror = MlflowMirror(uri, "some", "toy")
        drive(mirror, [view(0, stage=stage)])
        mirror.close()
    both = replace(view(0), serves=(("learning_rate", "mpnn"), ("grid", "mpnn")))
    assert len(trial_runs(uri, "some")) == 1
    assert read_points("some", uri).equals(table_of([both]))


def test_absent_server_costs_nothing_and_is_said_once(tmp_path: Path) -> None:
    log = tmp_path / "mlflow.log"
    mirror = MlflowMirror("http://127.0.0.1:9", "some", "toy", log=log)
    began = time.monotonic()
    drive(mirror, [view(i) for i in range(50)])
    assert time.monotonic() - began < 5
    wait_for("cannot be written to", log)
    began = time.monotonic()
    mirror.close()
    assert time.monotonic() - began < 10, "a driver that is stopped has ten seconds"
    text = log.read_text()
    assert text.count("cannot be written to; trials go on") == 1
    assert text.splitlines()[0].endswith("kept until it is back: Connection refused")
    assert text.count("lacks updates of 50 trials; `raysweep sync` writes them") == 1
    assert len(text.splitlines()) == 2


def test_database_that_comes_back_has_all(uri: str, tmp_path: Path) -> None:
    folder, blocked, ready = (tmp_path / name for name in ("away", "blocked", "ready"))
    blocked.write_text("a file where a folder should be")
    folder.symlink_to(blocked)
    ready.mkdir()
    (ready / "mlflow.db").write_bytes((tmp_path / "mlflow.db").read_bytes())
    (tmp_path / "link").symlink_to(ready)
    views = [view(i) for i in range(3)]
    mirror = MlflowMirror(f"sqlite:///{folder / 'mlflow.db'}", "some", "toy", log=tmp_path / "log")
    drive(mirror, views[:2])
    wait_for("cannot be written to", tmp_path / "log")
    (tmp_path / "link").replace(folder)  # at once: the mirror may look at any moment
    drive(mirror, views[2:])
    mirror.close()
    assert read_points("some", f"sqlite:///{folder / 'mlflow.db'}").equals(table_of(views))
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 2, lines
    assert "cannot be written to" in lines[0]
    assert "is back and up to date" in lines[1]


def test_mirror_that_hears_nothing_touches_nothing(tmp_path: Path) -> None:
    mirror = MlflowMirror(f"sqlite:///{tmp_path / 'new.db'}", "some", "toy")
    mirror.close()
    assert list(tmp_path.iterdir()) == []


def test_refused_trial_does_not_hold_up_the_others(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in ("_FIRST_PAUSE_S", "_GATHER_S"):
        monkeypatch.setattr(f"raysweep.tracking.mirror.{seconds}", 0.1)
    refused = replace(view(0), points=[replace(p, data=float(2**70)) for p in view(0).points])  # beyond any step
    mirror = MlflowMirror(uri, "some", "toy", log=tmp_path / "log")
    drive(mirror, [refused, view(1)])
    wait_for(f"MLflow refuses trial {refused.trial_id}", tmp_path / "log")  # `close` gives up on an MLflow that refuses
    mirror.close(timeout=40)
    assert (tmp_path / "log").read_text().count("MLflow refuses trial") == 1
    # The text is exact where MLflow cannot hold a metric.
    assert read_points("some", uri).equals(table_of([refused, view(1)]))
