"""`status` lists every trial that ended badly, and no other."""

from pathlib import Path

import pytest
from toy_sweep import toy_space

from raysweep.cli.status import SHOWN, sweep_status
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import TrialStore


@pytest.mark.parametrize("state", TrialState)
def test_status_lists_a_trial_that_ended_badly_with_its_reason(tmp_path: Path, state: TrialState) -> None:
    space = toy_space(tmp_path)
    store = TrialStore(space.storage)
    spec = TrialSpec(architecture="toy-a", size={"width": 8}, fingerprint="none", structures=100, learning_rate=0.02)
    claim = store.begin(spec)
    if not state.is_open:
        store.end(claim, state, [], "Traceback\n  the reason\n")
    status = sweep_status(space)
    listed = [(trouble.trial_id, trouble.state, trouble.reason) for trouble in status.troubles]
    assert listed == ([(spec.trial_id, str(state), "the reason")] if state.ended_badly else [])
    assert sum(status.trials.values()) == 1


def test_each_state_that_is_a_trouble_has_a_column() -> None:
    assert set(SHOWN) == {state for state in TrialState if state.ended_badly} | {TrialState.RUNNING}
    assert {TrialState.OUT_OF_MEMORY, TrialState.TIMED_OUT} < set(SHOWN)
