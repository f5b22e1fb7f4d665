"""Ensure that a storage has one driver at a time, by a lease that expires when its driver dies.

A driver on the same machine is asked for by its process, so that its death is known at once. One elsewhere is known by
its beats alone: where none comes for `LEASE_SECONDS` it is taken to be dead, and another driver takes the storage over.
The first one, should it live after all (its network was cut, its machine slept), finds that out before it writes
anything, and ends. No clocks of two machines are compared: ages are those that the storage tells, or are waited for.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock
from pyarrow import fs

from raysweep.core.errors import TRY_AGAIN_STATUS, RaysweepError, Stopped
from raysweep.core.io.files import open_folder, read_whole, write_whole
from raysweep.storage import layout
from raysweep.storage.processes import started, this_machine

BEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0
"""Without a beat; then a driver on another host counts as dead. Six beats: one that is slow is not one that is dead."""
POLL_SECONDS = 1.0
_GONE = "its folder was deleted, moved or unmounted under the sweep"
_WANTED = frozenset({"token", "pid", "pid_started", "host", "boot", "since"})
_IO = (OSError, RaysweepError)


class LockLostError(Stopped):
    """Another driver has taken the sweep over, since this one was not heard of for too long; it writes no more."""

    def __init__(self, location: str, holder: str) -> None:
        reason = f"{location}: {holder} has taken this sweep over, since this driver was not heard of; it goes on there"
        super().__init__(reason, TRY_AGAIN_STATUS)


@dataclass
class DriverLock:
    """A storage that this process holds."""

    location: str
    note: str | None
    """In words, where the lock of a dead driver was taken over."""
    _filesystem: fs.FileSystem
    _root: str
    _mine: dict[str, object]
    _over: threading.Event = field(default_factory=threading.Event)
    _lost_to: str | None = None
    _folder: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._folder = self._identity()

    @property
    def lost(self) -> bool:
        """Whether it is known that another driver has taken over."""
        return self._lost_to is not None

    def check(self) -> None:
        """Check that the storage is still held; call it before writing anything that only a driver writes.

        Raises:
            LockLostError: another driver has it.
        """
        if self._lost_to is None:
            self._look()
        self.check_beats()

    def check_beats(self) -> None:
        """Check the result of the last beat, at no cost.

        Raises:
            LockLostError: another driver has it.
        """
        if self._lost_to == _GONE:
            raise Stopped(f"{self.location}: {_GONE}; bring it back, and the same command goes on", TRY_AGAIN_STATUS)
        if self._lost_to is not None:
            raise LockLostError(self.location, self._lost_to)

    def _look(self) -> bool:
        """Return whether this process holds the lock; otherwise record its holder."""
        data = read_whole(self._filesystem, f"{self._root}/{layout.LEASE}")
        held = _parsed(data)
        if self._gone():
            self._lost_to = _GONE
        elif data is None:
            self._lost_to = "another driver, which has ended since,"
        elif held is not None and held["token"] != self._mine["token"]:
            self._lost_to = _who(held)
        return held is not None and not self.lost

    def _gone(self) -> bool:
        # Whoever still writes, a worker or a log, makes a new folder in its place: the path alone tells nothing.
        return isinstance(self._filesystem, fs.LocalFileSystem) and self._identity() != self._folder

    def _identity(self) -> tuple[int, int] | None:
        with contextlib.suppress(OSError):
            status = os.stat(self._root)
            return status.st_dev, status.st_ino
        return None

    def _beat(self) -> None:
        count = 0
        while not self._over.wait(BEAT_SECONDS) and not self.lost:
            count += 1
            if self._gone():  # else the guard would make the folder anew
                self._lost_to = _GONE
                return
            with contextlib.suppress(*_IO), _guard(self._filesystem, self._root):
                # A storage that cannot be reached now may be reached for the next beat; until then the lease runs down.
                content = json.dumps({**self._mine, "beat": count}, indent=1)
                write_whole(self._filesystem, f"{self._root}/{layout.LEASE}", content.encode(), before=self._beat_on)

    def _beat_on(self) -> None:
        """Raise an error, which ends the attempts to write a beat, once the lock is lost or released."""
        if not self._look() or self._over.is_set():
            raise RaysweepError("no beat: the storage is another driver's, or given back")

    def _release(self) -> None:
        self._over.set()
        if self._gone():
            return
        with _guard(self._filesystem, self._root):
            if self._look():
                self._filesystem.delete_file(f"{self._root}/{layout.LEASE}")


@contextlib.contextmanager
def driver_lock(location: str, say: Callable[[str], object] = lambda _: None) -> Iterator[DriverLock]:
    """Hold a storage while the block runs.

    Args:
        location: the storage.
        say: is told where the lock of a driver on another host has to be watched for a while.

    Raises:
        RaysweepError: another driver holds it and is alive.
    """
    filesystem, root = open_folder(location)
    mine: dict[str, object] = {
        "token": uuid.uuid4().hex,
        "pid": os.getpid(),
        "pid_started": started(os.getpid()),
        **this_machine(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    _watch(filesystem, root, mine, location, say)
    note = None
    with _guard(filesystem, root):
        held = _held(filesystem, root)
        if held is not None:
            if _alive_here(held, mine) or (not _same_machine(held, mine) and _fresh(filesystem, root)):
                raise RaysweepError(f"{location}: {_who(held)} has just begun this sweep; wait for it, or end it")
            note = f"the driver before, {_who(held)}, is dead; its sweep goes on here"
        mine |= _folder(filesystem, root)
        write_whole(filesystem, f"{root}/{layout.LEASE}", json.dumps({**mine, "beat": 0}, indent=1).encode())
    lock = DriverLock(location, note, filesystem, root, mine)
    if not lock._look():  # two began in the same instant, and the other wrote last
        raise RaysweepError(f"{location}: another driver took this sweep in the same moment; wait for it to end")
    beats = threading.Thread(target=lock._beat, daemon=True, name="raysweep-driver-lock")
    beats.start()
    try:
        yield lock
    finally:
        lock._release()


def running_driver(location: str) -> str | None:
    """Return in words which driver runs a sweep, None where none does, or the one that did is dead."""
    filesystem, root = open_folder(location)
    held = _held(filesystem, root)
    if held is None:
        return None
    mine = this_machine()
    if _same_machine(held, mine):
        return _who(held) if _alive_here(held, mine) else None
    written = filesystem.get_file_info(f"{root}/{layout.LEASE}").mtime_ns
    return _who(held) if written is None or time.time() - written / 1e9 < LEASE_SECONDS else None


def _watch(
    filesystem: fs.FileSystem, root: str, mine: dict[str, object], location: str, say: Callable[[str], object]
) -> None:
    """Return once nobody who is alive holds the storage.

    Raises:
        RaysweepError: somebody does.
    """
    path = f"{root}/{layout.LEASE}"
    with _guard(filesystem, root):
        first = read_whole(filesystem, path)
    held = _held(filesystem, root)
    if held is None:
        return
    if _same_machine(held, mine):
        if _alive_here(held, mine):
            raise RaysweepError(f"{location}: {_who(held)} runs this sweep; wait for it, or end it (it then resumes)")
        return
    left = LEASE_SECONDS - _age(filesystem, root)
    if left > 0:
        say(f"{_who(held)} holds this sweep, on another host: watching up to {left:.0f} s whether it is alive")
    until = time.monotonic() + left
    while time.monotonic() < until:
        time.sleep(min(POLL_SECONDS, max(0.0, until - time.monotonic())))
        now = read_whole(filesystem, path)
        if now is None:
            return
        if now != first:
            raise RaysweepError(f"{location}: {_who(held)} runs this sweep and is alive; wait for it, or end it")


def _fresh(filesystem: fs.FileSystem, root: str) -> bool:
    return _age(filesystem, root) < LEASE_SECONDS - POLL_SECONDS


def _age(filesystem: fs.FileSystem, root: str) -> float:
    """Return the seconds since the last beat, by the clock of the storage itself; 0 where it has none."""
    clock = f"{root}/.{layout.LEASE}.clock-{uuid.uuid4().hex}"
    try:
        write_whole(filesystem, clock, b"now")
    except OSError as error:
        raise RaysweepError(f"storage {root}: cannot be written: {error}; choose another `storage`") from error
    now, beat = (filesystem.get_file_info(path).mtime_ns for path in (clock, f"{root}/{layout.LEASE}"))
    filesystem.delete_file(clock)
    return 0.0 if now is None or beat is None else max(0.0, (now - beat) / 1e9)


@contextlib.contextmanager
def _guard(filesystem: fs.FileSystem, root: str) -> Iterator[None]:
    """Exclude other drivers of this host, or of the same NFS, for the block."""
    if not isinstance(filesystem, fs.LocalFileSystem):
        yield
        return
    try:
        Path(root).mkdir(parents=True, exist_ok=True)
        Path(root, f".{layout.LEASE}.guard").touch()
    except OSError as error:
        raise RaysweepError(f"storage {root}: cannot be written: {error}; choose another `storage`") from error
    with FileLock(Path(root, f".{layout.LEASE}.guard")):
        yield


def _who(held: dict[str, object]) -> str:
    return f"process {held['pid']} on {held['host']} (since {held['since']})"


def _same_machine(held: Mapping[str, object], mine: Mapping[str, object]) -> bool:
    """Return whether the holder's process could be seen from here: the same boot of the same host, the same container.

    Hosts may share a name, and one that was booted anew looks like another one: those are told apart by beats alone.
    """
    same_namespace = held.get("pid_namespace", mine["pid_namespace"]) == mine["pid_namespace"]
    return held["host"] == mine["host"] and held["boot"] == mine["boot"] and same_namespace


def _alive_here(held: Mapping[str, object], mine: Mapping[str, object]) -> bool:
    if not _same_machine(held, mine):
        return False
    return held["pid_started"] is not None and started(int(str(held["pid"]))) == held["pid_started"]


def _folder(filesystem: fs.FileSystem, root: str) -> dict[str, object]:
    """Return the path of a local folder and its inode, which tells it from a copy and survives a move."""
    if not isinstance(filesystem, fs.LocalFileSystem):
        return {}
    try:
        found = os.stat(root)
    except OSError:
        return {"path": root, "inode": None}
    return {"path": root, "inode": found.st_ino}


def _held(filesystem: fs.FileSystem, root: str) -> dict[str, object] | None:
    """Return the holder of a storage; None without one, or if the lock was copied with another storage."""
    held = _parsed(read_whole(filesystem, f"{root}/{layout.LEASE}"))
    here = _folder(filesystem, root)
    # On another machine path and number may differ for the same folder: there its beats tell.
    if held is None or not here or not _same_machine(held, this_machine()):
        return held
    return held if any(held.get(name, value) == value for name, value in here.items()) else None


def _parsed(data: bytes | None) -> dict[str, object] | None:
    """Return the lock's content, None where there is none or it is torn (then nobody can be said to hold it)."""
    try:
        content = None if data is None else json.loads(data)
    except ValueError:
        return None
    return content if isinstance(content, dict) and set(content) >= _WANTED else None
