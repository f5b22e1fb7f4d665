"""Two hosts for a test, or the reason why there are none here."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from network import Network, why_not
from ray_hosts import Cluster
from servers import ObjectStore


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


@pytest.fixture
def s3(hosts: Cluster, tmp_path: Path) -> ObjectStore:
    """An S3 server on the third host, which the hosts will know once Ray is started."""
    store = ObjectStore(tmp_path / "s3", hosts.outside)
    store.start()
    hosts.environment.update(store.environment)
    return store
