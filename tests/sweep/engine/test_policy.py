"""What becomes of a trial whose worker ended, by what is known of the worker."""

import pytest

from raysweep.core.trial import TrialState
from raysweep.sweep.engine.failures import Failure
from raysweep.sweep.engine.policy import Decision, Then, WorkerEnd, decide


def end(failure: Failure | None, written: TrialState = TrialState.RUNNING, **more: object) -> Decision:
    return decide(WorkerEnd(error="ActorDiedError", failure=failure, written=written, **more), 2)  # type: ignore[arg-type]


def test_a_failure_is_retried_until_there_were_too_many_and_then_says_how_many() -> None:
    assert [end(Failure.FAULT, failures=n).then for n in range(4)] == [Then.RESUME, Then.RESUME, Then.END, Then.END]
    assert all(end(Failure.FAULT, failures=n).counted for n in range(4))
    last = end(Failure.FAULT, failures=2, entrypoint="mine:train")
    assert last.state == TrialState.FAILED
    assert last.reason == (
        "its worker died 3 times in entrypoint mine:train (os._exit, a crash or a kill), most recently:\nActorDiedError"
    )


def test_a_lost_node_counts_for_nothing_however_often() -> None:
    decision = end(Failure.NODE, failures=99)
    assert (decision.then, decision.counted) == (Then.RESUME, False)


@pytest.mark.parametrize(
    ("failure", "written"), [(Failure.MEMORY, TrialState.RUNNING), (None, TrialState.OUT_OF_MEMORY)]
)
def test_a_trial_without_memory_is_tried_alone_once(failure: Failure | None, written: TrialState) -> None:
    first, second = end(failure, written), end(failure, written, was_alone=True)
    assert (first.then, first.counted) == (Then.ALONE, False)
    assert (second.then, second.state) == (Then.END, TrialState.OUT_OF_MEMORY)
    assert second.reason == "its worker was killed for memory:\nActorDiedError"


def test_a_trial_over_its_time_has_timed_out_whatever_its_worker_died_of() -> None:
    for failure in Failure:
        decision = end(failure, overrun="ended after 5 s")
        assert (decision.then, decision.state, decision.counted) == (Then.END, TrialState.TIMED_OUT, False)
        assert decision.reason == "ended after 5 s; Python itself did not respond"


@pytest.mark.parametrize("written", [TrialState.DONE, TrialState.DIVERGED, TrialState.FAILED, TrialState.TIMED_OUT])
def test_an_end_that_the_worker_wrote_stands(written: TrialState) -> None:
    decision = end(None, written, overrun="ended after 5 s")
    assert (decision.then, decision.counted) == (Then.END, False)
