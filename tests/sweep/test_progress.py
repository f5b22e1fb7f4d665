"""What a person reads: a line for each trial that ended, one live line on a terminal, plain lines elsewhere."""

import io
import re

import pytest
import toy_trials
from rich.console import Console

from raysweep.core.trial import TrialSpec, TrialState
from raysweep.sweep.progress import Progress
from raysweep.sweep.stages.stage import announce

SPEC = TrialSpec(
    architecture="toy", size={"width": 8}, fingerprint="none", structures=100, data_budgets=(10.0,), learning_rate=0.02
)


def follow(progress: Progress) -> None:
    other = SPEC.model_copy(update={"seed": 1})
    progress.begins(3, 1, 3.0)
    announce(progress, SPEC, "a", "grid")
    progress.point(SPEC.trial_id, next(toy_trials.train(SPEC, None, checkpoints=None, device=None)))
    progress.trial_ended(SPEC.trial_id, TrialState.DONE, None)
    announce(progress, other, "a", "grid")
    progress.trial_ended(other.trial_id, TrialState.FAILED, "Traceback\n  line 3\nValueError: a bug\n")
    progress.close()


def test_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    follow(Progress(Console(file=out, width=80)))
    lines = out.getvalue().splitlines()
    assert lines[0] == "3 trials, 1 of them already done"
    assert lines[1].startswith("[2/3] done     a width=8 seed=0")
    assert f"loss {toy_trials.loss_at(SPEC, 10.0):.4g}" in lines[1]
    assert lines[2].startswith("[3/3] failed   a width=8 seed=1")
    assert lines[2].endswith("ValueError: a bug")
    assert len(lines) == 3


def test_one_live_line_on_a_terminal_tells_done_running_best_and_time_left() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, width=120, force_terminal=True))
    progress.begins(3, 1, 3.0)
    progress.costs.update({SPEC.trial_id: 2.0, "other": 1.0})
    announce(progress, SPEC, "a", "grid")
    progress.point(SPEC.trial_id, next(toy_trials.train(SPEC, None, checkpoints=None, device=None)))
    assert re.fullmatch(r"trials 1/3 · 1 running · \ds so far · best loss 8\.1\d+ \(a\) · 1 points", progress._line())
    assert progress._grid_began is not None
    progress._grid_began -= 20  # two of the three parts of the work took 20 s
    progress.trial_ended(SPEC.trial_id, TrialState.DONE, None)
    assert "· about 10s left ·" in progress._line()
    progress.close()
    assert "\x1b[" in out.getvalue()


def test_text_from_a_trial_is_never_read_as_markup() -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, width=200))
    progress.begins(1, 0, 1.0)
    announce(progress, SPEC, "a", "grid")
    progress.trial_ended(SPEC.trial_id, TrialState.FAILED, "KeyError: [bold]x[/nothing]")
    assert "KeyError: [bold]x[/nothing]" in out.getvalue()


@pytest.mark.parametrize("total", [0, 400])
def test_counting_ends_with_a_line(total: int) -> None:
    out = io.StringIO()
    progress = Progress(Console(file=out, width=80))
    with progress.counting("structures") as count:
        if total:
            count(100, total)
            count(total, total)
    expected = "400/400 structures, 0s" if total else "structures, 0s"
    assert out.getvalue().strip() == expected
