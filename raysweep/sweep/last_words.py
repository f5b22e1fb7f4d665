"""A line on the terminal where a driver ends without a word: killed, out of memory, or ended by Ray's core.

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
    """Have a line printed on standard error where this process does not live to the end of the block.

    Args:
        log: where the reason may stand.
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
    """Say in a line why this process may end from now on, in place of what `last_words` would say."""
    for shell in _shells:
        if shell.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                shell.stdin.write(f"{' '.join(text.split())}\n")
                shell.stdin.flush()
