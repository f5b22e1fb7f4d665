"""Watch the parts of a cluster that a driver depends on: the head, the local Ray, a host that can hold a trial.

Ray itself waits for ever if the raylet of a driver's host is dead; if the head is dead, its core ends the process after
60 s, from C++ and without a message. So a thread polls, reports what it finds, and stops the sweep cleanly.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from raysweep.core.errors import TRY_AGAIN_STATUS, Stopped
from raysweep.sweep.cluster.driver.exit_message import set_exit_message
from raysweep.sweep.cluster.driver.signals import interrupt
from raysweep.sweep.cluster.ray.services import (
    HEAD,
    RAYLET,
    HeadSilentError,
    NodeReport,
    autoscales,
    dead_service,
    kill_services,
    log_of,
    reported_nodes,
)

PROBE_SECONDS = 2.0
"""Time between two polls."""
ANSWER_SECONDS = 5.0
"""Time limit of one request to the head."""
HEAD_SECONDS = 40.0
"""How long the head may fail to answer: one with persistent state (Redis) may restart meanwhile."""
HOSTS_SECONDS = 45.0
"""How long there may be no host that can hold a trial, without an autoscaler."""
GRACE_SECONDS = 45.0
"""Time for a sweep to stop cleanly after its cluster is lost; then this thread ends its process."""
NEWS_SECONDS = 120.0
"""For how long the loss of a host may explain the death of a worker."""
CORE_SECONDS = 150
"""How long Ray's core tolerates a missing head (RAY_gcs_rpc_server_reconnect_timeout_s): longer than we do."""
Resources = Mapping[str, float]
logger = logging.getLogger("raysweep.cluster")


class ClusterLostError(Stopped):
    """The cluster of a sweep is lost; the same command resumes the sweep."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}. What was saved is kept; run the same command again to go on where it stopped", TRY_AGAIN_STATUS
        )


@dataclass
class _Host:
    """A node of the cluster, as last reported by its head."""

    report: NodeReport
    changed: float
    """Time of the first report of its current state, alive or dead."""

    def answers(self) -> bool:
        """Whether its raylet accepts connections at the moment."""
        try:
            socket.create_connection((self.report.address, self.report.port), timeout=ANSWER_SECONDS / 2).close()
        except OSError:
            return False
        return True


class ClusterWatch:
    """A watch over the cluster that this process has joined; `watching` starts and stops it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lost: ClusterLostError | None = None
        self._over, self._left = threading.Event(), threading.Event()
        self._hosts: dict[str, _Host] = {}
        self._me: str | None = None
        self._fits: Callable[[Sequence[Resources]], bool] = lambda _: True
        self._refused = 0
        """Consecutive failures to connect to this host's raylet."""
        self._silent_since: float | None = None
        self._no_host_since: float | None = None

    def check(self) -> None:
        """Check that the cluster is not known to be lost.

        Raises:
            ClusterLostError: it is; names the lost part and its log.
        """
        if self._lost is not None:
            raise self._lost

    @property
    def lost(self) -> bool:
        """Whether the cluster is known to be lost."""
        return self._lost is not None

    def joined(self, node_id: str) -> None:
        """Record the node whose raylet serves this process."""
        self._me = node_id

    def left(self) -> None:
        """Stop polling, since the process leaves the cluster; an exit that takes too long is still cut short."""
        self._left.set()

    def need(self, fits: Callable[[Sequence[Resources]], bool]) -> None:
        """Stop the sweep when no host is left that can hold a trial: `fits` decides by the resources of all hosts."""
        self._fits = fits

    def host_lost(self, address: str | None) -> bool:
        """Whether a host is lost, or was lost a moment ago, so that a worker died with it.

        Args:
            address: of the host; None: any.

        Raises:
            ClusterLostError: it is the host of this process.
        """
        asked = [(i, host) for i, host in list(self._hosts.items()) if address in (None, host.report.address)]
        now = time.monotonic()
        lost = [i for i, h in asked if (not h.answers() if h.report.alive else now - h.changed < NEWS_SECONDS)]
        if self._me in lost:
            self._end(self._check_own_services() or self._own_raylet_died(), interrupting=False)
        self.check()
        return bool(lost)

    def run(self) -> None:
        """Poll until the watch is stopped or the cluster is lost."""
        while not (self._over.wait(PROBE_SECONDS) or self._left.is_set() or self.lost):
            what = self._check_own_services() or self._check_own_host() or self._check_head() or self._check_capacity()
            if what is not None and not (self._over.is_set() or self._left.is_set()):
                self._end(what)
        # Whatever waits in Ray's core for a dead service would wait for ever.
        if self.lost and not self._over.wait(GRACE_SECONDS):
            kill_services()
            os._exit(TRY_AGAIN_STATUS)

    def stop(self) -> None:
        """Stop the watch."""
        self._over.set()

    def _end(self, what: str, *, interrupting: bool = True) -> None:
        self._lost = self._lost or ClusterLostError(what)
        set_exit_message(str(self._lost))
        if interrupting:
            interrupt(self._lost)

    def _check_own_services(self) -> str | None:
        dead = dead_service()
        if dead is None:
            return None
        return f"the local Ray died ({dead[0]}, process {dead[1]}){_log(dead[0])}"

    def _check_head(self) -> str | None:
        """Ask the head for its hosts; return a reason to stop if it has not answered for too long."""
        try:
            reports = reported_nodes(ANSWER_SECONDS)
        except HeadSilentError:
            return self._silence()
        if self._silent_since is not None:
            logger.warning("the head of the %s answers again", self._name)
        self._silent_since = None
        for node_id, report in (reports or {}).items():
            known = self._hosts.get(node_id)
            if known is not None or report.alive:
                same = known is not None and known.report.alive == report.alive
                self._hosts[node_id] = _Host(report, known.changed if known and same else time.monotonic())
        return None

    def _silence(self) -> str | None:
        now = time.monotonic()
        if self._silent_since is None:
            self._silent_since = now - ANSWER_SECONDS
            logger.warning("the head of the %s does not answer; waiting up to %.0f s", self._name, HEAD_SECONDS)
        if now - self._silent_since < HEAD_SECONDS:
            return None
        return f"the head of the {self._name} has not answered for {now - self._silent_since:.0f} s{_log(HEAD)}"

    def _check_own_host(self) -> str | None:
        mine = self._hosts.get(self._me or "")
        self._refused = 0 if mine is None or mine.answers() else self._refused + 1
        if self._refused > 1 or (mine is not None and not mine.report.alive):
            return self._own_raylet_died()
        return None

    def _check_capacity(self) -> str | None:
        """Return a reason to stop if no host has been able to hold a trial for too long."""
        now = time.monotonic()
        if self._silent_since is not None:
            return None
        if not self._hosts or self._fits([host.report.resources for host in self._hosts.values() if host.report.alive]):
            self._no_host_since = None
            return None
        grows = any(host.report.launched for host in self._hosts.values()) or autoscales(ANSWER_SECONDS)
        if self._no_host_since is None:
            self._no_host_since = now
            wait = "its autoscaler may bring one" if grows else f"waiting up to {HOSTS_SECONDS:.0f} s for one"
            logger.warning("no host of the %s is left that can hold a trial; %s", self._name, wait)
        if grows or now - self._no_host_since < HOSTS_SECONDS:
            return None
        return f"no host of the {self._name} is left that can hold a trial: start Ray on one again"

    def _own_raylet_died(self) -> str:
        others = any(host.report.alive for node_id, host in self._hosts.items() if node_id != self._me)
        left = "a driver cannot go on without it" if others else "no other host is left"
        return f"Ray on this host (raylet) died, and {left}{_log(RAYLET)}"


@contextlib.contextmanager
def watching(address: str) -> Iterator[ClusterWatch]:
    """Watch the cluster of an address while the block runs, from before it is joined."""
    watch = ClusterWatch("local Ray" if address == "local" else f"Ray cluster at {address}")
    threading.Thread(target=watch.run, daemon=True, name="raysweep-cluster-watch").start()
    try:
        yield watch
    finally:
        watch.stop()


def _log(kind: str) -> str:
    path = log_of(kind)
    return "" if path is None else f"; its log is {path}"
