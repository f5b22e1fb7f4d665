"""SIGINT, SIGTERM and SIGHUP: the first stops a sweep so that it can be resumed, a second one ends it at once.

SIGHUP comes when the terminal is closed or its connection is cut. Where it is ignored (`nohup`), it stays ignored, and
the sweep continues.

Exit statuses of a sweep that the same command resumes: 128 and the signal's number; 130 where a cap is reached; 75
(EX_TEMPFAIL of sysexits.h) where its Ray cluster was lost, or another driver took it over.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from raysweep.core.errors import Stopped
from raysweep.core.io.retries import cancel_retries
from raysweep.sweep.cluster.driver.exit_message import set_exit_message


class Interrupted(Stopped):
    """A sweep that was stopped by a signal; its exit status is 128 plus the signal's number, as shells expect."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        reason = f"ended by {signal.Signals(signum).name}; run the same command again to go on where it stopped"
        super().__init__(reason, 128 + signum)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_received: list[int] = []
"""Signals received since this process entered the outermost `interruptible` block."""
_reasons: list[Stopped] = []
"""Reasons given by threads of this process to end that block (see `interrupt`)."""
_inside = [False]


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` in the block on the first SIGINT, SIGTERM or SIGHUP; a second one ends the process.

    Blocks may be nested, the inner one where a library has installed handlers of its own in between; a second signal
    ends the process wherever the first one arrived. Ray Tune has no handler for SIGTERM, which Kubernetes and Slurm
    send: its driver aborts with code 134.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outermost, _inside[0] = not _inside[0], True

    handled = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _handle) for number in handled}
    try:
        yield
    except KeyboardInterrupt:
        if _received:  # Ray's core converts a handler's exception to a plain KeyboardInterrupt
            raise _reason() from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if outermost:
            _received.clear()
            _reasons.clear()
            cancel_retries(False)
            _inside[0] = False


def interrupt(reason: Stopped) -> None:
    """Raise a reason in the main thread's `interruptible` block, from another thread, as a first signal does.

    Does nothing outside of such a block, or after a signal.
    """
    if _received or signal.getsignal(signal.SIGTERM) is not _handle:
        return
    _reasons.append(reason)
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGTERM)  # which wakes it from a system call, too


def _handle(signum: int, frame: FrameType | None) -> None:
    if _received:
        os._exit(128 + signum)
    _received.append(signum)
    cancel_retries()
    set_exit_message(str(_reason()))
    raise _reason()


def _reason() -> Stopped:
    return _reasons[0] if _reasons else Interrupted(_received[0])
