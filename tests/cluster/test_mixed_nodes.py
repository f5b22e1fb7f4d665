"""Nodes that differ: each trial goes where it fits, and one that fits nowhere is refused with what is missing."""

from pathlib import Path

import chain_trials
import pytest
from cluster_sweeps import assert_whole, chain_space, points_of
from ray_hosts import Cluster

from raysweep.storage.trial_store import TrialStore


@pytest.mark.slow  # three drivers on two hosts
def test_trials_go_where_they_fit_and_one_that_fits_nowhere_is_refused(
    hosts: Cluster, tmp_path: Path, notes: Path
) -> None:
    hosts.start_head()
    hosts.start_worker(["env", 'RAY_OVERRIDE_RESOURCES={"CPU": 2, "GPU": 1}'])  # as Ray counts them: no trial uses it
    hosts.wait_for_nodes(2)
    log = tmp_path / "driver.log"
    space = chain_space(tmp_path, nap=0.4, resources={"cpu": 1, "gpu": 0.5})
    assert hosts.drive(["run", str(space)], log).wait(150) == 0, log.read_text()
    assert_whole(TrialStore(str(tmp_path / "sweep")), points_of(tmp_path / "sweep"), trials=4)
    made = chain_trials.notes(notes)
    assert {row["host"] for row in made} == {hosts.worker.address}
    assert len({row["process"] for row in made}) == 2, "two trials share the GPU"
    for command in ("plan", "run"):
        log.write_bytes(b"")
        asked = [command, str(space), f"storage={tmp_path / 'other'}", "resources.gpu=2"]
        assert hosts.drive(asked, log).wait(60) == 1
        assert "resources.gpu: a trial requests 2 GPU and no node has more than 1; request less" in log.read_text()
        assert not list((tmp_path / "other").glob("trials/*"))
    log.write_bytes(b"")
    assert hosts.drive(["plan", str(space), f"storage={tmp_path / 'other'}", "resources.cpu=3"], log).wait(60) == 1
    assert "resources.cpu: a trial requests 3 CPU and no node has more than 2" in log.read_text()
