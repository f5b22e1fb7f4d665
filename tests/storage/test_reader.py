"""One reader of a sweep's storage: what it reads is valid, and what is not is noted."""

import json
from pathlib import Path

import pytest
import toy_trials

from raysweep.core.errors import StorageError
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage import layout
from raysweep.storage.rate_records import RateRecord, RateTrial
from raysweep.storage.reader import SweepReader
from raysweep.storage.trial_store import Assignment, TrialStore

SPEC = TrialSpec(
    architecture="toy",
    size={"width": 8},
    fingerprint="none",
    structures=100,
    data_budgets=(10, 100),
    learning_rate=0.02,
)
SEARCH = RateRecord(
    key="toy-1",
    family="toy",
    size={"width": 8, "depth": 2},
    seed=0,
    rate=0.02,
    method="parabola",
    edge=None,
    widened=1,
    trials=(
        RateTrial(trial_id="1" * 16, learning_rate=0.01, state="stopped", data=(10.0,), losses=(0.9,)),
        RateTrial(trial_id="2" * 16, learning_rate=0.1, state="done", data=(10.0, 20.0), losses=(0.8, 0.7)),
    ),
)


@pytest.fixture
def store(tmp_path: Path) -> TrialStore:
    return TrialStore(str(tmp_path))


def test_a_folder_without_a_sweep_reads_as_empty(tmp_path: Path):
    reader = SweepReader(str(tmp_path / "nowhere"))
    assert (reader.ids(), reader.assignments(), reader.searches(), reader.report_files()) == ([], [], {}, {})
    assert (reader.identity(), reader.recorded_space(), reader.saved_table()) == (None, None, None)
    assert reader.table().num_rows == 0
    assert not (tmp_path / "nowhere").exists()


def test_searches_come_back_as_they_were_written(store: TrialStore):
    store.write_searches([SEARCH])
    reader = SweepReader(store.location)
    assert reader.searches() == {"toy-1": SEARCH}
    assert [row.learning_rate for row in SEARCH.assignments()] == [0.01, 0.1]
    assert {(row.stage, row.size) for row in SEARCH.assignments()} == {("learning_rate", '{"depth": 2, "width": 8}')}


def test_searches_that_were_altered_count_as_absent(store: TrialStore, tmp_path: Path):
    store.write_searches([SEARCH])
    path = tmp_path / layout.LEARNING_RATES
    path.write_text(path.read_text().replace("0.02", "0.03"))
    reader = SweepReader(store.location)
    assert reader.searches() == {}
    assert "was altered" in reader.notes[0]


@pytest.mark.parametrize("content", ["{torn", '[{"trial_id": "1"}]', "{}"])
def test_assignments_that_are_torn_read_as_none(tmp_path: Path, content: str):
    (tmp_path / layout.ASSIGNMENTS).write_text(content)
    assert SweepReader(str(tmp_path)).assignments() == []


def test_points_are_those_of_the_trials_and_torn_ones_are_noted(store: TrialStore, tmp_path: Path):
    row = Assignment(trial_id=SPEC.trial_id, family="toy", stage="grid", seed=0, size="{}", learning_rate=0.02)
    store.write_assignments([row])
    store.end(store.begin(SPEC), TrialState.DONE, list(toy_trials.train(SPEC, None, checkpoints=None, device=None)))
    assert SweepReader(store.location).table()["family"].to_pylist() == ["toy", "toy"]
    (tmp_path / layout.TRIALS / SPEC.trial_id / layout.TRIAL_POINTS).write_bytes(b"torn")
    reader = SweepReader(store.location)
    assert reader.table().num_rows == 0
    assert SPEC.trial_id in reader.notes[0]


def test_a_saved_table_that_is_torn_is_named_with_a_remedy(tmp_path: Path):
    (tmp_path / layout.POINTS).write_bytes(b"torn")
    with pytest.raises(StorageError, match=f"{layout.POINTS} is torn.*run the sweep again"):
        SweepReader(str(tmp_path)).saved_table()


def test_the_recorded_space_has_no_passwords(store: TrialStore, tmp_path: Path):
    space = {"name": "a", "tracking": {"uri": "http://joe:hunter2@host"}}  # as older versions wrote it
    (tmp_path / layout.SWEEP).write_text(json.dumps({"name": "a", "space": space}))
    found = SweepReader(store.location).recorded_space()
    assert found is not None
    assert "hunter2" not in json.dumps(found)
