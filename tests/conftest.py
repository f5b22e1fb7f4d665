"""What the tests of several rooms share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

LONGEST_FIRST = ("terminal", "chaos", "jobs", "cluster", "sweep", "training", "tracking")
"""Rooms whose files take longest; begun first, so that several workers end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest rooms first; within a room the order stays."""
    root = Path(__file__).parent
    rank = {room: place for place, room in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.relative_to(root).parts[0], len(rank)))


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
def shared_data() -> Path:
    """Real points with published results, where they are at hand."""
    place = Path(os.environ.get("RAYSWEEP_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not place.is_dir():
        pytest.skip(f"no published points at {place}; set RAYSWEEP_SHARED_DATA")
    return place
