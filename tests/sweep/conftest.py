"""Fixtures of the room: search spaces in a folder of their own, and one Ray for all tests."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from toy_sweep import SpaceMaker, toy_space

from raysweep.sweep.resources import set_environment


@pytest.fixture
def make_space(tmp_path: Path) -> SpaceMaker:
    return lambda **changes: toy_space(tmp_path / "sweep", **changes)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=160)


@pytest.fixture(scope="session")
def one_ray() -> Iterator[None]:
    set_environment()
    import ray

    # GPUs as Ray counts them: no trial of these tests touches one.
    ray.init(
        address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False
    )
    yield
    ray.shutdown()
