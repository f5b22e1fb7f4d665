"""Both stages, killed between any two events and run again, give the table of an uninterrupted run, byte by byte."""

import contextlib
import io
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from serial import KilledError, run_serially
from toy_sweep import Recorder, toy_space

from raysweep.storage.trial_store import TrialStore
from raysweep.sweep.run import SweepResult, run
from raysweep.sweep.space.space import Space
from raysweep.sweep.stages.pipeline import Pipeline
from raysweep.sweep.steps import train as train_module


def run_without_ray(space: Space, workers: int, draw: random.Random, events: int = 10**9) -> tuple[SweepResult, int]:
    worked = 0

    def serially(pipeline: Pipeline, space: Space, store: TrialStore, *others: object) -> None:
        nonlocal worked
        worked = run_serially(pipeline, store, workers=workers, draw=draw, events=events)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "run_in_ray", serially)
        patch.setattr(train_module, "cluster", lambda _: contextlib.nullcontext())
        return run(space, mirror=lambda _: Recorder(), console=Console(file=io.StringIO())), worked


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    space = toy_space(tmp_path_factory.mktemp("whole"))
    result, _ = run_without_ray(space, 1, random.Random(0))
    assert result.complete
    assert result.table().num_rows > 12
    return (Path(space.storage) / "points.parquet").read_bytes()


@settings(max_examples=15, deadline=None)
@given(workers=st.integers(1, 4), seed=st.integers(0, 10**6), kills=st.lists(st.integers(1, 60), max_size=4))
def test_killed_anywhere_and_run_again_gives_the_same_table(
    tmp_path_factory: pytest.TempPathFactory, reference: bytes, workers: int, seed: int, kills: list[int]
) -> None:
    space, draw = toy_space(tmp_path_factory.mktemp("killed")), random.Random(seed)
    for events in kills:
        with contextlib.suppress(KilledError):
            run_without_ray(space, workers, draw, events)
    result, _ = run_without_ray(space, workers, draw)
    assert result.complete
    assert (Path(space.storage) / "points.parquet").read_bytes() == reference
    again, worked = run_without_ray(space, workers, draw)
    assert (again.ran, worked) == (0, 0)


def test_grid_of_a_family_begins_before_other_families_are_tuned(tmp_path: Path) -> None:
    rate = {"low": 2e-3, "high": 2e-1, "structures": 90, "trials": 6, "rates": {"a": 0.02}}
    space, order = toy_space(tmp_path / "sweep", learning_rate=rate), Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            train_module,
            "run_in_ray",
            lambda pipeline, _, store, *__: run_serially(pipeline, store, workers=6, draw=random.Random(0)),
        )
        patch.setattr(train_module, "cluster", lambda _: contextlib.nullcontext())
        run(space, mirror=lambda _: order, console=Console(file=io.StringIO()))
    stages = [(family, stage) for _, family, stage in order.started]
    assert stages.index(("a", "grid")) < len(stages) - 1 - stages[::-1].index(("b", "learning_rate"))
    assert stages.count(("a", "grid")) == stages.count(("b", "grid")) == 2
