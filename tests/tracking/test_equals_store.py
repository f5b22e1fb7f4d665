"""The trial store is the truth: what MLflow gives back is its table."""

from pathlib import Path

from sweeps import points, spec

from raysweep.core.trial import TrialState
from raysweep.frontier.points.readers import read_mlflow, read_store
from raysweep.storage.trial_store import Assignment, TrialStore
from raysweep.sweep.mlflow.views import trial_views
from raysweep.tracking.mlflow import canonical, read_points, sync


def test_mlflow_gives_back_the_trial_store_s_table(uri: str, tmp_path: Path) -> None:
    store = TrialStore(str(tmp_path / "sweep"))
    ends = [TrialState.DONE, TrialState.DIVERGED, TrialState.FAILED, TrialState.STOPPED]
    rows = []
    for index, state in enumerate(ends):
        trial = spec(index)
        store.end(store.begin(trial), state, points(trial, 6 - index), "it broke" if index in (1, 2) else None)
        for stage, family in [("learning_rate", "b"), ("grid", "b"), ("grid", "a")][: 1 + index % 3]:
            facts = {"size": "{}", "learning_rate": trial.learning_rate}
            rows.append(Assignment(trial_id=trial.trial_id, family=family, stage=stage, seed=index, **facts))
    store.begin(spec(4))  # runs still
    store.end(store.begin(spec(5)), TrialState.DONE, points(spec(5)))  # serves no family any more
    rows.append(Assignment(trial_id=spec(4).trial_id, family="a", stage="grid", seed=4, **facts))
    store.write_assignments(rows)

    sync(trial_views(store), tracking_uri=uri, experiment="some", sweep_name="toy")
    assert store.table().num_rows == 6 * 1 + 5 * 2 + 4 * 3 + 3 * 1
    assert read_points("some", uri).equals(canonical(store.table()), check_metadata=True)
    assert sync(trial_views(store), tracking_uri=uri, experiment="some", sweep_name="toy").equal

    order = [(name, "ascending") for name in ("trajectory", "architecture", "flops", "data")]
    from_mlflow, from_store = (t.sort_by(order) for t in (read_mlflow("some", uri), read_store(store.location)))
    assert from_mlflow.num_rows > 0
    assert from_mlflow.select(from_store.column_names).equals(from_store)


def test_trials_without_a_specification_or_with_another_s_points_keep_no_other_out_of_mlflow(
    uri: str, tmp_path: Path
) -> None:
    store = TrialStore(str(tmp_path / "sweep"))
    rows = []
    for index in range(5):
        trial = spec(index)
        facts = {"size": '{"depth": 2}', "learning_rate": trial.learning_rate, "seed": index}
        rows.append(Assignment(trial_id=trial.trial_id, family="a", stage="grid", **facts))
    store.end(store.begin(spec(0)), TrialState.DONE, points(spec(0)))
    store.close(spec(1).trial_id, TrialState.FAILED, [], "its worker died before it began")  # so did older versions
    for index in (2, 3):
        store.end(store.begin(spec(index)), TrialState.DONE, points(spec(index)))
    (tmp_path / "sweep" / "trials" / spec(2).trial_id / "spec.json").write_text("{")
    store.close(spec(3).trial_id, TrialState.DONE, points(spec(0)))
    (tmp_path / "sweep" / "trials" / spec(4).trial_id / "checkpoints").mkdir(parents=True)  # died before it began
    store.write_assignments(rows)

    found = {view.trial_id: view for view in trial_views(store)}
    states = [found[spec(index).trial_id].state for index in range(5)]
    assert states == [TrialState.DONE, TrialState.FAILED, TrialState.DONE, TrialState.PLANNED, TrialState.PLANNED]
    assert found[spec(1).trial_id].params == {"size.depth": "2", "learning_rate": str(0.1 / 3), "seed": "1"}
    for index in (1, 2, 3, 4):
        assert any(spec(index).trial_id in note for note in store.notes), index
    assert sync(found.values(), tracking_uri=uri, experiment="some", sweep_name="toy").trials == 3
    assert read_points("some", uri).equals(canonical(store.table()), check_metadata=True)
    assert store.table().num_rows == 2 * len(points(spec(0)))
