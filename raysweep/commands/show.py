"""Printing: JSON for programs, aligned columns for people."""

import json
import math
import time
from collections.abc import Mapping, Sequence

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def print_json(content: Mapping[str, object]) -> None:
    """Print plain values as JSON with full precision; numbers that JSON has no word for become null."""
    typer.echo(json.dumps(_finite(content), indent=1, allow_nan=False))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as aligned lines; the first row is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


class ProgressBar:
    """A bar on standard error while structures are made; where that is no terminal, a line now and then."""

    def __init__(self, what: str = "structures", line_seconds: float = 60.0) -> None:
        console = Console(stderr=True)
        parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*parts, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(what, total=None)
        self._what, self._line_seconds = what, line_seconds
        self._before: int | None = None
        self._began = self._said = time.monotonic()

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._progress.stop()

    def update(self, done: int, wanted: int) -> None:
        """Show how many are done; what an earlier run did does not count for the time left."""
        if self._before is None:
            self._before, self._began = done, time.monotonic()
            self._progress.reset(self._task, completed=done, total=wanted)
        self._progress.update(self._task, completed=done)
        now = time.monotonic()
        if self._progress.disable and now - self._said >= self._line_seconds and done > self._before:
            self._said = now
            left = (now - self._began) / (done - self._before) * (wanted - done)
            typer.echo(f"{done}/{wanted} {self._what}, about {left:.0f} s left", err=True)

    def update_of(self, what: str, done: int, wanted: int) -> None:
        """Show how many are done of what; another thing begins anew."""
        if what != self._what:
            self._what, self._before = what, None
            self._progress.update(self._task, description=what)
        self.update(done, wanted)
