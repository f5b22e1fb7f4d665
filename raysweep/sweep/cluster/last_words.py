"""A final line on the terminal for a driver that cannot print it: killed, out of memory, or ended by Ray's core.

Nothing of Python runs in such an end, so a shell waits at the end of a pipe for as long as the driver lives.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator

_SCRIPT = (
    'words=$1; while IFS= read -r line; do words=$line; done; [ -z "$words" ] || printf "raysweep: %s\\n" "$words" >&2'
)
_shells: "list[subprocess.Popen[str]]" = []


@contextlib.contextmanager
def last_words(log: str) -> Iterator[None]:
    """Print a line on standard error if this process dies inside the block.

    Args:
        log: where to look for the reason.
    """
    words = (
        f"the driver (process {os.getpid()}) was ended without a word: killed (for memory?), or by Ray. Its log "
        f"is {log}. What was saved is kept; run the same command again to go on where it stopped"
    )
    try:
        # A session of its own: what is sent to the driver's group is not meant for it.
        shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "sh", words],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, text=True,
        )  # fmt: skip
    except OSError:  # no shell, or no further process is allowed: a sweep needs neither
        yield
        return
    _shells.append(shell)
    try:
        yield
    finally:
        _shells.remove(shell)
        with contextlib.suppress(OSError):
            shell.communicate("\n")


def leave_word(text: str) -> None:
    """Replace the line that `last_words` prints."""
    for shell in _shells:
        if shell.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                shell.stdin.write(f"{' '.join(text.split())}\n")
                shell.stdin.flush()
