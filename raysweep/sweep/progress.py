"""What a person sees of a running sweep: one live line, and a line for each trial that ended."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.text import Text

from raysweep.masking import masked
from raysweep.measurements import Point
from raysweep.messages import last_line, sound
from raysweep.trial import TrialState

_COLOURS = {
    TrialState.DONE: "green",
    TrialState.STOPPED: "dim",
    TrialState.DIVERGED: "yellow",
    TrialState.FAILED: "red",
    TrialState.OUT_OF_MEMORY: "red",
    TrialState.TIMED_OUT: "red",
    TrialState.CANCELLED: "dim",
}


class _Teller(logging.Handler):
    """Passes warnings on as lines."""

    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


@contextlib.contextmanager
def telling(say: Callable[[str], object], name: str) -> Iterator[None]:
    """Say what a logger warns of while the block runs: of a storage or an MLflow that is away, and that it is back."""
    logger, teller = logging.getLogger(name), _Teller(say)
    logger.addHandler(teller)
    try:
        yield
    finally:
        logger.removeHandler(teller)


@dataclass
class _Run:
    family: str
    label: str
    began: float
    last: Point | None = None


class Progress:
    """Follows the trials as a listener; on anything but a terminal it prints plain lines and no live one."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        # The stream of now, not the one of later: what Ray prints meanwhile is turned into the log (see `quiet`).
        self.console.file = self.console.file
        self._live: Live | None = None
        self._runs: dict[str, _Run] = {}
        self.costs: dict[str, float] = {}
        """By trial id a number that grows with how long the trial takes, for the time left; tuning trials have none."""
        self._total, self._done = 0, 0
        self._began = time.monotonic()
        self._cost_left, self._spent = 0.0, 0.0
        self._best: tuple[float, str] | None = None
        self._grid_began: float | None = None

    def say(self, text: str) -> None:
        """Print a line above the live one."""
        self.console.print(Text(sound(masked(text))), soft_wrap=True)

    @contextlib.contextmanager
    def counting(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Give a function to call with (done, total), shown as one live line; nothing of it on no terminal."""
        began, shown = time.monotonic(), Text()
        before: list[int] = []  # what an earlier run did says nothing about the pace of this one

        def count(done: int, total: int) -> None:
            if not before:
                before.append(done)
            elapsed, now = time.monotonic() - began, done - before[0]
            left = f" · about {_minutes(elapsed * (total - done) / now)} left" if now and done < total else ""
            shown.plain = f"{done}/{total} {what}{left}"

        with self._live_line(lambda: shown, transient=True) if self.console.is_terminal else contextlib.nullcontext():
            yield count
        self.say(f"{shown.plain or what}, {_minutes(time.monotonic() - began)}")

    def begins(self, total: int, done: int, cost_left: float) -> None:
        """Begin to count trials.

        Args:
            total: trials of both stages, as far as they are known.
            done: trials that an earlier run ended.
            cost_left: of all trials that are left, in the unit of `costs`.
        """
        self._total, self._done = total, done
        self._cost_left, self._spent, self._best = cost_left, 0.0, None
        self._began = time.monotonic()
        self.say(f"{total} trials" + (f", {done} of them done before" if done else ""))
        if self.console.is_terminal and self._live is None:
            self._live = self._live_line(self._line)
            self._live.start()

    def more(self, costs: Mapping[str, float]) -> None:
        """Count further trials, by trial id with what they cost, in the unit of `costs`."""
        self._total += len(costs)
        self._cost_left += sum(costs.values())
        self.costs.update(costs)

    def trial_started(
        self, trial_id: str, family: str, stage: str, params: dict[str, str], tags: dict[str, str]
    ) -> None:
        """Note that a trial runs."""
        size = " ".join(f"{k[5:]}={v}" for k, v in params.items() if k.startswith("size."))
        label = f"{family} {size} seed={params.get('seed', '?')}"
        if stage == "learning_rate":
            label = f"{family} rate={float(params['learning_rate']):.4g}"
        elif self._grid_began is None:
            self._grid_began = time.monotonic()
        self._runs[trial_id] = _Run(family, label, time.monotonic())

    def point(self, trial_id: str, point: Point) -> None:
        """Note a point."""
        run = self._runs.get(trial_id)
        if run is not None:
            run.last = point
            if self._best is None or point.loss < self._best[0]:
                self._best = (point.loss, run.family)

    def trial_ended(self, trial_id: str, state: TrialState, message: str | None) -> None:
        """Print the trial's line."""
        run = self._runs.pop(trial_id, None)
        if run is None:
            return
        self._done += 1
        self._total = max(self._total, self._done)
        self._spent += self.costs.get(trial_id, 0.0)
        loss = f"loss {run.last.loss:.4g}" if run.last else "no point"
        width = len(str(self._total))
        line = Text(f"[{self._done:>{width}}/{self._total}] ")
        line.append(f"{state:<8}", style=_COLOURS.get(state, ""))
        line.append(f" {run.label:<44} {loss:<14} {time.monotonic() - run.began:6.1f} s")
        if message:
            line.append(f"  {last_line(message)[:200]}")
        self.console.print(line, soft_wrap=True)

    def close(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _live_line(self, line: Callable[[], Text], *, transient: bool = False) -> Live:
        # The streams stay as they are: `quiet` turns them, within which rich would put back what is closed by then.
        return Live(
            get_renderable=line, console=self.console, refresh_per_second=4, transient=transient,
            redirect_stdout=False, redirect_stderr=False,
        )  # fmt: skip

    def _line(self) -> Text:
        parts = [f"trials {self._done}/{self._total}", f"{len(self._runs)} running"]
        if self._best is not None:
            parts.append(f"best loss {self._best[0]:.4g} ({self._best[1]})")
        parts.append(self._left())
        return Text(" · ".join(part for part in parts if part), style="bold")

    def _left(self) -> str:
        """Return the time left: of the grid, the cost that is left at the pace since its first trial began."""
        now = time.monotonic()
        if self._spent <= 0 or self._grid_began is None or self._done >= self._total:
            return f"{_minutes(now - self._began)} so far"
        pace = self._spent / (now - self._grid_began)
        return f"about {_minutes(max(0.0, (self._cost_left - self._spent) / pace))} left"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
