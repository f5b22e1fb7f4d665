"""One driver at a time for a storage: a lock file that outlives nobody, not even a driver that was killed."""

import contextlib
import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs

from raysweep.errors import RaysweepError
from raysweep.files import open_location, read_whole, write_whole

FILE = "driver.json"


@contextlib.contextmanager
def driver_lock(location: str) -> Iterator[str | None]:
    """Hold a storage; gives a note where the lock of a dead driver was taken over.

    Raises:
        RaysweepError: another driver holds it and is alive, or nobody can tell from here.
    """
    filesystem, root = open_location(location)
    path = f"{root}/{FILE}"
    mine: dict[str, object] = {
        "token": uuid.uuid4().hex,
        "pid": os.getpid(),
        "pid_started": _started(os.getpid()),
        "host": socket.gethostname(),
        "boot": _boot(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    note = None
    with _guard(filesystem, root):
        held = _parsed(read_whole(filesystem, path))
        if held is not None:
            note = _take_over(held, mine, location)
        write_whole(filesystem, path, json.dumps(mine, indent=1).encode())
    now = _parsed(read_whole(filesystem, path))
    if now is None or now["token"] != mine["token"]:  # two began in the same instant, and the other wrote last
        raise RaysweepError(f"{location}: another driver took this sweep in the same moment; wait for it to end")
    try:
        yield note
    finally:
        left = _parsed(read_whole(filesystem, path))
        if left is not None and left["token"] == mine["token"]:
            filesystem.delete_file(path)


@contextlib.contextmanager
def _guard(filesystem: fs.FileSystem, root: str) -> Iterator[None]:
    """Keep other drivers of this host, or of the same NFS, from looking and writing at the same time."""
    if not isinstance(filesystem, fs.LocalFileSystem):
        yield
        return
    try:
        Path(root).mkdir(parents=True, exist_ok=True)
        Path(root, f".{FILE}.guard").touch()
    except OSError as error:
        raise RaysweepError(f"storage {root}: cannot be written: {error}; choose another `storage`") from error
    with Path(root, f".{FILE}.guard").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _take_over(held: dict[str, object], mine: dict[str, object], location: str) -> str:
    who = f"process {held['pid']} on {held['host']} (since {held['since']})"
    if held["host"] == mine["host"]:
        same_boot = held["boot"] == mine["boot"]
        if same_boot and _started(int(str(held["pid"]))) == held["pid_started"] and held["pid_started"] is not None:
            raise RaysweepError(f"{location}: {who} runs this sweep; wait for it, or end it (the sweep then resumes)")
        return f"the driver before, {who}, is dead; its sweep goes on here"
    raise RaysweepError(
        f"{location}: {who} runs this sweep, as far as can be told from {mine['host']}; if that process is dead, "
        f"delete {location}/{FILE} and run again"
    )


def _parsed(data: bytes | None) -> dict[str, object] | None:
    """Return the lock's content, None where there is none or it is torn (then nobody can be said to hold it)."""
    try:
        content = None if data is None else json.loads(data)
    except ValueError:
        return None
    wanted = {"token", "pid", "pid_started", "host", "boot", "since"}
    return content if isinstance(content, dict) and wanted <= set(content) else None


def _started(pid: int) -> str | None:
    """Return when a process of this host was started, in clock ticks since boot; None where it is not alive."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _alive_without_proc(pid)
    return None if fields[0] in ("Z", "X") else fields[19]


def _alive_without_proc(pid: int) -> str | None:
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)  # signal 0 asks whether the process exists, and does nothing to it (macOS has no /proc)
    except ProcessLookupError:
        return None
    except PermissionError:
        return "alive"
    return "alive"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"
