"""Ends a trial that hangs: a thread in the worker writes down what it hung in, and takes the process with it."""

import faulthandler
import os
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from raysweep.core.errors import TRY_AGAIN_STATUS

GRACE_SECONDS = 10.0
"""After a limit, for the thread to write the end: a call that keeps Python's lock is then ended from outside Python."""
_STACK_LENGTH = 1500


@dataclass(frozen=True)
class Limits:
    """How long a trial may take, in seconds of wall-clock; None: for ever."""

    timeout: float | None = None
    """From the beginning of this attempt to its end."""
    stall: float | None = None
    """From one point to the next."""

    def overrun(self, elapsed: float, silent: float) -> str | None:
        """Return in words which limit is passed, None where neither is."""
        if self.timeout is not None and elapsed >= self.timeout:
            return f"ended after {self.timeout:g} s (resources.timeout_seconds)"
        if self.stall is not None and silent >= self.stall:
            return f"ended since no point came for {self.stall:g} s (resources.stall_seconds)"
        return None


class Watchdog:
    """Watches one trial in its worker; `expire` is called once, by a thread, and the process does not outlive it."""

    def __init__(
        self, limits: Limits, expire: Callable[[str], object], leave: Callable[[int], object] = os._exit
    ) -> None:
        self._limits, self._expire, self._leave = limits, expire, leave
        self._began = self._last = time.monotonic()
        self._training = True
        self._over = False
        self._changed = threading.Condition()
        self._watched = threading.get_ident()
        if limits.timeout is not None or limits.stall is not None:
            # Of its own file: standard error of a worker may be no file at all.
            self._dump = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the trial
            self._arm()
            threading.Thread(target=self._watch, daemon=True, name="raysweep-watchdog").start()

    def pause(self) -> None:
        """Note that a point has come; until `go_on` the trial waits for the driver, which is no fault of its own."""
        with self._changed:
            self._training = False

    def go_on(self) -> None:
        """Note that the next point is being worked out."""
        with self._changed:
            self._training, self._last = True, time.monotonic()
            self._arm()

    def stop(self) -> None:
        """End the watch; returns only where the trial was not ended by it."""
        with self._changed:
            self._over = True
            if self._wait() is not None:
                faulthandler.cancel_dump_traceback_later()
                self._dump.close()
            self._changed.notify_all()

    def _wait(self) -> float | None:
        """Return the seconds to the next limit, None where there is no limit at all."""
        now, ends = time.monotonic(), []
        if self._limits.timeout is not None:
            ends.append(self._began + self._limits.timeout)
        if self._limits.stall is not None:
            ends.append((self._last if self._training else now) + self._limits.stall)
        return None if not ends else max(0.0, min(ends) - now)

    def _arm(self) -> None:
        wait = self._wait()
        if wait is not None:
            faulthandler.dump_traceback_later(wait + GRACE_SECONDS, exit=True, file=self._dump)

    def _watch(self) -> None:
        with self._changed:
            while not self._over:
                now = time.monotonic()
                reason = self._limits.overrun(now - self._began, now - self._last if self._training else 0.0)
                if reason is not None:
                    self._expire(f"{reason}; it was here:\n{self._stack()}")
                    self._leave(TRY_AGAIN_STATUS)
                    return
                self._changed.wait(self._wait())

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._watched)
        return "".join(traceback.format_stack(frame))[-_STACK_LENGTH:] if frame else "unknown"
