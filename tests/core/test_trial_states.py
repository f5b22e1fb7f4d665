"""What a state says, for each of them: a new state needs a line here."""

import pytest

from raysweep.core.trial import TrialState

OPEN, FINAL, FAILED, BADLY = "is_open", "is_final", "is_failed", "ended_badly"
SAYS = {
    TrialState.PLANNED: {OPEN},
    TrialState.RUNNING: {OPEN},
    TrialState.DONE: {FINAL},
    TrialState.STOPPED: {FINAL},
    TrialState.DIVERGED: {FINAL, BADLY},
    TrialState.FAILED: {FAILED, BADLY},
    TrialState.OUT_OF_MEMORY: {FAILED, BADLY},
    TrialState.TIMED_OUT: {FAILED, BADLY},
    TrialState.CANCELLED: {BADLY},
}


@pytest.mark.parametrize("state", TrialState)
def test_what_a_state_says(state: TrialState) -> None:
    assert {name for name in (OPEN, FINAL, FAILED, BADLY) if getattr(state, name)} == SAYS[state]
