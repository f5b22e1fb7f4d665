"""Fixtures of the room: search spaces in a folder of their own, and one Ray for all tests."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from toy_sweep import SpaceMaker, toy_space

from raysweep.sweep.cluster.ray.variables import set_variables
from tests.drivers import server
from tests.forked_worker import fork_workers


@pytest.fixture
def make_space(tmp_path: Path) -> SpaceMaker:
    return lambda **changes: toy_space(tmp_path / "sweep", **changes)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=160)


def start_ray() -> None:
    """Start the Ray of all tests, and join it."""
    set_variables()
    import ray

    fork_workers(server())

    # GPUs as Ray counts them: no trial of these tests touches one.
    ray.init(
        address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False
    )


@pytest.fixture(scope="session")
def one_ray() -> Iterator[None]:
    start_ray()
    import ray

    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def no_ray() -> Iterator[None]:
    """Leave the Ray of all tests for those of a module that join others."""
    import ray

    joined = ray.is_initialized()
    if joined:
        ray.shutdown()
    yield
    if joined:
        start_ray()
