"""Watch over the parts of a cluster that a driver cannot do without: head, local Ray, last host for a trial.

Ray itself waits for ever where the raylet of a driver's host is dead, and where the head is dead its core ends the
process after 60 s, from C++ and without a word. So a thread looks, says what it sees, and ends the sweep in order.
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
from raysweep.sweep.cluster.last_words import leave_word
from raysweep.sweep.cluster.ray_services import (
    HEAD,
    RAYLET,
    HeadSilentError,
    Told,
    autoscales,
    dead_service,
    hosts,
    kill_services,
    log_of,
)
from raysweep.sweep.cluster.signals import interrupt

PROBE_SECONDS = 2.0
"""Between two polls."""
ANSWER_SECONDS = 5.0
"""For one answer of the head."""
HEAD_SECONDS = 40.0
"""How long the head of a cluster may be silent: one with persistent state (Redis) may restart meanwhile."""
HOSTS_SECONDS = 45.0
"""How long there may be no host that can hold a trial, where no autoscaler brings one."""
GRACE_SECONDS = 45.0
"""For a sweep whose cluster is lost to end in order; then its process is ended from this thread."""
NEWS_SECONDS = 120.0
"""For how long a host that the head gave up may be why a worker died."""
CORE_SECONDS = 150
"""How long Ray's core tolerates a missing head (RAY_gcs_rpc_server_reconnect_timeout_s): longer than we do."""
Resources = Mapping[str, float]
logger = logging.getLogger("raysweep.cluster")


class ClusterLostError(Stopped):
    """The cluster of a sweep is gone; the same command goes on with it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}. What was saved is kept; run the same command again to go on where it stopped", TRY_AGAIN_STATUS
        )


@dataclass
class _Host:
    """A node of the cluster, as last reported by its head."""

    told: Told
    changed: float
    """Time of the first report of its present state, alive or dead."""

    def answers(self) -> bool:
        """Return whether its raylet takes connections now."""
        try:
            socket.create_connection((self.told.address, self.told.port), timeout=ANSWER_SECONDS / 2).close()
        except OSError:
            return False
        return True


class ClusterWatch:
    """Watches the cluster that this process has joined; `watching` begins and ends it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lost: ClusterLostError | None = None
        self._over, self._left = threading.Event(), threading.Event()
        self._hosts: dict[str, _Host] = {}
        self._me: str | None = None
        self._fits: Callable[[Sequence[Resources]], bool] = lambda _: True
        self._refused = 0
        """How often this host's raylet took no connection, one time after another."""
        self._silent: float | None = None
        self._homeless: float | None = None

    def check(self) -> None:
        """Raise an error where the cluster is known to be lost.

        Raises:
            ClusterLostError: it is; says what is lost and where to look.
        """
        if self._lost is not None:
            raise self._lost

    @property
    def lost(self) -> bool:
        """Whether the cluster is known to be lost."""
        return self._lost is not None

    def joined(self, node_id: str) -> None:
        """Note which node's raylet serves this process."""
        self._me = node_id

    def left(self) -> None:
        """Stop polling, since the cluster is left; an end that takes too long is still cut short."""
        self._left.set()

    def need(self, fits: Callable[[Sequence[Resources]], bool]) -> None:
        """End the sweep when no host is left that can hold a trial, as `fits` tells from the resources of all hosts."""
        self._fits = fits

    def host_lost(self, address: str | None) -> bool:
        """Return whether a host is lost, or was just now, so that a worker on it died with it.

        Args:
            address: of the host; None: any.

        Raises:
            ClusterLostError: it is this process's own, or the head's process.
        """
        asked = [(i, host) for i, host in list(self._hosts.items()) if address in (None, host.told.address)]
        now = time.monotonic()
        lost = [i for i, h in asked if (not h.answers() if h.told.alive else now - h.changed < NEWS_SECONDS)]
        if self._me in lost:
            self._end(self._of_own_services() or self._of_own_raylet(), told=False)
        self.check()
        return bool(lost)

    def run(self) -> None:
        """Poll until the watch is stopped or the cluster is lost."""
        while not (self._over.wait(PROBE_SECONDS) or self._left.is_set() or self.lost):
            what = self._of_own_services() or self._of_own_host() or self._of_head() or self._of_room()
            if what is not None and not (self._over.is_set() or self._left.is_set()):
                self._end(what)
        # Not `self._over` alone: whoever waits in Ray's core for what is dead would wait for ever.
        if self.lost and not self._over.wait(GRACE_SECONDS):
            kill_services()
            os._exit(TRY_AGAIN_STATUS)

    def stop(self) -> None:
        """End the watch."""
        self._over.set()

    def _end(self, what: str, *, told: bool = True) -> None:
        self._lost = self._lost or ClusterLostError(what)
        leave_word(str(self._lost))
        if told:
            interrupt(self._lost)

    def _of_own_services(self) -> str | None:
        dead = dead_service()
        if dead is None:
            return None
        return f"the local Ray died ({dead[0]}, process {dead[1]}){_log(dead[0])}"

    def _of_head(self) -> str | None:
        """Ask the head for its hosts; return a reason to stop where it has been silent for too long."""
        try:
            told = hosts(ANSWER_SECONDS)
        except HeadSilentError:
            return self._of_silence()
        if self._silent is not None:
            logger.warning("the head of the %s answers again", self._name)
        self._silent = None
        for node_id, host in (told or {}).items():
            known = self._hosts.get(node_id)
            if known is not None or host.alive:
                same = known is not None and known.told.alive == host.alive
                self._hosts[node_id] = _Host(host, known.changed if known and same else time.monotonic())
        return None

    def _of_silence(self) -> str | None:
        now = time.monotonic()
        if self._silent is None:
            self._silent = now - ANSWER_SECONDS
            logger.warning(
                "the head of the %s does not answer; it is waited for up to %.0f s", self._name, HEAD_SECONDS
            )
        if now - self._silent < HEAD_SECONDS:
            return None
        return f"the head of the {self._name} has not answered for {now - self._silent:.0f} s{_log(HEAD)}"

    def _of_own_host(self) -> str | None:
        mine = self._hosts.get(self._me or "")
        self._refused = 0 if mine is None or mine.answers() else self._refused + 1
        if self._refused > 1 or (mine is not None and not mine.told.alive):
            return self._of_own_raylet()
        return None

    def _of_room(self) -> str | None:
        """Return a reason to stop once no host has been able to hold a trial for long enough."""
        now = time.monotonic()
        if self._silent is not None:
            return None
        if not self._hosts or self._fits([host.told.resources for host in self._hosts.values() if host.told.alive]):
            self._homeless = None
            return None
        grows = any(host.told.launched for host in self._hosts.values()) or autoscales(ANSWER_SECONDS)
        if self._homeless is None:
            self._homeless = now
            wait = "its autoscaler may bring one" if grows else f"one is waited for up to {HOSTS_SECONDS:.0f} s"
            logger.warning("no host of the %s is left that can hold a trial; %s", self._name, wait)
        if grows or now - self._homeless < HOSTS_SECONDS:
            return None
        return f"no host of the {self._name} is left that can hold a trial: start Ray on one again"

    def _of_own_raylet(self) -> str:
        others = any(host.told.alive for node_id, host in self._hosts.items() if node_id != self._me)
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
