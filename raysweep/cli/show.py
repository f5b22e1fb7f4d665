"""Print results: JSON for programs, text for people."""

import json
import math
import shutil
import sys
from collections.abc import Mapping

import typer

from raysweep.core.masking import masked, masked_values
from raysweep.core.text import fitted


def print_json(content: Mapping[str, object]) -> None:
    """Print plain values as JSON with full precision; numbers that are not finite become null."""
    typer.echo(json.dumps(_finite(masked_values(dict(content))), indent=1, allow_nan=False))


def show(text: str) -> None:
    """Print text, wrapped to the width of the terminal and without the passwords in its addresses."""
    text = masked(text)
    typer.echo(fitted(text, shutil.get_terminal_size().columns) if sys.stdout.isatty() else text)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value
