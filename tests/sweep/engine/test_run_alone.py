"""A process runs one sweep at a time: it has one Ray, and one standard error."""

from concurrent.futures import ThreadPoolExecutor

from rich.console import Console
from toy_sweep import SpaceMaker

from raysweep.core.errors import RaysweepError
from raysweep.sweep.run import run
from raysweep.sweep.steps.driving import _alone


def test_a_second_sweep_in_another_thread_is_refused(make_space: SpaceMaker, console: Console) -> None:
    space = make_space()
    with _alone(), ThreadPoolExecutor(1) as other:
        refused = other.submit(run, space, console=console).exception()
    assert isinstance(refused, RaysweepError)
    assert "this process already runs a sweep, in another thread" in str(refused)
    with _alone():  # and the one that was refused holds nothing
        pass
