"""Standard output and standard error that take any text, and whose failure is told in one line or not at all.

A reader that has gone (`| head`), a disk that is full, a terminal that was closed, an encoding without Greek letters:
none of them may end a sweep in a traceback, or at all.
"""

import codecs
import contextlib
import errno
import io
import os
import sys
import unicodedata
from collections.abc import Iterator
from typing import TextIO

from raysweep.errors import OutputError

_PLAIN = {
    "α": "alpha", "β": "beta", "γ": "gamma", "η": "eta", "κ": "kappa", "λ": "lambda", "σ": "sigma", "·": "-", "×": "x",
    "±": "+-", "≈": "~", "−": "-", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "→": "->", "√": "sqrt", "∞": "inf",
}  # fmt: skip
"""What we print beyond ASCII, in words of ASCII; letters with accents and the like lose those."""
_HANDLER = "raysweep-plain"
_DUMB = ("", "dumb", "unknown")
BROKEN_PIPE_STATUS = 141
"""What a shell says of a program that SIGPIPE ended: 128 + 13."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(_plain_letter, error.object[error.start : error.end])), error.end


def _plain_letter(letter: str) -> str:
    known = _PLAIN.get(letter)
    return known or unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"


codecs.register_error(_HANDLER, _plain)


class Output(io.TextIOBase):
    """Text into another stream, in what letters that one has.

    Attributes:
        failure: why something that was written was lost, the first time; None: nothing was.
    """

    def __init__(self, stream: "TextIO | Output | None", name: str, *, lossy: bool) -> None:
        """Wrap a stream.

        Args:
            stream: where text goes; None: a standard stream that was closed before the process began.
            name: of the stream, for messages.
            lossy: lose what cannot be written instead of raising an `OutputError`.
        """
        self._stream: TextIO | None = stream._stream if isinstance(stream, Output) else stream
        self._name, self._lossy = name, lossy
        self.failure: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Any text may be written."""
        return "utf-8"

    def writable(self) -> bool:
        """Text may always be written."""
        return True

    def isatty(self) -> bool:
        """Return whether a person looks on."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):  # closed meanwhile
            return False

    @property
    def animated(self) -> bool:
        """Whether the stream is a terminal that takes control codes."""
        return self.isatty() and os.environ.get("TERM", "").lower() not in _DUMB

    def close(self) -> None:
        """Leave the stream beneath open: it is somebody else's."""

    def fileno(self) -> int:
        """Return the file descriptor of the stream beneath."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    @property
    def buffer(self) -> io.BufferedIOBase:
        """The stream beneath, for bytes."""
        return self._stream.buffer  # type: ignore[union-attr, return-value]

    def write(self, text: str) -> int:
        """Write text.

        Raises:
            OutputError: it cannot be written, and the stream is not lossy.
        """
        with self._told():
            if self._stream is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._stream.write(self._fitting(text))
        return len(text)

    def flush(self) -> None:
        """Pass on what the stream beneath has kept back.

        Raises:
            OutputError: it cannot be written, and the stream is not lossy.
        """
        if self._stream is not None:
            with self._told():
                self._stream.flush()

    def _fitting(self, text: str) -> str:
        encoding = getattr(self._stream, "encoding", None)
        return text.encode(encoding, _HANDLER).decode(encoding) if isinstance(encoding, str) else text

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: somebody has closed it
            failure = error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
            self.failure = self.failure or failure
            if not self._lossy:
                broken = failure.errno == errno.EPIPE
                raise OutputError(f"{self._name}: {failure.strerror or failure}", broken_pipe=broken) from error


def lossy_output() -> Output:
    """Return the standard output of now as a stream whose failure ends nothing."""
    return Output(sys.stdout, "standard output", lossy=True)


def tell(text: str) -> None:
    """Write a line of ours to standard error, as far as that takes one."""
    stream = Output(sys.stderr, "standard error", lossy=True)
    stream.write(f"raysweep: {text}\n")
    stream.flush()


@contextlib.contextmanager
def command_streams() -> Iterator[None]:
    """Let a command have streams of ours: what it prints fails with an `OutputError`, what it warns of is lost."""
    _fill_closed()
    before = sys.stdout, sys.stderr
    sys.stdout = Output(before[0], "standard output", lossy=False)
    sys.stderr = Output(before[1], "standard error", lossy=True)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in before:
            _settle(stream)


def _fill_closed() -> None:
    """Open what a parent closed of the three streams (`>&-`) on /dev/null, lest the next file that is opened is one."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)


def _settle(stream: TextIO | None) -> None:
    """Write what a stream has kept back, now or never: Python would try again at its end, and complain."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)
