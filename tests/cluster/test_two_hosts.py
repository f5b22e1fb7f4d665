"""A sweep on a cluster of two hosts gives what it gives on a laptop."""

import subprocess
from pathlib import Path

import chain_trials
import pytest
from cluster_sweeps import assert_whole, chain_space, learned, points_of, quickstart_space
from ray_hosts import BIN, Cluster

from raysweep.storage.trial_store import TrialStore


@pytest.mark.timeout(600)
def test_sweep_runs_on_both_hosts_and_gives_every_point_once(hosts: Cluster, tmp_path: Path, notes: Path) -> None:
    hosts.start(dashboard=False)
    space, log = chain_space(tmp_path, nap=0.1), tmp_path / "driver.log"
    (notes / "hosts").write_text("2")
    driver = hosts.drive(["run", str(space)], log)
    assert driver.wait(400) == 0, log.read_text()
    store = TrialStore(str(tmp_path / "sweep"))
    assert_whole(store, points_of(tmp_path / "sweep"), trials=4)
    made = chain_trials.notes(notes)
    assert {row["host"] for row in made} == {hosts.head.address, hosts.worker.address}
    assert len(made) == 4 * 5 * chain_trials.EVERY  # no step twice
    assert (tmp_path / "sweep" / "report" / "report.html").exists()


@pytest.mark.slow  # two sweeps with real training
@pytest.mark.timeout(600)
def test_submitted_from_a_third_host_it_gives_the_laptops_points_bit_for_bit(cluster: Cluster, tmp_path: Path) -> None:
    laptop, two_hosts = (quickstart_space(tmp_path / "here", name) for name in ("laptop", "two_hosts"))
    alone = subprocess.run([str(BIN / "raysweep"), "run", str(laptop)], capture_output=True, text=True, timeout=300)
    assert alone.returncode == 0, alone.stdout + alone.stderr
    done = cluster.submit(two_hosts, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found, wanted = (learned(points_of(tmp_path / "here" / name)) for name in ("two_hosts", "laptop"))
    assert wanted.num_rows > 2 * 2 * 3  # the grid's, and those of the learning-rate stage
    assert found.equals(wanted)
    report = tmp_path / "here" / "two_hosts" / "report" / "report.html"
    assert str(report) in done.stdout
    assert report.exists()
