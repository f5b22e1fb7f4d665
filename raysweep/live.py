"""A line that tells how far something is: kept up to date on a terminal, printed once a minute anywhere else."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.text import Text

from raysweep.streams import Output

LINE_SECONDS = 60.0
"""Between two lines where there is no terminal."""
_REFRESHES_PER_SECOND = 4


def console_on(stream: Output) -> Console:
    """Return a console that writes control codes to a terminal alone, and colours where NO_COLOR does not forbid it."""
    coloured = stream.animated and not os.environ.get("NO_COLOR")
    return Console(
        file=stream,  # type: ignore[arg-type]
        force_terminal=stream.animated,
        color_system="auto" if coloured else None,
        highlight=False,
    )


def error_console() -> Console:
    """Return a console on standard error."""
    return console_on(Output(sys.stderr, "standard error", lossy=True))


class LiveLine:
    """A line on a console from `start` to `stop`; a context of its own, too."""

    def __init__(self, console: Console, line: Callable[[], str], *, keep: bool = False) -> None:
        """Prepare the line.

        Args:
            console: where it is shown.
            line: its text now; asked from a thread.
            keep: leave its last state on the terminal.
        """
        self._console, self._line = console, line
        self._over = threading.Event()
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            # The standard streams stay as they are: rich would put back later what somebody has closed by then.
            self._live = Live(
                get_renderable=self._shown, console=console, refresh_per_second=_REFRESHES_PER_SECOND,
                transient=not keep, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip

    def start(self) -> None:
        """Begin to show it."""
        if self._live is not None:
            self._live.start()
        else:
            threading.Thread(target=self._print, daemon=True, name="raysweep-progress").start()

    def stop(self) -> None:
        """Show it no more; again does nothing."""
        if not self._over.is_set():
            self._over.set()
            if self._live is not None:
                self._live.stop()

    def __enter__(self) -> "LiveLine":
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def _shown(self) -> Text:
        return Text(self._line(), style="bold", no_wrap=True, overflow="ellipsis")

    def _print(self) -> None:
        while not self._over.wait(LINE_SECONDS):
            self._console.print(Text(self._line()), soft_wrap=True)


class Count:
    """How many of something are done; what an earlier run did does not count for the time left."""

    def __init__(self, what: str) -> None:
        self._what, self._done, self._total = what, 0, 0
        self._before: int | None = None
        self._began = self._paced = time.monotonic()

    def update(self, done: int, total: int) -> None:
        """Note how many are done by now."""
        if self._before is None:
            self._before, self._paced = done, time.monotonic()
        self._done, self._total = done, total

    def update_of(self, what: str, done: int, total: int) -> None:
        """Note how many are done of what; another thing begins anew."""
        if what != self._what:
            self._what, self._before = what, None
        self.update(done, total)

    @property
    def counted(self) -> str:
        """What there is, without the time."""
        return f"{self._done}/{self._total} {self._what}" if self._total else self._what

    def line(self) -> str:
        """Return what there is, and the time left, or the time so far where nothing tells that."""
        now, made = time.monotonic(), self._done - (self._before or 0)
        if made <= 0 or self._done >= self._total:
            return f"{self.counted} · {duration(now - self._began)} so far"
        left = (now - self._paced) * (self._total - self._done) / made
        return f"{self.counted} · about {duration(left)} left"

    def end(self) -> str:
        """Return what there is and how long it took."""
        return f"{self.counted}, {duration(time.monotonic() - self._began)}"


@contextlib.contextmanager
def counting(what: str, console: Console | None = None) -> Iterator[Count]:
    """Show how far something is while the block runs, on standard error by default; the block updates the count."""
    count = Count(what)
    with LiveLine(console or error_console(), count.line):
        yield count


@contextlib.contextmanager
def working(what: str, console: Console | None = None) -> Iterator[None]:
    """Show what the block is at and how long by now, on standard error by default."""
    with counting(what, console):
        yield


def duration(seconds: float) -> str:
    """Return a duration in words of a person: 1h05m, 3m20s, 7s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
