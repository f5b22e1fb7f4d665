"""Two hosts for a test, or the reason why there are none here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from network import Network, why_not
from ray_hosts import Cluster


@pytest.fixture(scope="session")
def _namespaces() -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def hosts(_namespaces: None, tmp_path: Path, notes: Path) -> Iterator[Cluster]:
    """Two hosts on which Ray is not started yet."""
    with Network() as network, Cluster(network, tmp_path, {"CHAIN_NOTES": str(notes)}) as cluster:
        yield cluster


@pytest.fixture
def cluster(hosts: Cluster) -> Cluster:
    """Two hosts that are one Ray cluster."""
    hosts.start()
    return hosts
