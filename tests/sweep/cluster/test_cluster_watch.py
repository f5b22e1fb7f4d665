"""What is lost of a cluster is told in a line and ends the sweep; what comes back does not."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raysweep.sweep.cluster import watch as cluster_watch
from raysweep.sweep.cluster.driver.signals import Interrupted, interrupt, interruptible
from raysweep.sweep.cluster.ray.services import HeadSilentError, NodeReport
from raysweep.sweep.cluster.watch import ClusterLostError, ClusterWatch

AGAIN = "What was saved is kept; run the same command again to go on where it stopped"


class Ray:
    """A cluster as its head tells of it; raylets that live are sockets that listen."""

    def __init__(self) -> None:
        self.told: dict[str, NodeReport] = {}
        self.silent = False
        self.dead: tuple[str, int] | None = None
        self._sockets: dict[str, socket.socket] = {}

    def add(self, name: str, cpus: float = 2.0, launched: bool = False) -> None:
        self._sockets[name] = socket.create_server(("127.0.0.1", 0))
        port = self._sockets[name].getsockname()[1]
        self.told[name] = NodeReport(f"{name}.host", port, {"CPU": cpus}, True, launched)

    def kill(self, name: str, *, known: bool) -> None:
        self._sockets.pop(name).close()
        if known:
            self.told[name] = NodeReport(**{**vars(self.told[name]), "alive": False})

    def hosts(self, seconds: float) -> dict[str, NodeReport]:
        if self.silent:
            raise HeadSilentError
        return dict(self.told)

    def close(self) -> None:
        for found in self._sockets.values():
            found.close()


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ray]:
    made = Ray()
    made.add("mine")
    monkeypatch.setattr(cluster_watch, "reported_nodes", made.hosts)
    monkeypatch.setattr(cluster_watch, "dead_service", lambda: made.dead)
    monkeypatch.setattr(cluster_watch, "autoscales", lambda seconds: False)
    monkeypatch.setattr(cluster_watch, "log_of", lambda kind: f"/logs/{kind}.out")
    monkeypatch.setattr(cluster_watch, "PROBE_SECONDS", 0.01)
    real = socket.create_connection
    monkeypatch.setattr(socket, "create_connection", lambda at, timeout: real(("127.0.0.1", at[1]), timeout))
    yield made
    made.close()


@pytest.fixture
def watch(ray: Ray) -> Iterator[ClusterWatch]:
    made = ClusterWatch("Ray cluster at here:1")
    made.joined("mine")
    thread = threading.Thread(target=made.run)
    thread.start()
    until(lambda: "mine" in made._hosts)
    yield made
    made.stop()
    thread.join()


def until(reached: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def reason_of(watch: ClusterWatch) -> str:
    until(lambda: watch.lost)
    with pytest.raises(ClusterLostError) as raised:
        watch.check()
    assert raised.value.exit_code == 75
    return str(raised.value)


def test_a_cluster_that_lives_is_left_alone(ray: Ray, watch: ClusterWatch) -> None:
    ray.add("other")
    until(lambda: "other" in watch._hosts)
    watch.check()
    assert not watch.host_lost(None)
    assert not watch.host_lost("other.host")


@pytest.mark.parametrize(
    ("dead", "text"),
    [
        (("gcs_server", 7), "the local Ray died (gcs_server, process 7); its log is /logs/gcs_server.out"),
        (("raylet", 8), "the local Ray died (raylet, process 8); its log is /logs/raylet.out"),
    ],
)
def test_a_dead_process_of_a_local_ray_is_named(
    ray: Ray, watch: ClusterWatch, dead: tuple[str, int], text: str
) -> None:
    ray.dead = dead
    assert reason_of(watch) == f"{text}. {AGAIN}"


@pytest.mark.parametrize("known", [True, False])
def test_the_raylet_of_this_host_ends_the_sweep_whether_the_head_knows_of_it_or_not(
    ray: Ray, watch: ClusterWatch, known: bool
) -> None:
    ray.kill("mine", known=known)
    assert "Ray on this host (raylet) died, and no other host is left; its log is /logs/raylet.out" in reason_of(watch)


def test_a_head_that_is_silent_is_waited_for_and_named_at_the_end(
    ray: Ray, watch: ClusterWatch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING, "raysweep.cluster"):
        ray.silent = True
        until(lambda: "the head of the Ray cluster at here:1 does not answer; waiting up to 40 s" in caplog.text)
        ray.silent = False
        until(lambda: "answers again" in caplog.text)
        watch.check()
    monkeypatch.setattr(cluster_watch, "HEAD_SECONDS", 5.2)
    ray.silent = True
    assert re.match("the head of the Ray cluster at here:1 has not answered for 5 s; its log", reason_of(watch))


def test_no_host_that_holds_a_trial_ends_the_sweep_unless_an_autoscaler_may_bring_one(
    ray: Ray, watch: ClusterWatch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_watch, "HOSTS_SECONDS", 0.2)
    ray.add("large", cpus=8, launched=True)
    until(lambda: "large" in watch._hosts)
    watch.need(lambda hosts: any(host["CPU"] >= 8 for host in hosts))
    with caplog.at_level(logging.WARNING, "raysweep.cluster"):
        ray.kill("large", known=True)
        until(lambda: "is left that can hold a trial; its autoscaler may bring one" in caplog.text)
        time.sleep(0.4)
        watch.check()
        ray.told["large"] = NodeReport(**{**vars(ray.told["large"]), "launched": False})
        assert "no host of the Ray cluster at here:1 is left that can hold a trial" in reason_of(watch)


def test_a_worker_died_with_its_host_where_that_is_lost_and_not_with_another_ones(
    ray: Ray, watch: ClusterWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray.add("other")
    until(lambda: "other" in watch._hosts)
    ray.kill("other", known=False)
    assert watch.host_lost("other.host")
    assert watch.host_lost(None)
    assert not watch.host_lost("mine.host")
    ray.told["other"] = NodeReport(**{**vars(ray.told["other"]), "alive": False})
    until(lambda: not watch._hosts["other"].report.alive)
    assert watch.host_lost("other.host")
    monkeypatch.setattr(cluster_watch, "NEWS_SECONDS", 0.0)
    assert not watch.host_lost("other.host")  # a host of that address may have come since
    ray.kill("mine", known=False)
    with pytest.raises(ClusterLostError):
        watch.host_lost("mine.host")


def test_a_reason_from_a_thread_ends_the_main_thread_like_a_signal() -> None:
    lost = ClusterLostError("it is gone")
    before = signal.getsignal(signal.SIGTERM)

    def wait() -> None:
        with interruptible():
            threading.Timer(0.1, interrupt, [lost]).start()
            time.sleep(20)

    began = time.monotonic()
    with pytest.raises(ClusterLostError) as raised:
        wait()
    assert raised.value is lost
    assert time.monotonic() - began < 15
    assert signal.getsignal(signal.SIGTERM) is before
    interrupt(lost)  # outside of a block it is nothing
    with pytest.raises(Interrupted):
        _told()


def _told() -> None:
    with interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)


def words(tmp_path: Path, code: str) -> tuple[int, str]:
    block = f"with exit_message('/logs/ray.log'):\n    {code}\n"
    program = f"import os\nfrom raysweep.sweep.cluster.driver.exit_message import *\n{block}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    return done.returncode, done.stderr


def test_an_end_without_a_word_is_told_with_the_log_and_an_orderly_one_is_not(tmp_path: Path) -> None:
    status, told = words(tmp_path, "os.kill(os.getpid(), 9)")
    assert status == -9
    assert re.match(r"raysweep: the driver \(process \d+\) died without a message: killed", told)
    assert "Its log is /logs/ray.log" in told
    assert told.endswith("run the same command again to go on where it stopped\n")
    assert told.count("\n") == 1
    assert words(tmp_path, "pass") == (0, "")
    status, told = words(tmp_path, "raise ValueError('as it is')")
    assert status == 1
    assert told.endswith("ValueError: as it is\n")
    assert words(tmp_path, "set_exit_message('it is\\n gone'); os._exit(75)") == (75, "raysweep: it is gone\n")
