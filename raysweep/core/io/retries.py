"""Storage that is reached over a network and does not answer for a while: waited for, and said in a line.

A server that restarts, a link that is cut: what was asked is asked again until there is an answer. Requests are asked
again by the object store's client first, for seconds; this is for minutes.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from pyarrow import fs

from raysweep.core.errors import StorageError

T = TypeVar("T")
PATIENCE_SECONDS = 600.0
"""After this long without an answer a sweep ends with the reason; the same command goes on with it."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0
_AWAY = re.compile(
    r"NETWORK_CONNECTION|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|SLOW_DOWN|THROTTLING|REQUEST_TIMEOUT|RESOURCE_EXHAUSTED"
    r"|curlCode: (5|6|7|18|28|35|52|55|56)\b|HTTP (response code|status):? ?5\d\d|[Tt]imed? ?out|UNAVAILABLE",
)
"""What the errors of pyarrow's object stores say where nobody answers, or a server says that it cannot now.

A refusal (no such bucket, access denied) is none: waiting does not help it.
"""
_over, _away, _telling = [False], [False], threading.Lock()
logger = logging.getLogger("raysweep.storage")


def patiently(filesystem: fs.FileSystem, path: str, action: Callable[[], T]) -> T:
    """Do something with a file, again and again while its storage is away.

    Args:
        filesystem: where the file is; a local one is asked once.
        path: the file, for messages.
        action: what to do; it may be done again where nobody knows whether it was done.

    Raises:
        StorageError: no answer came for `PATIENCE_SECONDS`.
        OSError: what the action raised otherwise.
    """
    if isinstance(filesystem, fs.LocalFileSystem):
        return action()
    began, pause = None, _FIRST_PAUSE_S
    while True:
        try:
            result = action()
        except OSError as error:
            if not _AWAY.search(str(error)):
                raise
            reason = str(error).splitlines()[0][-300:]
            if began is None:
                began = time.monotonic()
                _note_away(path, reason)
            if time.monotonic() - began > PATIENCE_SECONDS or _over[0]:
                raise StorageError(
                    f"{path}: its storage did not answer for {time.monotonic() - began:.0f} s: {reason}. What was "
                    "written before is whole; run the same command again once it is back"
                ) from error
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, 2 * pause)
        else:
            if began is not None:
                _note_back(path, time.monotonic() - began)
            return result


def _note_away(path: str, reason: str) -> None:
    with _telling:
        if not _away[0]:  # of all threads that wait, one says so
            _away[0] = True
            name = path.partition("/")[0]
            logger.warning("storage %s does not answer; it is asked again until it does: %s", name, reason)


def _note_back(path: str, seconds: float) -> None:
    with _telling:
        if _away[0]:
            _away[0] = False
            logger.warning("storage %s answers again, after %.0f s", path.partition("/")[0], seconds)


def lose_patience(lost: bool = True) -> None:
    """Wait for no storage any more, since this process was told to end; or (not `lost`) begin anew."""
    _over[0] = lost
