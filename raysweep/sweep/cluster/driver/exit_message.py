"""A message on the terminal for a driver that dies without printing one: killed, out of memory, or ended by Ray's core.

No Python code runs when it dies like that, so a shell prints the message when the pipe from the driver closes.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator

_SCRIPT = (
    'text=$1; while IFS= read -r line; do text=$line; done; [ -z "$text" ] || printf "raysweep: %s\\n" "$text" >&2'
)
_shells: "list[subprocess.Popen[str]]" = []


@contextlib.contextmanager
def exit_message(log: str) -> Iterator[None]:
    """Print a message on standard error if this process dies inside the block.

    Args:
        log: the log file to name in it.
    """
    text = (
        f"the driver (process {os.getpid()}) died without a message: killed (for memory?), or by Ray. Its log "
        f"is {log}. What was saved is kept; run the same command again to go on where it stopped"
    )
    try:
        # In its own session: signals to the driver's group must not reach it.
        shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "sh", text],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, text=True,
        )  # fmt: skip
    except OSError:  # no shell, or no further process allowed: a sweep needs neither
        yield
        return
    _shells.append(shell)
    try:
        yield
    finally:
        _shells.remove(shell)
        with contextlib.suppress(OSError):
            shell.communicate("\n")


def set_exit_message(text: str) -> None:
    """Replace the message that `exit_message` prints."""
    for shell in _shells:
        if shell.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                shell.stdin.write(f"{' '.join(text.split())}\n")
                shell.stdin.flush()
