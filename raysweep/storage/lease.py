"""Ensure that a storage has one driver at a time, by a lease that expires when its driver dies.

A driver on the same machine is looked up by its process, so that its death is known at once. One on another host is
known by its heartbeats alone: without one for `LEASE_SECONDS` it counts as dead, and another driver takes over the
storage. The first one, if it is alive after all (its network was cut, its machine slept), finds that out before it
writes anything, and ends. Clocks of two machines are never compared: ages come from the storage's own clock, or from
waiting.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from raysweep.core.errors import TRY_AGAIN_STATUS, RaysweepError, Stopped
from raysweep.storage.lease_file import LeaseFile, parse

HEARTBEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0
"""Time without a heartbeat after which a driver on another host counts as dead: six missed ones, so not merely slow."""
POLL_SECONDS = 1.0
_GONE = "its folder was deleted, moved or unmounted under the sweep"


class LeaseLostError(Stopped):
    """Another driver has taken over the sweep, since this one sent no heartbeat for too long; it must not write."""

    def __init__(self, location: str, holder: str) -> None:
        reason = (
            f"{location}: {holder} has taken over this sweep, since this driver sent no heartbeat; it continues there"
        )
        super().__init__(reason, TRY_AGAIN_STATUS)


@dataclass
class DriverLease:
    """The lease of a storage that this process holds."""

    location: str
    note: str | None
    """A note for the user if the lease of a dead driver was taken over."""
    _file: LeaseFile
    _content: Mapping[str, object]
    _over: threading.Event = field(default_factory=threading.Event)
    _lost_to: str | None = None
    _folder: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._folder = self._file.device_and_inode()

    @property
    def lost(self) -> bool:
        """Whether another driver is known to have taken over."""
        return self._lost_to is not None

    def check(self) -> None:
        """Check that this driver still holds the storage; call it before writing anything that only a driver writes.

        Raises:
            LeaseLostError: another driver has it.
        """
        if self._lost_to is None:
            self._refresh()
        self.check_heartbeat()

    def check_heartbeat(self) -> None:
        """Check the outcome of the last heartbeat, at no cost.

        Raises:
            LeaseLostError: another driver has the storage.
        """
        if self._lost_to == _GONE:
            raise Stopped(f"{self.location}: {_GONE}; restore it, and the same command continues", TRY_AGAIN_STATUS)
        if self._lost_to is not None:
            raise LeaseLostError(self.location, self._lost_to)

    def _refresh(self) -> bool:
        """Read whether this process holds the lease; otherwise note its holder."""
        data = self._file.read()
        holder = parse(data)
        if self._gone():
            self._lost_to = _GONE
        elif data is None:
            self._lost_to = "another driver, which has ended since,"
        elif holder is not None and holder.content["token"] != self._content["token"]:
            self._lost_to = str(holder)
        return holder is not None and not self.lost

    def _gone(self) -> bool:
        # Whoever still writes, a worker or a log, creates a new folder in its place: the path alone proves nothing.
        return self._file.is_local and self._file.device_and_inode() != self._folder

    def _send_heartbeats(self) -> None:
        count = 0
        while not self._over.wait(HEARTBEAT_SECONDS) and not self.lost:
            count += 1
            if self._gone():  # else the guard would recreate the folder
                self._lost_to = _GONE
                return
            # A storage that cannot be reached now may be reachable for the next one; until then the lease runs down.
            with contextlib.suppress(OSError, RaysweepError), self._file.guard():
                self._file.write(self._content, count, before=self._still_held)

    def _still_held(self) -> None:
        """Raise an error, which ends the attempts to write a heartbeat, once the lease is lost or released."""
        if not self._refresh() or self._over.is_set():
            raise RaysweepError("no heartbeat: the storage is another driver's, or was released")

    def _release(self) -> None:
        self._over.set()
        if self._gone():
            return
        with self._file.guard():
            if self._refresh():
                self._file.delete()


@contextlib.contextmanager
def driver_lease(location: str, say: Callable[[str], object] = lambda _: None) -> Iterator[DriverLease]:
    """Hold a storage while the block runs.

    Args:
        location: the storage.
        say: called with a line for the user if the lease of a driver on another host has to be watched for a while.

    Raises:
        RaysweepError: another driver holds it and is alive.
    """
    file = LeaseFile(location)
    content = file.new_content()
    _wait_for_holder(file, say)
    note = None
    with file.guard():
        holder = file.holder()
        if holder is not None:
            recent = not holder.is_local and file.age() < LEASE_SECONDS - POLL_SECONDS
            if holder.is_alive_here or recent:
                raise RaysweepError(f"{location}: {holder} has just started this sweep; wait for it, or end it")
            note = f"the previous driver, {holder}, is dead; its sweep continues here"
        content |= file.folder()
        file.write(content, 0)
    lease = DriverLease(location, note, file, content)
    if not lease._refresh():  # two started at the same instant, and the other wrote last
        raise RaysweepError(f"{location}: another driver took this sweep at the same moment; wait for it to end")
    threading.Thread(target=lease._send_heartbeats, daemon=True, name="raysweep-driver-lease").start()
    try:
        yield lease
    finally:
        lease._release()


def running_driver(location: str) -> str | None:
    """Describe the driver that runs a sweep; None if none does, or if the one that did is dead."""
    file = LeaseFile(location)
    holder = file.holder()
    if holder is None:
        return None
    if holder.is_local:
        return str(holder) if holder.is_alive_here else None
    written = file.written()
    return str(holder) if written is None or time.time() - written < LEASE_SECONDS else None


def _wait_for_holder(file: LeaseFile, say: Callable[[str], object]) -> None:
    """Wait until no driver that is alive holds the storage.

    Raises:
        RaysweepError: one does.
    """
    with file.guard():
        first = file.read()
    holder = file.holder()
    if holder is None:
        return
    if holder.is_local:
        if holder.is_alive_here:
            raise RaysweepError(f"{file.location}: {holder} runs this sweep; wait for it, or end it (it then resumes)")
        return
    left = LEASE_SECONDS - file.age()
    if left > 0:
        say(f"{holder} holds this sweep, on another host: waiting up to {left:.0f} s to see whether it is alive")
    until = time.monotonic() + left
    while time.monotonic() < until:
        time.sleep(min(POLL_SECONDS, max(0.0, until - time.monotonic())))
        now = file.read()
        if now is None:
            return
        if now != first:
            raise RaysweepError(f"{file.location}: {holder} runs this sweep and is alive; wait for it, or end it")
