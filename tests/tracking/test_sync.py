"""MLflow is made equal to the trial store, and read back to the last digit."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from sweeps import assert_metrics, metric_rows, runs, slower, table_of, trial_runs, view

from raysweep.core.errors import TrackingError
from raysweep.core.trial import TrialState
from raysweep.tracking.mlflow import Report, SyncResult, TrialView, read_points, sync


def to_mlflow(views: list[TrialView], uri: str, **options: bool) -> SyncResult:
    return sync(views, tracking_uri=uri, experiment="some", sweep_name="toy", **options)


def test_points_come_back_equal_and_a_second_sync_changes_nothing(uri: str) -> None:
    views = [view(0), view(1, TrialState.DIVERGED), view(2, TrialState.STOPPED, 3, "learning_rate")]
    first = to_mlflow(views, uri)
    assert (first.trials, first.created, first.removed) == (3, 3 + 2 + 1, 0)
    table = read_points("some", uri)
    assert table.num_rows == 4 + 4 + 3
    assert table.equals(table_of(views), check_metadata=True)

    again = to_mlflow(views, uri)
    assert again.equal
    assert (again.trials, again.created, again.changed, again.removed) == (3, 0, 0, 0)
    for trial in views:
        run = trial_runs(uri, "some")[trial.trial_id]
        assert_metrics(uri, run, trial.points, at_once=True)
        steps = Counter(key for key, _, _ in metric_rows(uri, run))
        assert (steps["loss"], steps["flops"], steps["optimizer_steps"]) == (2, 2, 2)  # two points share each step
        assert steps["data"] == 1  # a line that shows nothing: the last value alone, for the table of runs


def test_runs_are_nested_and_tell_what_they_are(uri: str) -> None:
    views = [view(0), view(1, TrialState.DIVERGED), view(2, TrialState.FAILED), view(3, stage="learning_rate")]
    to_mlflow(views, uri)
    by_kind = {
        kind: [r for r in runs(uri, "some") if r.data.tags["raysweep.kind"] == kind] for kind in ("sweep", "stage")
    }
    (root,) = by_kind["sweep"]
    assert (root.info.run_name, root.info.status) == ("toy", "FAILED")  # since a trial of it failed
    assert root.data.tags["raysweep.trials"] == "1 diverged, 2 done, 1 failed"
    assert "| mpnn | 4 | 16 | 0.1429 |" in root.data.tags["mlflow.note.content"]
    stages = {run.data.tags["raysweep.stage"]: run for run in by_kind["stage"]}
    assert {s: (r.info.run_name, r.info.status) for s, r in stages.items()} == {
        "learning_rate": ("1 learning rate", "FINISHED"),
        "grid": ("2 grid", "FAILED"),
    }
    assert {r.data.tags["mlflow.parentRunId"] for r in stages.values()} == {root.info.run_id}
    trials = trial_runs(uri, "some")
    for trial in views:
        run = trials[trial.trial_id]
        assert run.data.tags["mlflow.parentRunId"] == stages[trial.serves[0][0]].info.run_id
        assert run.data.params == dict(trial.params) | {"params": str(trial.points[0].params)}
        assert run.data.tags["raysweep.fingerprint"] == "f" * 64
        assert run.data.tags["raysweep.family"] == "mpnn"
        assert (run.info.start_time, run.info.end_time) == (10**12, 10**12 + 60_000)
    names = {trials[v.trial_id].info.run_name for v in views}
    assert "mpnn width=8 lr=0.03333 seed=0 depth=2" in names
    assert len(names) == 4
    states = [(trials[v.trial_id].info.status, trials[v.trial_id].data.tags["raysweep.state"]) for v in views]
    assert states == [("FINISHED", "done"), ("KILLED", "diverged"), ("FAILED", "failed"), ("FINISHED", "done")]
    assert trials[views[1].trial_id].data.tags["raysweep.message"] == "the loss is nan"


def test_trial_that_serves_two_families_is_one_run_and_rows_of_both(uri: str) -> None:
    shared = replace(view(0), serves=(("grid", "a"), ("grid", "b"), ("learning_rate", "a")))
    to_mlflow([shared], uri)
    table = read_points("some", uri)
    assert len(trial_runs(uri, "some")) == 1
    assert table.equals(table_of([shared]))
    assert Counter(zip(table["stage"].to_pylist(), table["family"].to_pylist(), strict=True)) == dict.fromkeys(
        shared.serves, 4
    )


def test_run_that_lags_behind_is_completed(uri: str) -> None:
    to_mlflow([view(0, TrialState.FAILED, 1)], uri)
    before = trial_runs(uri, "some")[view(0).trial_id].info.run_id
    done = to_mlflow([view(0)], uri)
    run = trial_runs(uri, "some")[view(0).trial_id]
    assert (run.info.run_id, run.info.status, done.created, done.removed) == (before, "FINISHED", 0, 0)
    assert_metrics(uri, run, view(0).points)
    assert read_points("some", uri).equals(table_of([view(0)]))


@pytest.mark.parametrize("wrong", [slower(view(0)), view(0, count=2)], ids=["other seconds", "fewer points"])
def test_points_that_mlflow_cannot_unlearn_get_a_new_run(uri: str, wrong: TrialView) -> None:
    to_mlflow([view(0)], uri)
    done = to_mlflow([wrong], uri)
    assert (done.created, done.removed) == (1, 1)
    assert read_points("some", uri).equals(table_of([wrong]))
    assert_metrics(uri, trial_runs(uri, "some")[wrong.trial_id], wrong.points, at_once=True)


def test_damage_is_healed(uri: str) -> None:
    views = [view(i) for i in range(5)]
    to_mlflow(views, uri)
    client = MlflowClient(tracking_uri=uri)
    at = trial_runs(uri, "some")
    experiment = at[views[0].trial_id].info.experiment_id
    client.delete_run(at[views[0].trial_id].info.run_id)
    client.set_tag(at[views[1].trial_id].info.run_id, "mlflow.raysweep.points.0", "torn")
    client.create_run(
        experiment, tags=at[views[2].trial_id].data.tags | {"mlflow.raysweep.points.0": "torn"}
    )  # a duplicate
    client.update_run(at[views[3].trial_id].info.run_id, status="RUNNING")
    client.set_tag(at[views[4].trial_id].info.run_id, "raysweep.state", "running")
    with pytest.raises(TrackingError, match="torn"):
        read_points("some", uri)
    done = to_mlflow(views, uri)
    assert (done.created, done.removed) == (2, 2)
    assert {run.info.status for run in runs(uri, "some")} == {"FINISHED"}
    assert read_points("some", uri).equals(table_of(views))
    assert to_mlflow(views, uri).equal


def test_metrics_that_were_cut_off_after_their_text_are_written_once(uri: str) -> None:
    client = MlflowClient(tracking_uri=uri)
    to_mlflow([view(0)], uri)
    run = trial_runs(uri, "some")[view(0).trial_id]
    client.set_tag(run.info.run_id, "mlflow.raysweep.points_logged", "1")  # as if killed between the two writes
    assert to_mlflow([view(0)], uri).changed == 1
    assert_metrics(uri, run, view(0).points, at_once=True)


def test_trials_without_an_end_are_closed_and_not_read(uri: str) -> None:
    to_mlflow([view(0), view(1)], uri)
    unfinished = replace(view(1), state=TrialState.RUNNING, points=())
    client = MlflowClient(tracking_uri=uri)
    run_id = trial_runs(uri, "some")[unfinished.trial_id].info.run_id
    client.set_tag(run_id, "raysweep.state", "running")
    client.update_run(run_id, status="RUNNING")
    to_mlflow([view(0), unfinished], uri, live=True)
    assert client.get_run(run_id).info.status == "RUNNING"
    to_mlflow([view(0), unfinished], uri)
    orphan = client.get_run(run_id)
    assert (orphan.info.status, orphan.data.tags["raysweep.state"]) == ("KILLED", "interrupted")
    assert read_points("some", uri).equals(table_of([view(0)]))
    assert {r.info.status for r in runs(uri, "some") if r.data.tags["raysweep.kind"] == "sweep"} == {"KILLED"}
    assert to_mlflow([view(0), unfinished], uri).equal


def test_trials_that_left_the_sweep_are_not_read(uri: str) -> None:
    to_mlflow([view(0), view(1)], uri)
    to_mlflow([view(0)], uri)
    assert len(trial_runs(uri, "some")) == 2
    assert read_points("some", uri).equals(table_of([view(0)]))
    left = [view(0), replace(view(1), serves=()), replace(view(2), serves=(), state=TrialState.RUNNING)]
    assert to_mlflow(left, uri).equal
    assert len(trial_runs(uri, "some")) == 2
    assert {run.info.status for run in runs(uri, "some")} == {"FINISHED"}


def test_sweeps_of_one_name_in_one_experiment_leave_each_other_alone(uri: str) -> None:
    mine, theirs = [view(0)], [slower(view(0)), view(1)]
    for views, storage in ((mine, "/home/a"), (theirs, "/home/b")):
        done = sync(views, tracking_uri=uri, experiment="some", sweep_name="toy", storage=storage)
        assert done.removed == 0
    assert read_points("some", uri, storage="/home/a").equals(table_of(mine))
    assert read_points("some", uri, storage="/home/b", sweep_name="toy").equals(table_of(theirs))
    assert read_points("some", uri, sweep_name="another").num_rows == 0
    assert sorted(read_points("some", uri)["trial_id"].to_pylist()) == sorted(
        [view(0).trial_id] * 4 + [view(1).trial_id] * 4
    )


def test_hostile_names_and_values_are_written_escaped(uri: str) -> None:
    bad = {"../../x": "a\x00b", "size./etc": "é" * 10_000, "..": "dots", "ключ": "value", "k" * 10_000: "long"}
    hostile = replace(
        view(0), params=bad, tags=bad, message="\x1b[31m" + "x" * 10_000, serves=(("grid", "../\x07" * 50),)
    )
    to_mlflow([hostile], uri)
    assert to_mlflow([hostile], uri).equal
    run = trial_runs(uri, "some")[hostile.trial_id]
    assert "x" not in run.data.params
    assert run.data.params["_.._.._x"] == "a�b"
    assert run.data.params["_.."] == "dots"
    assert len(run.data.tags["raysweep.message"]) == 2000
    assert "\x1b" not in run.data.tags["raysweep.message"]
    assert read_points("some", uri).equals(table_of([hostile]))  # the table's own names stay exact


def test_deleted_experiment_is_restored(uri: str) -> None:
    to_mlflow([view(0)], uri)
    client = MlflowClient(tracking_uri=uri)
    client.delete_experiment(client.get_experiment_by_name("some").experiment_id)
    with pytest.raises(TrackingError, match="no experiment 'some'"):
        read_points("some", uri)
    to_mlflow([view(0)], uri)
    assert read_points("some", uri).equals(table_of([view(0)]))


def test_what_cannot_be_read_is_said(uri: str, tmp_path: Path) -> None:
    MlflowClient(tracking_uri=uri).create_experiment("foreign")
    with pytest.raises(TrackingError, match="holds no runs that raysweep wrote"):
        read_points("foreign", uri)
    with pytest.raises(TrackingError, match=r"no experiment 'x'; it has: Default, foreign"):
        read_points("x", uri)
    with pytest.raises(TrackingError, match=r"none\.db does not exist"):
        read_points("x", f"sqlite:///{tmp_path / 'none.db'}")
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(TrackingError, match="plain folders"):
        read_points("x", str(tmp_path))
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:9"):
        read_points("x", "http://127.0.0.1:9")


@pytest.mark.parametrize(
    "memory", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"]
)
def test_database_that_ends_with_the_command_is_refused(memory: str) -> None:
    with pytest.raises(TrackingError, match="is an in-memory database, which ends with the command"):
        to_mlflow([view(0)], memory)


def test_database_that_does_not_answer_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.store.db.utils

    def wait(seconds: float) -> None:
        raise AssertionError(f"waits for {seconds} s")

    monkeypatch.setattr(mlflow.store.db.utils.time, "sleep", wait)
    with pytest.raises(TrackingError, match="Connection refused") as told:
        read_points("x", "postgresql://joe:hidden@127.0.0.1:9/x")
    assert "\n" not in str(told.value)
    assert "hidden" not in str(told.value)


def test_points_of_any_number_and_length_fit_into_tags(uri: str) -> None:
    many = replace(view(0), points=[replace(p, size=json.dumps({"s": "x" * 500})) for p in view(0, count=120).points])
    to_mlflow([many], uri)
    assert read_points("some", uri).equals(table_of([many]))
    run = trial_runs(uri, "some")[many.trial_id]
    pieces = [value for key, value in run.data.tags.items() if key.startswith("mlflow.raysweep.points.")]
    assert len(pieces) >= 3
    assert max(map(len, pieces)) <= 4800
    assert_metrics(uri, run, many.points, at_once=True)


def test_large_experiments_are_read_in_parts_with_the_same_result(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    views = [view(i) for i in range(5)] + [view(5, TrialState.DIVERGED)]
    to_mlflow(views, uri)
    whole = read_points("some", uri)
    for page in ("_FIRST_PAGE", "_PAGE"):  # more than the first page: then by parts of trial ids, page by page
        monkeypatch.setattr(f"raysweep.tracking.entries.{page}", 2)
    assert read_points("some", uri).equals(whole)
    assert to_mlflow(views, uri).equal  # the runs of the sweep and its stage are found, too


def test_report_stands_among_the_artifacts_of_the_sweeps_run_once(uri: str, tmp_path: Path) -> None:
    report = Report({"report.html": b"<html></html>", "frontier.png": b"\x89PNG"})
    place = {"tracking_uri": uri, "experiment": "some", "sweep_name": "toy"}
    sync([view(0)], **place, report=report)
    assert sync([view(0)], **place, report=report).equal
    (root,) = (run for run in runs(uri, "some") if run.data.tags["raysweep.kind"] == "sweep")
    client = MlflowClient(tracking_uri=uri)
    assert [f.path for f in client.list_artifacts(root.info.run_id, "report")] == [
        "report/frontier.png",
        "report/report.html",
    ]
    changed = Report({"report.html": b"<html>more</html>"})
    assert not sync([view(0)], **place, report=changed).equal
    kept = client.download_artifacts(root.info.run_id, "report/report.html", str(tmp_path))
    assert Path(kept).read_bytes() == b"<html>more</html>"
