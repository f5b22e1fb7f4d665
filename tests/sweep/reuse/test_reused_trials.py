"""Equal work of an earlier sweep, in a storage of its own, is taken over and not done again."""

from pathlib import Path

import pytest
from rich.console import Console
from toy_sweep import Recorder, SpaceMaker

from raysweep.core.errors import SpaceError
from raysweep.core.trial import TrialState
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.preview import plan
from raysweep.sweep.run import run

FIRST = {"a": {"architecture": "toy-a", "sizes": {"width": [8, 16]}}}
SECOND = {"renamed": {"architecture": "toy-a", "sizes": {"width": [8, 16, 24]}}}


@pytest.mark.usefixtures("one_ray")
def test_trials_of_both_stages_are_taken_over(make_space: SpaceMaker, console: Console, tmp_path: Path) -> None:
    early = run(make_space(storage=str(tmp_path / "early"), families=FIRST), console=console)
    how = {"families": SECOND, "earlier": [str(tmp_path / "early")]}
    fresh = run(make_space(storage=str(tmp_path / "fresh"), families=SECOND), console=console)

    heard = Recorder()
    space = make_space(**how, caps={"trials": fresh.ran - 3})
    late = run(space, mirror=lambda _: heard, console=console)
    assert late.complete
    assert late.table().equals(fresh.table())
    # All but what ASHA had stopped there, which is for this search to judge anew.
    stopped = sum(state == TrialState.STOPPED for state in early.states.values())
    assert late.ran == len({i for i, _, _ in heard.started}) == fresh.ran - (early.ran - stopped)
    store = TrialStore(space.storage)
    assert {store.record(t.spec.trial_id).attempt for t in late.plan.trials if t.spec} == {0, 1}
    assert run(space, console=console).ran == 0

    again = make_space(storage=str(tmp_path / "third"), **how, learning_rate={"rates": {"renamed": 0.02}})
    assert sum(trial.ended for trial in plan(again).trials) == 0  # another rate is other work


def test_storage_without_trials_is_named(make_space: SpaceMaker, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"toy.yaml:\d+: earlier.0: no trials are in .*/nowhere"):
        plan(make_space(earlier=[str(tmp_path / "nowhere")]))
