"""A sweep whose storage is an object store that is away for a minute."""

import time
from pathlib import Path

import chain_trials
import pytest
from cluster_sweeps import assert_whole, chain_space, points_of, steps_made_twice
from ray_hosts import Cluster, wait_until
from servers import ObjectStore

from raysweep.storage.trial_store import TrialStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_object_store_that_is_down_for_a_minute_costs_nothing(
    s3: ObjectStore, hosts: Cluster, tmp_path: Path, notes: Path
) -> None:
    hosts.start()
    space = chain_space(tmp_path, nap=0.5, points=3, storage=s3.uri, tracking={"enabled": False})
    log = tmp_path / "driver.log"
    driver = hosts.drive(["run", str(space)], log)
    for host in (hosts.head, hosts.worker):
        wait_until(lambda at=host.address: any(r["host"] == at for r in chain_trials.notes(notes)), "work", 120)
    s3.shut()
    time.sleep(60)
    s3.open()
    assert driver.wait(300) == 0, log.read_text()
    s3.copy_to(tmp_path / "copy")
    assert_whole(TrialStore(str(tmp_path / "copy")), points_of(tmp_path / "copy"), trials=4)
    assert steps_made_twice(chain_trials.notes(notes)) == {}
    told = [line for line in log.read_text().splitlines() if line.startswith("storage bucket ")]
    assert len(told) == 2, told
    assert "does not answer" in told[0]
    assert "answers again" in told[1]
