"""SIGINT and SIGTERM: the first ends a sweep so that it resumes, a second one ends it at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from raysweep.masking import masked
from raysweep.patience import lose_patience


class Stopped(KeyboardInterrupt):
    """A sweep that ended before it was complete; nothing is lost, the same command goes on with it."""

    def __init__(self, reason: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(masked(reason))


class Interrupted(Stopped):
    """A sweep that was told to end by a signal; its exit status is 128 and the signal's number, as shells expect."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        reason = f"ended by {signal.Signals(signum).name}; run the same command again to go on where it stopped"
        super().__init__(reason, 128 + signum)


_told: list[int] = []
"""Signals that this process was sent since it entered the outermost `interruptible` block."""
_inside = [False]


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` in the block on the first SIGINT or SIGTERM; a second one ends the process.

    Blocks may be nested, an inner one where something has put handlers of its own in between; a second signal ends the
    process wherever the first one was. Ray Tune has no handler for SIGTERM, which Kubernetes and Slurm send: its driver
    aborts with code 134.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outermost, _inside[0] = not _inside[0], True

    def handle(signum: int, frame: FrameType | None) -> None:
        if _told:
            os._exit(128 + signum)
        _told.append(signum)
        lose_patience()
        raise Interrupted(signum)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        if _told:  # Ray's core turns what a handler raises into a plain KeyboardInterrupt
            raise Interrupted(_told[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if outermost:
            _told.clear()
            lose_patience(False)
            _inside[0] = False
