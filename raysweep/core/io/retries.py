"""Retries of storage operations while a remote storage does not answer, and waiting for a condition.

The object store's client repeats a request for seconds; these retries outlast a server that restarts or a link that is
down for minutes.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from operator import not_
from typing import TypeVar

from pyarrow import fs
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_delay,
    wait_exponential,
    wait_fixed,
)

from raysweep.core.errors import StorageError

T = TypeVar("T")
RETRY_SECONDS = 600.0
"""Without an answer for so long, a sweep ends with the reason; the same command goes on with it."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0
_OUTAGE = re.compile(
    r"NETWORK_CONNECTION|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|SLOW_DOWN|THROTTLING|REQUEST_TIMEOUT|RESOURCE_EXHAUSTED"
    r"|curlCode: (5|6|7|18|28|35|52|55|56)\b|HTTP (response code|status):? ?5\d\d|[Tt]imed? ?out|UNAVAILABLE",
)
"""Errors of pyarrow's object stores for a server that does not answer, or that cannot serve the request now.

A refusal (no such bucket, access denied) is not among them: it is not retried.
"""
_cancelled = [False]  # not a threading.Event: a signal handler sets it, which might interrupt the event's own lock
_outage, _reporting = [False], threading.Lock()
logger = logging.getLogger("raysweep.storage")


def with_retries(filesystem: fs.FileSystem, path: str, action: Callable[[], T]) -> T:
    """Run an operation on a file, and repeat it while its storage does not answer.

    Args:
        filesystem: where the file is; operations on a local one are not repeated.
        path: the file, for messages.
        action: the operation; it may run again after an attempt whose outcome is unknown.

    Raises:
        StorageError: the storage did not answer for `RETRY_SECONDS`, or retries are cancelled.
        OSError: any other error of the operation.
    """
    if isinstance(filesystem, fs.LocalFileSystem):
        return action()
    began = time.monotonic()
    retrying = Retrying(
        retry=retry_if_exception(_is_outage),
        wait=wait_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
        stop=lambda attempt: _cancelled[0] or stop_after_delay(RETRY_SECONDS)(attempt),
        before_sleep=lambda attempt: _report_outage(path, _reason(attempt)),
    )
    try:
        result = retrying(action)
    except RetryError as error:
        seconds, cause = time.monotonic() - began, error.last_attempt.exception()
        raise StorageError(
            f"{path}: its storage did not answer for {seconds:.0f} s: {_first_line(cause)}. What was written before is "
            "whole; run the same command again once it is back"
        ) from cause
    if retrying.statistics["attempt_number"] > 1:
        _report_recovery(path, time.monotonic() - began)
    return result


def cancel_retries(cancelled: bool = True) -> None:
    """Let pending and further operations fail at their next error, since the process is to end; or permit retries."""
    _cancelled[0] = cancelled


def wait_until(condition: Callable[[], bool], seconds: float, pause: float) -> bool:
    """Poll a condition until it holds.

    Args:
        condition: what is polled.
        seconds: the longest wait.
        pause: seconds between two polls.

    Returns:
        Whether the condition holds.
    """
    polling = Retrying(
        retry=retry_if_result(not_),
        wait=wait_fixed(pause),
        stop=stop_after_delay(seconds),
        retry_error_callback=lambda _: False,
    )
    return bool(polling(condition))


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, OSError) and _OUTAGE.search(str(error)) is not None


def _reason(attempt: RetryCallState) -> str:
    return _first_line(attempt.outcome.exception() if attempt.outcome else None)


def _first_line(error: BaseException | None) -> str:
    return next(iter(str(error).splitlines()), "")[-300:]


def _report_outage(path: str, reason: str) -> None:
    with _reporting:
        if not _outage[0]:  # one report, however many threads wait
            _outage[0] = True
            name = path.partition("/")[0]
            logger.warning("storage %s does not answer; retrying until it does: %s", name, reason)


def _report_recovery(path: str, seconds: float) -> None:
    with _reporting:
        if _outage[0]:
            _outage[0] = False
            logger.warning("storage %s answers again, after %.0f s", path.partition("/")[0], seconds)
