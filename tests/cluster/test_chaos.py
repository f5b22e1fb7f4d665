"""Hosts, drivers and links that fail in the middle of a sweep on two hosts: a step for each trial hit, and no point."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import chain_trials
import pytest
from cluster_sweeps import assert_whole, chain_space, points_of, steps_lost, steps_made_twice
from ray_hosts import Cluster, wait_until

from raysweep.storage.trial_store import TrialStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TRIALS = 4


def at_work(notes: Path, host: str, steps: int = 2) -> Callable[[], bool]:
    """Return the question whether a host has made so many steps."""
    return lambda: sum(row["host"] == host for row in chain_trials.notes(notes)) >= steps


def run_while(
    cluster: Cluster, tmp_path: Path, notes: Path, nap: float, meanwhile: Callable[[], object], **changes: object
) -> str:
    """Run a sweep to its end, do something once both hosts are at work, and hold that nothing is lost."""
    space, log = chain_space(tmp_path, nap=nap, points=3, **changes), tmp_path / "driver.log"
    driver = cluster.drive(["run", str(space)], log)
    ended = lambda: driver.poll() is not None and f"the driver ended: {log.read_text()}"  # noqa: E731
    for host in (cluster.head, cluster.worker):
        wait_until(at_work(notes, host.address), f"work on {host.label}", 240, ended)
    meanwhile()
    assert driver.wait(600) == 0, log.read_text()
    assert_whole(TrialStore(str(tmp_path / "sweep")), points_of(tmp_path / "sweep"), TRIALS)
    print(log.read_text(), steps_made_twice(chain_trials.notes(notes)))  # where an assertion fails
    return log.read_text()


def test_worker_host_that_loses_power_costs_its_trial_a_step(cluster: Cluster, tmp_path: Path, notes: Path) -> None:
    def power_cut() -> None:
        cluster.worker.cut()
        cluster.worker.kill()

    told = run_while(cluster, tmp_path, notes, 0.4, power_cut)
    assert told.count("its host was lost; it resumes on another one from its last checkpoint") == 1
    assert sum(steps_made_twice(chain_trials.notes(notes)).values()) <= 1


def test_worker_host_whose_ray_is_killed_goes_uncounted_where_no_failure_is_allowed(
    cluster: Cluster, tmp_path: Path, notes: Path
) -> None:
    def kill_raylet() -> None:
        (raylet,) = cluster.services(cluster.worker, "raylet")
        os.kill(raylet, signal.SIGKILL)

    told = run_while(cluster, tmp_path, notes, 0.8, kill_raylet, resources={"cpu": 1, "max_failures": 0})
    assert told.count("its host was lost; it resumes on another one from its last checkpoint") == 1
    assert "its worker died" not in told


def test_last_host_that_can_hold_a_trial_ends_the_sweep_with_a_line(
    hosts: Cluster, tmp_path: Path, notes: Path
) -> None:
    hosts.start_head(cpus=0)
    hosts.start_worker()
    hosts.wait_for_nodes(2)
    space, log = chain_space(tmp_path, nap=0.4, points=3), tmp_path / "driver.log"
    driver = hosts.drive(["run", str(space)], log)
    wait_until(at_work(notes, hosts.worker.address), "work on the worker", 240)
    hosts.worker.kill()
    began = time.monotonic()
    assert driver.wait(150) == 75, log.read_text()
    assert time.monotonic() - began < 120
    told = log.read_text()
    assert "is left that can hold a trial; waiting up to 45 s for one" in told
    assert "is left that can hold a trial: start Ray on one again. What was saved is kept" in told
    hosts.start_worker()
    hosts.wait_for_nodes(2)
    again = hosts.drive(["run", str(space)], log)
    assert again.wait(300) == 0, log.read_text()
    assert_whole(TrialStore(str(tmp_path / "sweep")), points_of(tmp_path / "sweep"), TRIALS)


def test_head_that_is_killed_ends_the_sweep_with_a_line(cluster: Cluster, tmp_path: Path, notes: Path) -> None:
    space, log = chain_space(tmp_path, nap=0.4, points=3), tmp_path / "driver.log"
    driver = cluster.drive(["run", str(space)], log)
    wait_until(at_work(notes, cluster.worker.address), "work on the worker", 240)
    (head,) = cluster.services(cluster.head, "gcs_server")
    os.kill(head, signal.SIGKILL)
    began = time.monotonic()
    assert driver.wait(150) == 75, log.read_text()
    assert time.monotonic() - began < 90
    assert "run the same command again to go on where it stopped" in log.read_text()


@pytest.mark.parametrize("seconds", [30, 300])
def test_link_that_is_cut_costs_a_step_for_each_trial_hit(
    cluster: Cluster, tmp_path: Path, notes: Path, seconds: float
) -> None:
    def cut() -> None:
        cluster.worker.cut()
        time.sleep(seconds)
        cluster.worker.join()

    nap = 2.0 if seconds < 60 else 8.0
    told = run_while(cluster, tmp_path, notes, nap, cut)
    lost = steps_lost(chain_trials.notes(notes), nap)
    assert len(lost) <= 1
    assert sum(lost.values()) <= 1
    hosts_lost = told.count("its host was lost; it resumes on another one from its last checkpoint")
    assert hosts_lost <= 1
    if seconds >= 300:
        assert hosts_lost == 1, told


def test_driver_that_is_killed_costs_a_step_for_each_trial_that_ran(
    cluster: Cluster, tmp_path: Path, notes: Path
) -> None:
    space, log = chain_space(tmp_path, nap=0.4, points=3), tmp_path / "driver.log"
    driver = cluster.drive(["run", str(space)], log)
    for host in (cluster.head, cluster.worker):
        wait_until(at_work(notes, host.address), f"work on {host.label}", 240)
    driver.kill()
    driver.wait()
    again = cluster.drive(["run", str(space)], log)
    assert again.wait(300) == 0, log.read_text()
    assert_whole(TrialStore(str(tmp_path / "sweep")), points_of(tmp_path / "sweep"), TRIALS)
    twice = steps_made_twice(chain_trials.notes(notes))
    assert len(twice) <= 2
    assert all(count <= 1 for count in twice.values())
    assert "is dead; its sweep continues here" in log.read_text()
