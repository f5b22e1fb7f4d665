"""The file that says which driver holds a storage, and the identity of that driver's process."""

import contextlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from pyarrow import fs

from raysweep.core.errors import RaysweepError
from raysweep.core.io.files import open_folder, read_whole, write_whole
from raysweep.storage import layout
from raysweep.storage.processes import started, this_machine

_REQUIRED = frozenset({"token", "pid", "pid_started", "host", "boot", "since"})


@dataclass(frozen=True)
class Holder:
    """The driver that a lease file names."""

    content: Mapping[str, object]

    def __str__(self) -> str:
        return f"process {self.content['pid']} on {self.content['host']} (since {self.content['since']})"

    @property
    def is_local(self) -> bool:
        """Whether its process would be visible from here: the same boot of the same host, in the same container.

        Hosts may share a name, and a rebooted one looks like another one: heartbeats distinguish those.
        """
        here = this_machine()
        same_namespace = self.content.get("pid_namespace", here["pid_namespace"]) == here["pid_namespace"]
        return self.content["host"] == here["host"] and self.content["boot"] == here["boot"] and same_namespace

    @property
    def is_alive_here(self) -> bool:
        """Whether its process is alive on this machine."""
        begun = self.content["pid_started"]
        return self.is_local and begun is not None and started(int(str(self.content["pid"]))) == begun


class LeaseFile:
    """The lease file of a storage."""

    def __init__(self, location: str) -> None:
        self.location = location
        self._filesystem, self._root = open_folder(location)
        self._path = f"{self._root}/{layout.LEASE}"

    @property
    def is_local(self) -> bool:
        """Whether the storage is a folder of a file system that is mounted here."""
        return isinstance(self._filesystem, fs.LocalFileSystem)

    def new_content(self) -> dict[str, object]:
        """Describe this process as a holder."""
        return {
            "token": uuid.uuid4().hex,
            "pid": os.getpid(),
            "pid_started": started(os.getpid()),
            **this_machine(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }

    def read(self) -> bytes | None:
        """Read the file as it is; None where there is none."""
        return read_whole(self._filesystem, self._path)

    def holder(self) -> Holder | None:
        """Read who holds the storage; None if nobody does, or if the file was copied with another storage."""
        found = parse(self.read())
        here = self.folder()
        # On another machine path and inode may differ for the same folder: there heartbeats decide.
        if found is None or not here or not found.is_local:
            return found
        return found if any(found.content.get(name, value) == value for name, value in here.items()) else None

    def write(self, content: Mapping[str, object], heartbeat: int, before: Callable[[], object] = lambda: None) -> None:
        """Write the file, with the number of the heartbeat."""
        write_whole(
            self._filesystem, self._path, json.dumps({**content, "beat": heartbeat}, indent=1).encode(), before=before
        )

    def delete(self) -> None:
        """Delete the file."""
        self._filesystem.delete_file(self._path)

    def written(self) -> float | None:
        """Read when the file was written, in seconds since 1970; None where the storage does not say."""
        written = self._filesystem.get_file_info(self._path).mtime_ns
        return None if written is None else written / 1e9

    def age(self) -> float:
        """Measure the seconds since the last heartbeat, by the clock of the storage itself; 0 where it has none."""
        clock = f"{self._root}/.{layout.LEASE}.clock-{uuid.uuid4().hex}"
        try:
            write_whole(self._filesystem, clock, b"now")
        except OSError as error:
            raise self._unwritable(error) from error
        now, last = (self._filesystem.get_file_info(path).mtime_ns for path in (clock, self._path))
        self._filesystem.delete_file(clock)
        return 0.0 if now is None or last is None else max(0.0, (now - last) / 1e9)

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """Exclude other drivers of this host, or of the same NFS, for the block."""
        if not self.is_local:
            yield
            return
        guard = Path(self._root, f".{layout.LEASE}.guard")
        try:
            guard.parent.mkdir(parents=True, exist_ok=True)
            guard.touch()
        except OSError as error:
            raise self._unwritable(error) from error
        with FileLock(guard):
            yield

    def folder(self) -> dict[str, object]:
        """Identify a local folder by its path and its inode, which differs for a copy and survives a move."""
        if not self.is_local:
            return {}
        try:
            return {"path": self._root, "inode": os.stat(self._root).st_ino}
        except OSError:
            return {"path": self._root, "inode": None}

    def device_and_inode(self) -> tuple[int, int] | None:
        """Identify the folder that is at the path now; None where there is none."""
        with contextlib.suppress(OSError):
            status = os.stat(self._root)
            return status.st_dev, status.st_ino
        return None

    def _unwritable(self, error: OSError) -> RaysweepError:
        return RaysweepError(f"storage {self._root} cannot be written to: {error}; choose another `storage`")


def parse(data: bytes | None) -> Holder | None:
    """Parse the content of a lease file; None if it is absent or torn: then nobody holds the storage."""
    try:
        content = None if data is None else json.loads(data)
    except ValueError:
        return None
    return Holder(content) if isinstance(content, dict) and set(content) >= _REQUIRED else None
