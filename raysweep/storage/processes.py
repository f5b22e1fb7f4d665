"""Identity of this machine, and liveness of its processes."""

import os
import socket
from pathlib import Path


def this_machine() -> dict[str, object]:
    """Return the identity of this machine, its boot and its container."""
    return {"host": socket.gethostname(), "boot": _boot(), "pid_namespace": _pid_namespace()}


def started(pid: int) -> str | None:
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


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "unknown"
