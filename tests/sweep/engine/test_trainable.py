"""One trial in a worker, without Ray: every way to end is written down as what it is."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_trials

from raysweep.core.errors import DivergedError
from raysweep.core.messages import last_line
from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.engine.trainable import execute

SPEC = TrialSpec(
    architecture="toy",
    size={"width": 8},
    fingerprint="none",
    structures=100,
    data_budgets=(10.0, 50.0, 100.0),
    learning_rate=0.02,
)
POINTS = list(toy_trials.train(SPEC, None, checkpoints=None, device=None))


def ends(how: BaseException | None, after: int) -> Iterator[Point]:
    yield from POINTS[:after]
    if how is not None:
        raise how


@pytest.mark.parametrize(
    ("how", "after", "state", "message"),
    [
        (None, 3, TrialState.DONE, None),
        (None, 0, TrialState.FAILED, "yielded no point"),
        (DivergedError("inf at step 7"), 2, TrialState.DIVERGED, "inf at step 7"),
        (ValueError("a bug"), 1, TrialState.FAILED, "ValueError: a bug"),
        (MemoryError("42 GiB"), 1, TrialState.OUT_OF_MEMORY, "MemoryError: 42 GiB"),
    ],
)
def test_end_is_written_with_the_points_before_it(
    tmp_path: Path, how: BaseException | None, after: int, state: TrialState, message: str | None
) -> None:
    store = TrialStore(str(tmp_path))
    told: list[tuple[int, Point]] = []
    assert execute(SPEC, store, store.begin(SPEC), lambda: ends(how, after), lambda *news: told.append(news)) == state
    assert told == list(enumerate(POINTS[:after]))
    assert store.state(SPEC.trial_id) == state
    assert store.points(SPEC.trial_id).num_rows == after
    kept = store.record(SPEC.trial_id).message
    assert kept is None if message is None else message in str(kept)


def test_driver_that_is_gone_is_no_fault_of_the_training(tmp_path: Path) -> None:
    store = TrialStore(str(tmp_path))

    def report(index: int, point: Point) -> None:
        raise ConnectionError("the driver is gone")

    with pytest.raises(ConnectionError):
        execute(SPEC, store, store.begin(SPEC), lambda: ends(None, 3), report)
    assert store.state(SPEC.trial_id) == TrialState.RUNNING  # the next run goes on with it


def test_worker_whose_trial_was_begun_anew_writes_and_tells_nothing_more(tmp_path: Path) -> None:
    store = TrialStore(str(tmp_path))
    told: list[int] = []

    def report(index: int, point: Point) -> None:
        told.append(index)
        store.begin(SPEC)

    assert execute(SPEC, store, store.begin(SPEC), lambda: ends(None, 3), report) is None
    assert told == [0]
    assert store.state(SPEC.trial_id) == TrialState.RUNNING
    assert store.points(SPEC.trial_id).num_rows == 0


@pytest.mark.parametrize("wrong", [{"loss": 0.1}, POINTS[0].__class__(**{**POINTS[0].__dict__, "trial_id": "f" * 16})])
def test_what_is_not_a_point_of_this_trial_ends_it_failed(tmp_path: Path, wrong: object) -> None:
    store = TrialStore(str(tmp_path))
    state = execute(SPEC, store, store.begin(SPEC), lambda: iter([wrong]), lambda *_: None)  # type: ignore[list-item]
    assert state == TrialState.FAILED
    assert "TrialError" in str(store.record(SPEC.trial_id).message)


def test_an_error_that_names_a_file_which_is_not_utf_8_ends_the_trial_with_that_name(tmp_path: Path) -> None:
    store = TrialStore(str(tmp_path))
    missing = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")

    def source() -> Iterator[Point]:
        yield POINTS[0]
        raise ValueError(f"cannot read {missing}")

    assert execute(SPEC, store, store.begin(SPEC), source, lambda *_: None) == TrialState.FAILED
    assert last_line(store.record(SPEC.trial_id).message).endswith("caf\\xe9")


def test_a_device_whose_name_is_no_valid_text_is_no_fault_of_the_trial(tmp_path: Path) -> None:
    store = TrialStore(str(tmp_path))
    points = [dataclasses.replace(point, device="GPU \udcff\x00") for point in POINTS]
    told: list[Point] = []
    state = execute(SPEC, store, store.begin(SPEC), lambda: iter(points), lambda _, point: told.append(point))
    assert state == TrialState.DONE
    assert set(store.points(SPEC.trial_id)["device"].to_pylist()) == {"GPU \\xff\\x00"}
    assert {point.device for point in told} == {"GPU \\xff\\x00"}
