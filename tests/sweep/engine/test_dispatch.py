"""Which trial runs next, which is retried, what counts as spent, and how each ends: without Ray."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import toy_trials

from raysweep.core.errors import StorageError
from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialRecord, TrialStore
from raysweep.sweep.engine import dispatch
from raysweep.sweep.engine.caps import Spending
from raysweep.sweep.engine.dispatch import Dispatcher
from raysweep.sweep.space.running import Caps, Resources

CRASH = "The actor died unexpectedly before finishing this task.\n\tpid: 1\n\tip: 10.0.0.9\n"
MEMORY = "Task was killed due to the node running low on memory."


def spec(width: int) -> TrialSpec:
    return TrialSpec(
        architecture="toy", size={"width": width}, fingerprint="none", structures=100, data_budgets=(10.0, 100.0),
        learning_rate=0.02,
    )  # fmt: skip


A, B = spec(8), spec(16)
POINTS = list(toy_trials.train(A, None, checkpoints=None, device=None))


class Queue:
    """A stage that hands out given trials, and writes down what it hears."""

    name = "grid"

    def __init__(self, *specs: TrialSpec) -> None:
        self.specs = list(specs)
        self.heard: list[tuple[str, object]] = []

    @property
    def finished(self) -> bool:
        return not self.specs

    def next_trial(self) -> TrialSpec | None:
        return self.specs.pop(0) if self.specs else None

    def started(self, trial_id: str) -> None:
        self.heard.append(("started", trial_id))

    def point(self, trial_id: str, point: Point) -> bool:
        self.heard.append(("point", point.budget))
        return point.budget == 100.0

    def ended(self, trial_id: str, record: TrialRecord) -> None:
        self.heard.append(("ended", record.state))

    def cancelled(self, trial_id: str, record: TrialRecord) -> None:
        self.heard.append(("cancelled", record.state))


Maker = Callable[..., tuple[Dispatcher, Queue, TrialStore, list[str]]]


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    def dispatcher(
        *specs: TrialSpec, caps: Caps | None = None, host_lost: bool | None = None, **resources: object
    ) -> tuple[Dispatcher, Queue, TrialStore, list[str]]:
        store, stage, said = TrialStore(str(tmp_path)), Queue(*specs), list[str]()

        def lost(address: str | None) -> bool:
            assert address == "10.0.0.9"
            return bool(host_lost)

        spending = Spending(caps or Caps(), store)
        return (
            Dispatcher(
                stage, store, Resources(**resources), spending, said.append, None if host_lost is None else lost
            ),
            stage,
            store,
            said,
        )

    return dispatcher


def begin(dispatcher: Dispatcher, store: TrialStore) -> TrialSpec:
    """Launch the next trial on a pretended worker."""
    launch = dispatcher.next_trial()
    assert launch is not None
    store.begin(launch.spec)
    dispatcher.started(launch.spec.trial_id)
    return launch.spec


def test_a_trial_whose_worker_died_goes_on_and_its_points_are_told_once(make: Maker) -> None:
    dispatcher, stage, store, said = make(A, max_failures=1)
    begin(dispatcher, store)
    assert not dispatcher.point(A.trial_id, 0, POINTS[0])
    dispatcher.worker_ended(A.trial_id, CRASH)
    assert said == ["toy width=8 seed=0: its worker died (failure 1 of 1 allowed); it resumes from its last checkpoint"]
    assert not dispatcher.finished
    assert begin(dispatcher, store) == A
    assert not dispatcher.point(A.trial_id, 0, POINTS[0])  # again, from its checkpoint
    assert dispatcher.point(A.trial_id, 1, POINTS[1])
    assert stage.heard == [("started", A.trial_id), ("point", 10.0), ("point", 100.0)]
    dispatcher.worker_ended(A.trial_id, CRASH)
    assert stage.heard[3:] == [("ended", TrialState.FAILED)]
    assert store.points(A.trial_id).num_rows == 2
    assert dispatcher.finished


def test_retries_come_before_new_trials_and_have_names_of_their_own(make: Maker) -> None:
    dispatcher, _, store, _ = make(A, B)
    first = dispatcher.next_trial()
    store.begin(A)
    dispatcher.started(A.trial_id)
    dispatcher.worker_ended(A.trial_id, CRASH)
    second, third = dispatcher.next_trial(), dispatcher.next_trial()
    assert [(launch.spec, launch.number) for launch in (first, second, third) if launch] == [(A, 1), (A, 2), (B, 1)]
    assert dispatcher.next_trial() is None


def test_no_more_trials_run_at_once_than_are_allowed(make: Maker) -> None:
    dispatcher, _, store, _ = make(A, B, parallel=1)
    begin(dispatcher, store)
    assert dispatcher.next_trial() is None
    dispatcher.worker_returned(A.trial_id)
    assert begin(dispatcher, store) == B


def test_a_trial_without_memory_waits_until_nothing_else_is_ready_and_then_others_wait_for_it(make: Maker) -> None:
    dispatcher, stage, store, said = make(A, B)
    begin(dispatcher, store)
    dispatcher.worker_ended(A.trial_id, MEMORY)
    assert said == ["toy width=8 seed=0: out of memory; it is retried once with a host to itself"]
    assert begin(dispatcher, store) == B
    alone = dispatcher.next_trial()
    assert alone is not None
    assert (alone.spec, alone.alone) == (A, True)
    stage.specs.append(spec(32))
    assert dispatcher.next_trial() is None  # until the one that is alone has its node
    dispatcher.started(A.trial_id)
    assert dispatcher.next_trial() is not None
    dispatcher.worker_ended(A.trial_id, MEMORY)
    assert stage.heard[-1] == ("ended", TrialState.OUT_OF_MEMORY)


@pytest.mark.parametrize("lost", [True, False])
def test_a_failure_with_its_host_is_not_counted_against_the_trial(make: Maker, lost: bool) -> None:
    dispatcher, stage, store, said = make(A, host_lost=lost, max_failures=0)
    for _ in range(3 if lost else 1):
        begin(dispatcher, store)
        dispatcher.worker_ended(A.trial_id, CRASH)
    assert (
        said == 3 * ["toy width=8 seed=0: its host was lost; it resumes on another one from its last checkpoint"] * lost
    )
    assert [what for what in stage.heard if what[0] == "ended"] == [("ended", TrialState.FAILED)] * (not lost)


def test_a_worker_that_died_before_it_began_its_trial_leaves_a_specification(make: Maker) -> None:
    dispatcher, _, store, _ = make(A, max_failures=0)
    assert dispatcher.next_trial() is not None
    dispatcher.started(A.trial_id)
    dispatcher.worker_ended(A.trial_id, CRASH)
    assert (store.state(A.trial_id), store.spec(A.trial_id)) == (TrialState.FAILED, A)


def test_an_end_that_the_worker_wrote_is_not_overwritten(make: Maker) -> None:
    dispatcher, stage, store, _ = make(A)
    assert dispatcher.next_trial() is not None
    claim = store.begin(A)
    dispatcher.started(A.trial_id)
    store.end(claim, TrialState.DIVERGED, POINTS[:1], "the loss is inf")
    dispatcher.worker_ended(A.trial_id, CRASH)
    assert stage.heard[-1] == ("ended", TrialState.DIVERGED)
    assert store.record(A.trial_id).message == "the loss is inf"


def test_a_storage_that_a_worker_could_not_write_ends_the_sweep(make: Maker) -> None:
    dispatcher, _, store, _ = make(A)
    begin(dispatcher, store)
    with pytest.raises(StorageError, match="the disk is full"):
        dispatcher.worker_ended(A.trial_id, "raysweep.core.errors.StorageError: the disk is full")


def test_caps_keep_trials_from_beginning_and_points_count_towards_them(make: Maker) -> None:
    dispatcher, _, store, _ = make(A, B, caps=Caps(trials=1, flops=POINTS[1].flops))
    begin(dispatcher, store)
    assert dispatcher.next_trial() is None
    assert "caps.trials = 1 is reached" in str(dispatcher.cap)
    assert dispatcher.finished
    dispatcher.point(A.trial_id, 0, POINTS[0])
    assert dispatcher.cap_reached() is None
    dispatcher.point(A.trial_id, 1, POINTS[1])
    assert "caps.flops" in str(dispatcher.cap_reached())


def test_a_worker_over_its_limit_is_killed_once_and_its_trial_has_timed_out(
    make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(dispatch.time, "monotonic", lambda: now)
    dispatcher, stage, store, _ = make(A, stall_seconds=5)
    begin(dispatcher, store)
    now += 5 + dispatch.LATE_SECONDS - 1
    assert not dispatcher.overdue(A.trial_id)  # it may still end itself
    dispatcher.heard(A.trial_id)
    now += 5 + dispatch.LATE_SECONDS
    assert [dispatcher.overdue(A.trial_id) for _ in range(2)] == [True, False]
    dispatcher.worker_ended(A.trial_id, CRASH)
    assert stage.heard[-1] == ("ended", TrialState.TIMED_OUT)
    assert "no point came for 5 s" in str(store.record(A.trial_id).message)


def test_cancelled_trials_keep_their_points_and_an_end_that_was_not_heard_of_counts(make: Maker) -> None:
    dispatcher, stage, store, _ = make(A, B, spec(32))
    begin(dispatcher, store)
    dispatcher.point(A.trial_id, 0, POINTS[0])
    assert dispatcher.next_trial() is not None
    claim = store.begin(B)
    dispatcher.started(B.trial_id)
    store.end(claim, TrialState.DONE, [dataclasses.replace(point, trial_id=B.trial_id) for point in POINTS])
    assert dispatcher.next_trial() is not None  # which no worker has
    dispatcher.cancel()
    assert store.state(A.trial_id) == TrialState.CANCELLED
    assert store.points(A.trial_id).num_rows == 1
    assert [what for what in stage.heard if what[0] == "cancelled"] == [
        ("cancelled", TrialState.CANCELLED),
        ("cancelled", TrialState.DONE),
    ]
    assert [budget for what, budget in stage.heard if what == "point"] == [10.0, 10.0, 100.0]
    assert spec(32).trial_id not in store.ids()
