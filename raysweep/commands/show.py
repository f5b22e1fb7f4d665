"""Printing: JSON for programs, aligned columns for people."""

import json
import math
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
    """A bar on standard error while structures are made; nothing where that is no terminal."""

    def __init__(self, what: str = "structures") -> None:
        console = Console(stderr=True)
        parts = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*parts, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(what, total=None)

    def __enter__(self) -> "ProgressBar":
        self._progress.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._progress.stop()

    def update(self, done: int, wanted: int) -> None:
        """Show how many are done."""
        self._progress.update(self._task, completed=done, total=wanted)
