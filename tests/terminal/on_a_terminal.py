"""Runs a command on a terminal (a pty), as a person has it: with a size, ctrl-c and a window that can be closed.

Also a command of its own: python on_a_terminal.py [--columns N] COMMAND ... shows what the command prints, and ends as
it ends.
"""

import argparse
import codecs
import contextlib
import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

CONTROL = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>78])|\x07")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
ROWS = 40
# A child cannot take a terminal by `subprocess` alone: the first one that a new session opens is its own.
_ON_IT = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as a shell leaves it, also where the tests run under nohup
os.setsid()
tty = os.open(sys.argv[1], os.O_RDWR)
for stream in range(3):
    os.dup2(tty, stream)
os.execvpe(sys.argv[2], sys.argv[2:], os.environ)
"""


class Process(Protocol):
    """What a command on a terminal is, whoever started it."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


def _new_process(
    command: Sequence[str], *, folder: Path | None, environment: Mapping[str, str] | None, terminal: str
) -> Process:
    return subprocess.Popen(
        [sys.executable, "-S", "-c", _ON_IT, terminal, *command],
        cwd=folder,
        env=None if environment is None else dict(environment),
        stdin=subprocess.DEVNULL,
    )


class OnTerminal:
    """A command on a terminal; its whole session is ended with the block."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 80,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        show: bool = False,
        start: Callable[..., Process] | None = None,
    ) -> None:
        """Start the command.

        Args:
            command: the program and its arguments.
            columns: width of the terminal.
            folder: where to run it.
            environment: of the command; that of this process by default.
            show: also print what it prints, as it comes.
            start: starts it (`tests.drivers.Driver`); by default as a shell does, in a new process.
        """
        self._show, self._text, self._news = show, "", threading.Condition()
        self._master, self._slave = os.openpty()  # held until the command ends: a terminal that nobody has open is over
        self.resize(columns)
        how = {"folder": folder, "environment": environment, "terminal": os.ttyname(self._slave)}
        self._process: Process = (start or _new_process)(command, **how)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "OnTerminal":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._let_go()
        self._reader.join(10)
        self.close()

    @property
    def pid(self) -> int:
        """Of the command."""
        return self._process.pid

    @property
    def raw(self) -> str:
        """What it has printed so far, with control codes."""
        return self._text

    @property
    def text(self) -> str:
        """What it has printed so far, without control codes, in lines."""
        return CONTROL.sub("", self._text).replace("\r\n", "\n").replace("\r", "\n")

    def resize(self, columns: int) -> None:
        """Make the window narrower or wider; the command is told by SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))

    def press(self, keys: str) -> None:
        """Type something, such as ctrl-c (\\x03)."""
        os.write(self._master, keys.encode())

    def close(self) -> None:
        """Close the window: the command gets SIGHUP, and whoever writes to the terminal afterwards an error."""
        if self._master >= 0:
            with contextlib.suppress(OSError):
                os.close(self._master)
            self._master = -1

    def wait_for(self, pattern: str, seconds: float = 120) -> None:
        """Wait until the text has what a regular expression says."""
        until = time.monotonic() + seconds
        with self._news:
            while not re.search(pattern, self.text):
                assert self._process.poll() is None, f"the command ended without printing {pattern!r}:\n{self.text}"
                assert time.monotonic() < until, f"{pattern!r} was not printed within {seconds} s:\n{self.text}"
                self._news.wait(0.5)

    def end(self, seconds: float = 240) -> int:
        """Wait for the command's end and return its exit status; all that it printed is in `text` then."""
        status = self._process.wait(seconds)
        self._let_go()
        self._reader.join(10)
        return status

    def _let_go(self) -> None:
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def _read(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
        while True:
            try:
                data = os.read(self._master, 65536)
            except OSError:  # EIO: the last process that had the terminal has ended; EBADF: closed
                data = b""
            with self._news:
                self._text += decode(data)
                self._news.notify_all()
            if not data:
                return
            if self._show:
                sys.stdout.write(data.decode(errors="replace"))
                sys.stdout.flush()


def main() -> int:
    """Run the command that the arguments name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--columns", type=int, default=120)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    began = time.monotonic()
    with OnTerminal(given.command, columns=given.columns, show=True) as running:
        status = running.end(seconds=3600)
    sys.stdout.write(f"exit status {status} after {time.monotonic() - began:.0f} s on a terminal\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
