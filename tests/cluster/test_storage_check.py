"""Before the first trial every node is asked whether it reaches the storage and has the driver's environment."""

import shutil
from pathlib import Path

import pytest
from cluster_sweeps import chain_space
from ray_hosts import Cluster

import raysweep

MOUNTS = 'mount -t tmpfs none "$1" && mount --bind "$2" "$2" && mount -o remount,ro,bind "$2" && shift 2 && exec "$@"'


@pytest.mark.slow  # three drivers on two hosts
def test_the_node_that_cannot_take_part_is_named_with_the_remedy(hosts: Cluster, tmp_path: Path) -> None:
    own, read_only, source = tmp_path / "own", tmp_path / "read_only", tmp_path / "source"
    own.mkdir()
    read_only.mkdir()
    shutil.copytree(Path(raysweep.__file__).parent, source / "raysweep")
    with (source / "raysweep" / "trial.py").open("a") as changed:
        changed.write("# another one\n")
    # A disk of its own, a mount that cannot be written, and another raysweep: three classic faults of one worker.
    hosts.start_head()
    path = f"PYTHONPATH={source}:{hosts.environment['PYTHONPATH']}"
    hosts.start_worker(["env", path, "unshare", "--mount", "sh", "-c", MOUNTS, "sh", str(own), str(read_only)])
    hosts.wait_for_nodes(2)
    worker = f"node {hosts.worker.address} "

    def refusal(storage: Path, environment: str) -> str:
        space, log = chain_space(tmp_path, nap=0.0, storage=str(storage)), tmp_path / "driver.log"
        log.write_bytes(b"")
        hosts.environment["RAYSWEEP_ENVIRONMENT"] = environment
        assert hosts.drive(["run", str(space)], log).wait(120) == 1, log.read_text()
        text = log.read_text()
        assert "no trial was started" in text
        assert not list((storage / "trials").glob("*"))
        assert not list(storage.glob(".check-*")), "the check left something behind"
        assert f"node {hosts.head.address} " not in text
        return text

    text = refusal(own / "sweep", "")
    assert worker in text
    assert "has a different environment: raysweep source" in text
    assert f"does not see what the driver wrote to storage {own}/sweep: it is not shared; " in text
    assert "give a path that all nodes share" in text
    text = refusal(own / "sweep", "any")
    assert "different environment" not in text
    text = refusal(read_only / "sweep", "any")
    assert f"{worker}(" in text
    assert f"read-only file system in storage {read_only}/sweep; free some space there, or choose another" in text
