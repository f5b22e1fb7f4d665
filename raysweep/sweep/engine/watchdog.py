"""Ends a trial that hangs: a thread in the worker records the stack, and ends the process."""

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
    """Limits on a trial's wall-clock, in seconds; None: no limit."""

    timeout: float | None = None
    """Limit on the whole attempt."""
    stall: float | None = None
    """Limit between two points."""

    def overrun(self, elapsed: float, silent: float) -> str | None:
        """Return which limit is exceeded, in a sentence; None if neither is."""
        if self.timeout is not None and elapsed >= self.timeout:
            return f"ended after {self.timeout:g} s (resources.timeout_seconds)"
        if self.stall is not None and silent >= self.stall:
            return f"ended because no point came for {self.stall:g} s (resources.stall_seconds)"
        return None


class Watchdog:
    """Watches one trial in its worker; at a limit a thread calls `expire` and ends the process."""

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
        """Stop the clock at a point; until `go_on` the trial waits for the driver, which does not count against it."""
        with self._changed:
            self._training = False

    def go_on(self) -> None:
        """Start the clock for the next point."""
        with self._changed:
            self._training, self._last = True, time.monotonic()
            self._arm()

    def stop(self) -> None:
        """End the watch; does not return if the watchdog has ended the trial."""
        with self._changed:
            self._over = True
            if self._wait() is not None:
                faulthandler.cancel_dump_traceback_later()
                self._dump.close()
            self._changed.notify_all()

    def _wait(self) -> float | None:
        """Return the seconds to the next limit, None if there is no limit."""
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
                    self._expire(f"{reason}; its stack:\n{self._stack()}")
                    self._leave(TRY_AGAIN_STATUS)
                    return
                self._changed.wait(self._wait())

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._watched)
        return "".join(traceback.format_stack(frame))[-_STACK_LENGTH:] if frame else "unknown"
