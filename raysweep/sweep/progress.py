"""The terminal output of a running sweep: a line for each ended trial, and a progress line."""

import contextlib
import logging
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from raysweep.core.masking import masked
from raysweep.core.messages import last_line, sound
from raysweep.core.points import Point
from raysweep.core.terminal.live import LiveLine, console_on, counting, duration, working
from raysweep.core.terminal.streams import Output, lossy_output
from raysweep.core.trial import TrialState

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
    """Prints warnings as lines."""

    def __init__(self, say: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(record.getMessage())


@contextlib.contextmanager
def telling(say: Callable[[str], object], name: str) -> Iterator[None]:
    """Print a logger's warnings while the block runs: a storage or an MLflow that is unreachable, or back."""
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
    """A listener that prints a line for each trial that ended; failures of the output do not end a sweep."""

    def __init__(self, console: Console | None = None) -> None:
        # Today's standard output, not a later one: what Ray prints meanwhile is redirected to the log (see `quiet`).
        self.console = console or console_on(lossy_output())
        self.console.file = Output(self.console.file, "standard output", lossy=True)  # type: ignore[arg-type, assignment]
        self._live: LiveLine | None = None
        self._runs: dict[str, _Run] = {}
        self.costs: dict[str, float] = {}
        """By trial id a number that grows with how long the trial takes, for the time left; tuning trials have none."""
        self._total, self._done, self._points = 0, 0, 0
        self._widest = 0
        self._began = time.monotonic()
        self._cost_left, self._spent = 0.0, 0.0
        self._best: tuple[float, str] | None = None
        self._grid_began: float | None = None

    def say(self, text: str) -> None:
        """Print a line above the live one."""
        self._print(Text(sound(masked(text))))

    def _print(self, text: Text) -> None:
        if self.console.is_terminal:  # the terminal breaks words longer than a line, such as paths
            self.console.print(text, overflow="ignore", crop=False)
        else:
            self.console.print(text, soft_wrap=True)

    @contextlib.contextmanager
    def counting(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show a counter of something other than trials while the block runs, and print the time it took.

        The block gets `count(done, total)`.
        """
        with counting(what, self.console) as count:
            yield count.update
        self.say(count.end())

    def working(self, what: str) -> contextlib.AbstractContextManager[None]:
        """Show the activity of the block."""
        return working(what, self.console)

    def begins(self, total: int, done: int, cost_left: float, labels: Sequence[str] = ()) -> None:
        """Begin to count trials.

        Args:
            total: trials of both stages, as far as they are known.
            done: trials that an earlier run ended.
            cost_left: of all remaining trials, in the unit of `costs`.
            labels: of trials to come, so that their lines align.
        """
        self._total, self._done, self._points = total, done, 0
        self._cost_left, self._spent, self._best = cost_left, 0.0, None
        self._widest = max(map(len, labels), default=0)
        self._began = time.monotonic()
        self.say(f"{total} trials" + (f", {done} of them already done" if done else ""))
        if self._live is None:
            self._live = LiveLine(self.console, self._line, keep=True)
            self._live.start()

    def more(self, costs: Mapping[str, float]) -> None:
        """Count further trials, given their costs by trial id, in the unit of `costs`."""
        self._total += len(costs)
        self._cost_left += sum(costs.values())
        self.costs.update(costs)

    def trial_started(
        self, trial_id: str, family: str, stage: str, params: dict[str, str], tags: dict[str, str]
    ) -> None:
        """Note that a trial has begun."""
        size = " ".join(f"{k[5:]}={v}" for k, v in params.items() if k.startswith("size."))
        label = grid_label(family, size, params.get("seed", "?"))
        if stage == "learning_rate":
            label = f"{family} rate={float(params['learning_rate']):.4g}"
        elif self._grid_began is None:
            self._grid_began = time.monotonic()
        self._widest = max(self._widest, len(label))
        self._runs[trial_id] = _Run(family, label, time.monotonic())

    def point(self, trial_id: str, point: Point) -> None:
        """Note a point."""
        run = self._runs.get(trial_id)
        if run is not None:
            run.last = point
            self._points += 1
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
        why = f"  {last_line(message)[:200]}" if message else ""
        width = len(str(self._total))
        head = Text.assemble(f"[{self._done:>{width}}/{self._total}] ", (f"{state:<8}", _COLOURS.get(state, "")))
        rest = f"{run.label:<{self._widest}} {loss:<14} {time.monotonic() - run.began:6.1f} s{why}"
        if not self.console.is_terminal:
            self._print(Text.assemble(head, " ", rest))
            return
        indent = head.cell_len + 1
        if indent + len(rest) > self.console.width:  # no room to align it: it continues below its start
            room = max(20, self.console.width - indent)
            lines = textwrap.wrap(" ".join(rest.split()), room, break_long_words=False, break_on_hyphens=False)
            rest = ("\n" + " " * indent).join(lines)
        self._print(Text.assemble(head, " ", rest))

    def close(self) -> None:
        """Remove the live line."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self) -> str:
        parts = [f"trials {self._done}/{self._total}", f"{len(self._runs)} running"]
        parts.append(self._left())
        if self._best is not None:
            parts += [f"best loss {self._best[0]:.4g} ({self._best[1]})", f"{self._points} points"]
        return " · ".join(parts)

    def _left(self) -> str:
        """Estimate the time left: the remaining cost of the grid at its pace since its first trial."""
        now = time.monotonic()
        if self._spent <= 0 or self._grid_began is None or self._done >= self._total:
            return f"{duration(now - self._began)} so far"
        pace = self._spent / (now - self._grid_began)
        return f"about {duration(max(0.0, (self._cost_left - self._spent) / pace))} left"


def grid_label(family: str, size: str, seed: object) -> str:
    """Return the name of a grid trial on its line."""
    return f"{family} {size} seed={seed}"
