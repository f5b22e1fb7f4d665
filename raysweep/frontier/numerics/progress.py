"""A progress line for long fits: on standard error, where that is a terminal, after a second, and gone at the end."""

import sys
import time
from collections.abc import Iterator, Sequence

from raysweep.core.terminal.streams import Output

QUIET_SECONDS = 1.0
"""Before the first line."""
_BETWEEN = 0.2


def shown(steps: Sequence[int], what: str) -> Iterator[int]:
    """Go through steps, and show on a terminal how far that is."""
    stream = Output(sys.stderr, "standard error", lossy=True)
    if not stream.animated:
        yield from steps
        return
    latest, wrote = time.monotonic() + QUIET_SECONDS - _BETWEEN, False
    try:
        for done, step in enumerate(steps):
            if time.monotonic() - latest >= _BETWEEN:
                stream.write(f"\r\x1b[K{what}: {done / len(steps):.0%}")
                stream.flush()
                latest, wrote = time.monotonic(), True
            yield step
    finally:
        if wrote:
            stream.write("\r\x1b[K")
            stream.flush()
