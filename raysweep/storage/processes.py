"""Identity of this machine, and liveness of its processes."""

import os
import socket
from pathlib import Path

import psutil

_PROC = Path("/proc")


def this_machine() -> dict[str, object]:
    """Identify this machine, its boot and its container."""
    return {"host": socket.gethostname(), "boot": _boot(), "pid_namespace": _pid_namespace()}


def started(pid: int) -> str | None:
    """Read when a process of this host was started, in clock ticks since boot; None if it is not alive.

    Not by `psutil.Process.create_time`, which adds the boot time by the current clock: setting the clock in between
    would make one process look like two, and a live driver look dead. Without /proc (macOS) the result says only that
    the process exists.
    """
    try:
        fields = Path(_PROC, str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "alive" if not Path(_PROC, "self/stat").exists() and psutil.pid_exists(pid) else None
    return None if fields[0] in ("Z", "X") else fields[19]


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
