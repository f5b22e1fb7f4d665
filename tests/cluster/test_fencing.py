"""A worker that the network cuts off from its cluster goes on, and harms nothing of its successor's."""

import json
from pathlib import Path

import chain_trials
import pytest
from cluster_sweeps import assert_whole, chain_space, points_of
from network import Host
from ray_hosts import Cluster, wait_until
from servers import ObjectStore

from raysweep.core.trial import TrialState
from raysweep.storage.trial_store import TrialStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = 60
IMPATIENT = {
    # A node that does not answer counts as lost within seconds, and does not give up by itself: so both workers run.
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "600",
}


@pytest.mark.parametrize("where", ["shared folder", "object store"])
def test_worker_that_was_cut_off_is_refused_and_its_successors_files_stand(
    hosts: Cluster, s3: ObjectStore, tmp_path: Path, notes: Path, where: str
) -> None:
    hosts.environment.update(IMPATIENT)
    hosts.start_head(cpus=0)
    hosts.start_worker()
    hosts.wait_for_nodes(2)
    storage = s3.uri if where == "object store" else None
    space = chain_space(
        tmp_path, 0.5, widths=1, points=1, every=STEPS, storage=storage, tracking={"enabled": False}
    )  # fmt: skip
    driver = hosts.drive(["run", str(space)], tmp_path / "driver.log")
    wait_until(lambda: len(_made(notes, hosts.worker)) >= 3, "work on the first host", 120)
    spare = hosts.network.host("spare")
    hosts.environment["CHAIN_SLOWER"] = "1.5"  # so that the late worker comes to its end first
    hosts.start_worker(host=spare)
    hosts.wait_for_nodes(3)

    hosts.worker.part_from(hosts.head)  # the storage stays in its reach
    wait_until(lambda: _made(notes, spare), "work of the successor", 60, lambda: driver.poll() is not None)
    wait_until(lambda: _made(notes, hosts.worker)[-1]["step"] == STEPS - 1, "the late worker's last step", 90)
    assert driver.wait(120) == 0, (tmp_path / "driver.log").read_text()

    late, successor = _made(notes, hosts.worker), _made(notes, spare)
    both = [row for row in late if row["at"] > successor[0]["at"]]
    assert len(both) >= 5, "the two did not run at the same time"
    assert both[-1]["at"] < successor[-1]["at"], "the late worker came to its end first, and tried to write it"
    folder = tmp_path / "sweep"
    if where == "object store":
        folder = tmp_path / "copy"
        s3.copy_to(folder)
    store = TrialStore(str(folder))
    assert_whole(store, points_of(folder), trials=1)
    (trial,) = store.ids()
    record = store.valid_record(trial)
    assert (record.state, record.attempt) == (TrialState.DONE, 2)
    kept = Path(store.checkpoints(trial))
    assert kept.name.startswith(f"000002-{record.writer[:12]}")
    assert json.loads((kept / "chain.json").read_text())["done"] == STEPS
    assert not any(path.name != kept.name and path.name > kept.name for path in kept.parent.iterdir())


def _made(notes: Path, host: Host) -> list[dict[str, object]]:
    return [row for row in chain_trials.notes(notes) if row["host"] == host.address]
