"""What a state says, for each of them: a new state needs a line here."""

import ast
from pathlib import Path

import pytest

import raysweep
from raysweep.core.trial import TrialState

OPEN, FINAL, ENDS, FAILED, BADLY = "is_open", "is_final", "ends_trajectory", "is_failed", "ended_badly"
SAYS = {
    TrialState.PLANNED: {OPEN},
    TrialState.RUNNING: {OPEN},
    TrialState.DONE: {FINAL, ENDS},
    TrialState.STOPPED: {FINAL},
    TrialState.DIVERGED: {FINAL, ENDS, BADLY},
    TrialState.FAILED: {FAILED, BADLY},
    TrialState.OUT_OF_MEMORY: {FAILED, BADLY},
    TrialState.TIMED_OUT: {FAILED, BADLY},
    TrialState.CANCELLED: {BADLY},
}


@pytest.mark.parametrize("state", TrialState)
def test_what_a_state_says(state: TrialState) -> None:
    assert {name for name in (OPEN, FINAL, ENDS, FAILED, BADLY) if getattr(state, name)} == SAYS[state]


def lists_states(node: ast.AST) -> bool:
    """Whether a part of a program is a list, a tuple or a set of several states: a predicate that has no name."""
    if not isinstance(node, ast.List | ast.Tuple | ast.Set):
        return False
    named = [item for item in node.elts if isinstance(item, ast.Attribute) and ast.unparse(item.value) == "TrialState"]
    texts = [item.value for item in node.elts if isinstance(item, ast.Constant) and item.value in set(TrialState)]
    return len(named) > 1 or len(texts) > 1


def test_no_other_file_lists_states() -> None:
    package = Path(raysweep.__file__).parent
    found = [
        f"{path.relative_to(package)}:{node.lineno}"
        for path in sorted(package.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if lists_states(node)
    ]
    assert found
    assert all(place.startswith("core/trial.py") for place in found), found
