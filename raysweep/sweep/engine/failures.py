"""Why a worker died: of itself, of memory, or with its node, which is no fault of the trial."""

import enum
import re

from raysweep.core.errors import StorageError
from raysweep.sweep.guests.protection import shown_error

_MEMORY = re.compile(r"low on memory|memory pressure|OutOfMemoryError|MemoryError", re.IGNORECASE)
_NODE = re.compile(r"its node has died|node was (terminated|preempted)|node has crashed", re.IGNORECASE)
_HOST = re.compile(r"^\s*ip: (\S+)", re.MULTILINE)
_STORAGE = re.compile(rf"{StorageError.__name__}: (.+)")
_NO_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory", re.IGNORECASE)


class Death(enum.Enum):
    """What ended a worker before its trial."""

    FAULT = "fault"
    """Its process exited, or was killed: counts towards `resources.max_failures`."""
    MEMORY = "memory"
    """Ray's memory monitor killed it, or an allocation failed: the trial is tried once more, alone on a node."""
    NODE = "node"
    """Its node was lost or taken back (spot instances): counts for nothing."""


def cause_of_death(error: str) -> Death:
    """Return why a worker died, from the text of Ray's error (ActorDiedError, OutOfMemoryError of ray.exceptions)."""
    if _NODE.search(error):
        return Death.NODE
    return Death.MEMORY if _MEMORY.search(error) else Death.FAULT


def host_of(error: str) -> str | None:
    """Return the address of the host that a worker died on, from the text of Ray's error; None where it tells none."""
    found = _HOST.search(error)
    return found and found.group(1)


def full_storage(error: str) -> str | None:
    """Return what a worker said of a storage that could not be written, from the text of Ray's error."""
    found = _STORAGE.search(error)
    return found and found.group(1)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that an allocation failed, on the host or on a device (torch's included)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and _NO_MEMORY.search(shown_error(error)) is not None
