"""SIGINT and SIGTERM: the first ends a sweep so that it resumes, a second one ends it at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A sweep that was told to end; nothing is lost, the same command goes on with it."""

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(
            f"ended by {signal.Signals(signum).name}; run the same command again to go on where it stopped"
        )

    @property
    def exit_code(self) -> int:
        """Exit status that a shell expects: 128 and the signal's number."""
        return 128 + self.signum


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise `Interrupted` in the block on the first SIGINT or SIGTERM; a second one ends the process.

    Ray Tune has no handler for SIGTERM, which Kubernetes and Slurm send: its driver aborts with code 134.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[int] = []

    def handle(signum: int, frame: FrameType | None) -> None:
        if told:
            os._exit(128 + signum)
        told.append(signum)
        raise Interrupted(signum)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except KeyboardInterrupt:
        if told:  # Ray's core turns what a handler raises into a plain KeyboardInterrupt
            raise Interrupted(told[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
