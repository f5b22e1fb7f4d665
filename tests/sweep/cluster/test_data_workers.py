"""Data is made on all nodes of a Ray cluster, with the same content as on one core, also where workers die."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysweep.core.errors import DataError, RaysweepError
from raysweep.data.generation.presets import Displacing
from raysweep.data.generation.xtb import make_store
from raysweep.data.workers import Workers
from raysweep.sweep.cluster.data_workers import RayWorkers, data_workers

DISPLACING = Displacing(structures_per_molecule=4)
pytestmark = pytest.mark.usefixtures("no_ray")


@pytest.fixture(scope="module")
def two_nodes(no_ray: None) -> Iterator[str]:
    """Return the address of a real cluster of two nodes with one core each, on this machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


def test_all_nodes_work_with_one_thread_each_and_a_dead_worker_is_replaced(two_nodes: str, tmp_path: Path) -> None:
    def where(task: Path) -> tuple[str, str, int]:  # within the test, so that Ray sends it whole
        import numpy as np
        import ray

        from raysweep.data.generation.labels import label

        water = np.array([[[0, 0, 0.1173], [0, 0.7572, -0.4692], [0, -0.7572, -0.4692]]], dtype=np.float32)
        before = len(os.listdir("/proc/self/task"))
        label(np.array([8, 1, 1], dtype=np.uint8), water)
        if not task.exists():
            task.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        more = len(os.listdir("/proc/self/task")) - before
        node = ray.get_runtime_context().get_node_id()
        (task.parent / f"node-{node}").touch()
        deadline = time.monotonic() + 60  # so that no node does all before the other one has begun
        while len(list(task.parent.glob("node-*"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        return node, os.environ["OMP_NUM_THREADS"], more

    with RayWorkers(two_nodes) as pool:
        found = list(pool.in_order(where, [tmp_path / "first"] * 12))
    assert len(found) == 12
    assert (tmp_path / "first").exists()
    assert len({node for node, _, _ in found}) == 2
    assert {(threads, more) for _, threads, more in found} == {("1", 0)}


def test_a_cluster_makes_the_same_store_as_one_process(two_nodes: str, tmp_path: Path) -> None:
    def make(name: str, pool: Workers | RayWorkers) -> str:
        store = make_store(tmp_path / name, structures=100, seed=2, pool=pool, displacing=DISPLACING)
        return store.manifest.fingerprint

    assert make("ray", RayWorkers(two_nodes)) == make("alone", Workers(1))


def test_a_node_without_a_package_is_one_line(two_nodes: str) -> None:
    def needs(task: int) -> int:
        import no_such_package

        return no_such_package.answer

    with (
        pytest.raises(DataError, match="cannot import no_such_package: install raysweep"),
        RayWorkers(two_nodes) as pool,
    ):
        list(pool.in_order(needs, [1]))


def test_the_address_decides_where_data_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert isinstance(data_workers(None, 2), Workers)
    assert isinstance(data_workers("auto", None), RayWorkers)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert isinstance(data_workers(None, None), RayWorkers)
    with pytest.raises(DataError, match=r"workers is 2, .* local processes: the Ray cluster at 10\.0\.0\.1:6379"):
        data_workers(None, 2)


def test_no_cluster_at_the_address_is_one_line(tmp_path: Path) -> None:
    before = multiprocessing.active_children()
    with pytest.raises(RaysweepError, match=r"no Ray cluster at '127.0.0.1:1'.*Start one"):
        make_store(tmp_path / "s", structures=100, pool=RayWorkers("127.0.0.1:1"))
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == before
