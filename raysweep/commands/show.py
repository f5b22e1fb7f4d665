"""Printing: JSON for programs, aligned columns for people."""

import json
import math
from collections.abc import Mapping, Sequence

import typer


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
