"""What the tests of several rooms share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kept_workers import KeptWorkers

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")  # no idle worker for each core of each Ray

LONGEST_FIRST = ("terminal", "chaos", "jobs", "cluster", "sweep", "training", "tracking")
"""Rooms whose files take longest; begun first, so that several workers end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest rooms first, and in a room those files that start Ray themselves before they share one."""
    root = Path(__file__).parent
    rank = {room: place for place, room in enumerate(LONGEST_FIRST)}
    alone = {item.path for item in items if "no_ray" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: (rank.get(item.path.relative_to(root).parts[0], len(rank)), item.path not in alone))


@pytest.fixture(autouse=True)
def _no_authentication_left_behind() -> Iterator[None]:
    """Undo what a client of a cluster sets: a Ray that a later test starts must not ask for a token."""
    before = os.environ.get("RAY_AUTH_MODE")
    yield
    if before is None:
        os.environ.pop("RAY_AUTH_MODE", None)
    else:
        os.environ["RAY_AUTH_MODE"] = before


@pytest.fixture(scope="session")
def kept_workers() -> Iterator[KeptWorkers]:
    """Two processes that make the structures of all tests that do not ask how they are made."""
    made = KeptWorkers()
    yield made
    made.end()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real points with published results, where they are at hand."""
    place = Path(os.environ.get("RAYSWEEP_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"no published points at {place}; set RAYSWEEP_SHARED_DATA")
    return place
