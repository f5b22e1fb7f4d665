"""A progress line: updated in place on a terminal, printed once a minute elsewhere."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.live import Live
from rich.text import Text

from raysweep.core.terminal.streams import Output

LINE_SECONDS = 60.0
"""Between two lines where there is no terminal."""
_REFRESHES_PER_SECOND = 4


def console_on(stream: Output) -> Console:
    """Create a console that writes control codes to a terminal only, and colours unless NO_COLOR is set."""
    coloured = stream.animated and not os.environ.get("NO_COLOR")
    return Console(
        file=stream,  # type: ignore[arg-type]
        force_terminal=stream.animated,
        color_system="auto" if coloured else None,
        highlight=False,
    )


def error_console() -> Console:
    """Create a console on standard error."""
    return console_on(Output(sys.stderr, "standard error", lossy=True))


class LiveLine:
    """A progress line on a console between `start` and `stop`; also a context manager."""

    def __init__(self, console: Console, line: Callable[[], str], *, keep: bool = False) -> None:
        """Prepare the line.

        Args:
            console: where it is shown.
            line: returns the current text; called from a thread.
            keep: whether the last text stays on the terminal.
        """
        self._console, self._line = console, line
        self._over = threading.Event()
        self._live: Live | None = None
        if console.is_terminal and not console.is_dumb_terminal:
            # The standard streams are not redirected: rich would restore them later, when they may be closed.
            self._live = Live(
                get_renderable=self._shown, console=console, refresh_per_second=_REFRESHES_PER_SECOND,
                transient=not keep, redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip

    def start(self) -> None:
        """Start showing the line."""
        if self._live is not None:
            self._live.start()
        else:
            threading.Thread(target=self._print, daemon=True, name="raysweep-progress").start()

    def stop(self) -> None:
        """Stop showing the line; further calls do nothing."""
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
    """A count of finished items, whose estimate of the remaining time ignores items from earlier runs."""

    def __init__(self, what: str) -> None:
        self._what, self._done, self._total = what, 0, 0
        self._before: int | None = None
        self._began = self._paced = time.monotonic()

    def update(self, done: int, total: int) -> None:
        """Set the number of finished items."""
        if self._before is None:
            self._before, self._paced = done, time.monotonic()
        self._done, self._total = done, total

    def update_of(self, what: str, done: int, total: int) -> None:
        """Set the number of finished items; a new kind of item restarts the estimate."""
        if what != self._what:
            self._what, self._before = what, None
        self.update(done, total)

    @property
    def counted(self) -> str:
        """The count without the time."""
        return f"{self._done}/{self._total} {self._what}" if self._total else self._what

    def line(self) -> str:
        """Format the count with the estimated remaining time, or the elapsed time if there is no estimate."""
        now, made = time.monotonic(), self._done - (self._before or 0)
        if made <= 0 or self._done >= self._total:
            return f"{self.counted} · {duration(now - self._began)} so far"
        left = (now - self._paced) * (self._total - self._done) / made
        return f"{self.counted} · about {duration(left)} left"

    def end(self) -> str:
        """Format the count with the elapsed time."""
        return f"{self.counted}, {duration(time.monotonic() - self._began)}"


@contextlib.contextmanager
def counting(what: str, console: Console | None = None) -> Iterator[Count]:
    """Show progress on standard error (by default) while the block runs and updates the count."""
    count = Count(what)
    with LiveLine(console or error_console(), count.line):
        yield count


@contextlib.contextmanager
def working(what: str, console: Console | None = None) -> Iterator[None]:
    """Show the current step and its elapsed time while the block runs, on standard error by default."""
    with counting(what, console):
        yield


def duration(seconds: float) -> str:
    """Format a duration for people: 1h05m, 3m20s, 7s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
