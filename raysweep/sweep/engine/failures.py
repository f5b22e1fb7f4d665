"""Causes of a worker's failure: its own fault, memory, or the loss of its node."""

import enum
import re

from raysweep.core.errors import StorageError
from raysweep.sweep.guests.protection import shown_error

_MEMORY = re.compile(r"low on memory|memory pressure|OutOfMemoryError|MemoryError", re.IGNORECASE)
_NODE = re.compile(r"its node has died|node was (terminated|preempted)|node has crashed", re.IGNORECASE)
_HOST = re.compile(r"^\s*ip: (\S+)", re.MULTILINE)
_STORAGE = re.compile(rf"{StorageError.__name__}: (.+)")
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


class Failure(enum.Enum):
    """Why a worker ended before its trial did."""

    FAULT = "fault"
    """Its process exited, or was killed: counts towards `resources.max_failures`."""
    MEMORY = "memory"
    """Ray's memory monitor killed it, or an allocation failed: the trial is retried once, alone on a node."""
    NODE = "node"
    """Its node was lost or reclaimed (spot instances): does not count as a failure."""


def cause_of_failure(error: str) -> Failure:
    """Find the cause in the text of Ray's error (ActorDiedError, OutOfMemoryError of ray.exceptions)."""
    if _NODE.search(error):
        return Failure.NODE
    return Failure.MEMORY if _MEMORY.search(error) else Failure.FAULT


def host_of(error: str) -> str | None:
    """Read the address of the host that a worker failed on from the text of Ray's error, if it is there."""
    found = _HOST.search(error)
    return found and found.group(1)


def full_storage(error: str) -> str | None:
    """Read a worker's StorageError from the text of Ray's error, if it raised one."""
    found = _STORAGE.search(error)
    return found and found.group(1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception reports a failed allocation, on the host or on a device (torch's included)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(shown_error(error)) is not None
