"""A trial directory is whole or counts as not there; a late writer writes nothing."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest
import toy_trials

from raysweep.core.errors import TrialError
from raysweep.core.messages import LONGEST
from raysweep.core.points import ADDED, from_table
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import Assignment, TrialStore

SPEC = TrialSpec(
    architecture="toy",
    size={"width": 8},
    fingerprint="none",
    structures=100,
    data_budgets=(10, 100),
    learning_rate=0.02,
)
TRIAL = SPEC.trial_id


@pytest.fixture
def store(tmp_path: Path) -> TrialStore:
    return TrialStore(str(tmp_path))


def same_json(one: bytes, other: bytes) -> bool:
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return False


def done(store: TrialStore) -> None:
    points = list(toy_trials.train(SPEC, None, checkpoints=None, device=None))
    assert store.end(store.begin(SPEC), TrialState.DONE, points)


def test_what_is_written_is_read_back(store: TrialStore) -> None:
    assert store.ids() == []
    assert store.state(TRIAL) == TrialState.PLANNED
    claim = store.begin(SPEC)
    assert (claim.attempt, store.state(TRIAL)) == (1, TrialState.RUNNING)
    assert store.points(TRIAL).num_rows == 0
    points = list(toy_trials.train(SPEC, None, checkpoints=None, device=None))
    assert store.end(claim, TrialState.DIVERGED, points, "the loss is inf")
    assert store.ids() == [TRIAL]
    assert store.spec(TRIAL) == SPEC
    assert store.state(TRIAL) == TrialState.DIVERGED
    assert store.record(TRIAL).message == "the loss is inf"
    assert from_table(store.points(TRIAL)) == points
    assert store.notes == []


def test_points_of_a_version_that_measured_no_inference_are_read_without_it(store: TrialStore, tmp_path: Path) -> None:
    done(store)
    points = from_table(store.points(TRIAL))
    older = store.points(TRIAL).drop_columns(list(ADDED))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, older.schema) as stream:
        stream.write_table(older)
    data = sink.getvalue().to_pybytes()
    folder = tmp_path / "trials" / TRIAL
    (folder / "points.arrow").write_bytes(data)
    record = json.loads((folder / "state.json").read_text())
    del record["sha256"]
    record["points_sha256"] = hashlib.sha256(data).hexdigest()
    checksum = hashlib.sha256(json.dumps(record, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    (folder / "state.json").write_text(json.dumps({**record, "sha256": checksum}))
    reader = TrialStore(str(tmp_path))
    assert from_table(reader.points(TRIAL)) == points
    assert reader.notes == []
    assert reader.usable_record(reader.spec(TRIAL)).state == TrialState.DONE


def test_writer_of_an_earlier_attempt_writes_nothing(store: TrialStore) -> None:
    points = list(toy_trials.train(SPEC, None, checkpoints=None, device=None))
    late, now = store.begin(SPEC), store.begin(SPEC)
    assert (late.attempt, now.attempt) == (1, 2)
    assert not store.holds(late)
    assert store.holds(now)
    assert not store.end(late, TrialState.FAILED, [], "late")
    assert store.state(TRIAL) == TrialState.RUNNING
    assert store.end(now, TrialState.DONE, points)
    store.close(TRIAL, TrialState.STOPPED, points[:1])
    assert not store.end(now, TrialState.DONE, points)
    assert (store.state(TRIAL), store.points(TRIAL).num_rows) == (TrialState.STOPPED, 1)


@pytest.mark.parametrize("name", ["state.json", "points.arrow", "spec.json"])
@pytest.mark.parametrize("how", ["cut", "flipped", "zeroed"])
def test_torn_at_any_byte_never_reads_as_whole(store: TrialStore, tmp_path: Path, name: str, how: str) -> None:
    done(store)
    path = tmp_path / "trials" / TRIAL / name
    whole = path.read_bytes()
    step = max(1, len(whole) // 400)
    wrong = 0
    for i in range(0, len(whole), step):
        byte = whole[i]
        torn = whole[:i] if how == "cut" else whole[:i] + bytes([0 if how == "zeroed" else byte ^ 1]) + whole[i + 1 :]
        if torn == whole or same_json(torn, whole):  # the last digit of a time may say nothing
            continue
        path.write_bytes(torn)
        fresh = TrialStore(str(tmp_path))
        if name == "spec.json":
            with pytest.raises(TrialError, match=r"spec\.json"):
                fresh.spec(TRIAL)
        else:
            assert fresh.state(TRIAL) == TrialState.PLANNED, i
            assert any("it is run again" in note for note in fresh.notes)
            row = Assignment(trial_id=TRIAL, family="a", stage="grid", seed=0, size="", learning_rate=1)
            assert fresh.table([row]).num_rows == 0
        wrong += 1
    assert wrong > 50
    claim = TrialStore(str(tmp_path)).begin(SPEC)  # and the trial can be done again
    assert claim.attempt >= 1
    assert store.spec(TRIAL) == SPEC


def test_json_that_is_whole_but_not_a_record_counts_as_torn(store: TrialStore, tmp_path: Path) -> None:
    done(store)
    path = tmp_path / "trials" / TRIAL / "state.json"
    for content in ("[]", "null", "{}", '"done"', '{"state": "done"}', '{"state": "magic", "sha256": ""}', "1"):
        path.write_text(content)
        assert store.record(TRIAL).state == TrialState.PLANNED


def test_points_of_another_trial_are_refused(store: TrialStore, tmp_path: Path) -> None:
    other = SPEC.model_copy(update={"seed": 1})
    points = list(toy_trials.train(other, None, checkpoints=None, device=None))
    store.end(store.begin(SPEC), TrialState.DONE, points)
    with pytest.raises(TrialError, match="another trial's points"):
        store.points(TRIAL)
    spec = tmp_path / "trials" / TRIAL / "spec.json"
    store.begin(other)
    spec.write_bytes((tmp_path / "trials" / other.trial_id / "spec.json").read_bytes())
    with pytest.raises(TrialError, match="another trial's"):
        store.spec(TRIAL)


def test_trial_that_serves_two_families_stands_in_the_table_for_each(store: TrialStore) -> None:
    done(store)
    both = [
        Assignment(trial_id=TRIAL, family=family, stage="grid", seed=0, size="{}", learning_rate=0.02)
        for family in ("a", "b")
    ]
    store.write_assignments(both)
    assert store.assignments() == both
    table = store.table().to_pandas()
    assert table.groupby("family").size().to_dict() == {"a": 2, "b": 2}
    assert table.loss[0] == table.loss[2] == toy_trials.loss_at(SPEC, 10.0)


def test_foreign_names_in_the_folder_are_no_trials(store: TrialStore, tmp_path: Path) -> None:
    done(store)
    for name in ("..hidden", "ABCDEF0123456789", "short", TRIAL + "0"):
        (tmp_path / "trials" / name).mkdir()
    assert store.ids() == [TRIAL]


def test_file_of_the_sweep_that_is_torn_is_noted(store: TrialStore, tmp_path: Path) -> None:
    store.write_json("costs.json", {"a": 1})
    assert store.read_json("costs.json") == {"a": 1}
    (tmp_path / "costs.json").write_text(json.dumps({"a": 1})[:-1])
    assert store.read_json("costs.json") is None
    assert store.notes == ["costs.json is torn and will be rewritten"]


BAD = "Traceback\n\x1b[31mOSError: no file 'caf\udce9\x00' at http://joe:hunter2@host\x1b[0m\n"
GOOD = "Traceback\nOSError: no file 'caf\\xe9\\x00' at http://joe:***@host\n"


@pytest.mark.parametrize("end", ["end", "close"])
def test_a_message_is_made_valid_where_it_is_written(store: TrialStore, tmp_path: Path, end: str) -> None:
    claim = store.begin(SPEC)
    if end == "end":
        assert store.end(claim, TrialState.FAILED, [], BAD)
    else:
        store.close(TRIAL, TrialState.FAILED, [], BAD)
    written = (tmp_path / "trials" / TRIAL / "state.json").read_bytes()
    assert json.loads(written)["message"] == GOOD
    assert b"hunter2" not in written
    assert store.record(TRIAL).message == GOOD


def test_a_message_of_an_older_version_is_read_as_valid_text(store: TrialStore, tmp_path: Path) -> None:
    done(store)
    path = tmp_path / "trials" / TRIAL / "state.json"
    content = json.loads(path.read_text()) | {"state": "failed", "message": BAD + 10_000_000 * "x"}
    del content["sha256"]
    plain = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps({**content, "sha256": hashlib.sha256(plain).hexdigest()}))
    record = store.record(TRIAL)
    assert (record.state, store.notes) == (TrialState.FAILED, [])
    assert str(record.message).startswith(GOOD)
    assert len(str(record.message)) <= LONGEST
