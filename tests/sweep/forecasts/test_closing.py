"""The forecast that a sweep ends with: recorded once its grid is done, proved, and found again by the next run."""

import contextlib
import io
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from finished_sweep import finish, write_space
from rich.console import Console
from serial import run_serially
from toy_sweep import Recorder

from raysweep.cli.sweeps import run_sweep
from raysweep.core.errors import SpaceError
from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.forecasts.make import forecasts
from raysweep.sweep.run import SweepResult, run
from raysweep.sweep.space.space import Space, load_space
from raysweep.sweep.stages.stage import Stage
from raysweep.sweep.steps import train as train_module

FAMILIES = {
    "a": {"architecture": "toy-a", "sizes": {"width": [8, 12, 16, 24]}},
    "b": {"architecture": "toy-b", "sizes": {"width": [8, 12, 16, 24]}},
}
LARGEST = 6 * 100 * 24**2 * 1600.0
"""FLOPs of the longest trajectory."""


def space_in(folder: Path, **changes: object) -> Space:
    content: dict[str, object] = {
        "families": FAMILIES,
        "grid": {"structures": [100, 200, 400, 800, 1600], "seeds": [0, 1]},
        "learning_rate": {"rates": {"a": 0.02, "b": 0.02}},
        "tracking": {"enabled": False},
        "forecast": {"times": 3},
        **changes,
    }
    return load_space(write_space(folder / "space.yaml", folder / "sweep", **content))


@contextlib.contextmanager
def without_ray() -> Iterator[None]:
    """Train on one pretended worker."""

    def serially(stage: Stage, space: Space, store: TrialStore, *others: object) -> None:
        run_serially(stage, store, workers=1, draw=random.Random(0), events=10**9)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "run_in_ray", serially)
        patch.setattr(train_module, "cluster", lambda _: contextlib.nullcontext())
        yield


def run_without_ray(space: Space) -> SweepResult:
    with without_ray():
        return run(space, mirror=lambda _: Recorder(), console=Console(file=io.StringIO()))


def test_a_run_ends_with_a_proved_forecast_and_the_next_one_trains_nothing(tmp_path: Path) -> None:
    space = space_in(tmp_path)
    finish(space)
    result = run_without_ray(space)
    outcome = result.forecast
    assert outcome is not None
    assert (result.ran, outcome.proved, outcome.blind) == (1, True, True)
    assert outcome.forecast.flops == pytest.approx(3 * LARGEST, rel=0.005)  # three digits
    assert outcome.scores["loss"].inside is True
    assert re.fullmatch(
        r"[ab] with N = \S+ on D = \S+ atoms was forecast to reach a loss of \S+ \[\S+, \S+\] at \S+ FLOP, 3 times the "
        r"largest compute of its points; its run gave \S+ \(\S+%\), inside the interval\.",
        str(outcome),
    )
    again = run_without_ray(space)
    assert (again.ran, again.forecast) == (0, outcome)
    assert len(forecasts(space).outcomes) == 1


def test_points_that_come_later_leave_the_forecast_as_it_was(tmp_path: Path) -> None:
    space = space_in(tmp_path)
    finish(space)
    first = run_without_ray(space).forecast
    more = space_in(tmp_path, grid={"structures": [100, 200, 400, 800, 1600], "seeds": [0, 1, 2]})
    result = run_without_ray(more)
    assert result.ran == len(FAMILIES) * 4  # the new seed, and no forecast's run
    assert result.forecast == first


def test_one_command_decides_and_proves_its_forecast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    families = {
        "a": {"architecture": "toy-a", "sizes": {"width": [1, 2, 4, 8, 16]}},
        "b": {"architecture": "toy-b", "fixed": {"factor": 3.0}, "sizes": {"width": [1, 2, 4, 8, 16]}},
    }
    grid = {"structures": [400, 1600, 6400, 25600, 102400]}
    space_in(tmp_path, families=families, grid=grid, race={"enabled": True, "at_flops": 3e8})
    for _ in range(2):  # the second command has nothing left to train
        with without_ray():
            assert run_sweep(str(tmp_path / "space.yaml"), [], None, adaptive=False) == 0
        text = " ".join(capsys.readouterr().out.split())
        verdict, forecast = text.index("a is best at 3e+08 FLOPs. "), text.index("a with N = ")
        assert text.index("a (N* ~ C^a)") < verdict < forecast < text.index("report: ")  # after the frontier
        assert re.search(r"times the largest compute of its points; its run gave \S+ \(\S+%\), ", text[forecast:])
    space = load_space(tmp_path / "space.yaml")
    assert len(forecasts(space).outcomes) == 1


def test_without_a_law_the_run_says_that_there_is_no_forecast(tmp_path: Path) -> None:
    one = {"a": {"architecture": "toy-a", "sizes": {"width": [8]}}}
    space = space_in(tmp_path, families=one, grid={"structures": [100, 200]}, learning_rate={"rates": {"a": 0.02}})
    finish(space)
    result = run_without_ray(space)
    assert result.complete
    assert result.forecast is None
    assert any(note.startswith("no forecast: ") for note in result.notes), result.notes
    assert not forecasts(space).outcomes


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"times": 3, "at_flops": 1e9}, "leave one of them out"),
        ({"family": "a"}, "give its compute as well"),
        ({"times": 3, "family": "aa"}, "no such family; nearest: a"),
        ({"times": 0.5}, "greater than 1"),
    ],
)
def test_settings_without_meaning_are_refused(tmp_path: Path, given: dict[str, object], reason: str) -> None:
    with pytest.raises(SpaceError, match=re.escape(reason)):
        space_in(tmp_path, forecast=given)
