"""Standard output and standard error that accept any text and report a failure in one line or not at all.

None of these may end a sweep, or end it in a traceback: a reader that has gone (`| head`), a full disk, a terminal that
was closed, an encoding without Greek letters.
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

from raysweep.core.errors import OutputError

_PLAIN = {
    "α": "alpha", "β": "beta", "γ": "gamma", "η": "eta", "κ": "kappa", "λ": "lambda", "σ": "sigma", "·": "-", "×": "x",
    "±": "+-", "≈": "~", "−": "-", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "→": "->", "√": "sqrt", "∞": "inf",
}  # fmt: skip
"""ASCII spellings of the other characters that we print; accented letters lose their accents."""
_HANDLER = "raysweep-plain"
_DUMB = ("", "dumb", "unknown")
BROKEN_PIPE_STATUS = 141
"""Exit status that a shell reports for a program ended by SIGPIPE: 128 + 13."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(map(_plain_letter, error.object[error.start : error.end])), error.end


def _plain_letter(letter: str) -> str:
    known = _PLAIN.get(letter)
    return known or unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?"


codecs.register_error(_HANDLER, _plain)


class Output(io.TextIOBase):
    """Text stream that spells out characters which the stream beneath cannot encode.

    Attributes:
        failure: the first error that lost output, or None.
    """

    def __init__(self, stream: "TextIO | Output | None", name: str, *, lossy: bool) -> None:
        """Wrap a stream.

        Args:
            stream: the stream beneath; None for a standard stream that was closed before the process began.
            name: of the stream, for messages.
            lossy: drop text that cannot be written instead of raising an `OutputError`.
        """
        self._stream: TextIO | None = stream._stream if isinstance(stream, Output) else stream
        self._name, self._lossy = name, lossy
        self.failure: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """UTF-8, since any text can be written."""
        return "utf-8"

    def writable(self) -> bool:
        """Always true."""
        return True

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        try:
            return self._stream is not None and self._stream.isatty()
        except (OSError, ValueError):  # closed meanwhile
            return False

    @property
    def animated(self) -> bool:
        """Whether the stream is a terminal that takes control codes."""
        return self.isatty() and os.environ.get("TERM", "").lower() not in _DUMB

    def close(self) -> None:
        """Leave the stream beneath open, since its owner closes it."""

    def fileno(self) -> int:
        """Return the file descriptor of the stream beneath."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    @property
    def buffer(self) -> io.BufferedIOBase:
        """The binary buffer of the stream beneath."""
        return self._stream.buffer  # type: ignore[union-attr, return-value]

    def write(self, text: str) -> int:
        """Write text.

        Raises:
            OutputError: it cannot be written, and the stream is not lossy.
        """
        with self._failures_recorded():
            if self._stream is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            self._stream.write(self._fitting(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream beneath.

        Raises:
            OutputError: it cannot be written, and the stream is not lossy.
        """
        if self._stream is not None:
            with self._failures_recorded():
                self._stream.flush()

    def _fitting(self, text: str) -> str:
        encoding = getattr(self._stream, "encoding", None)
        return text.encode(encoding, _HANDLER).decode(encoding) if isinstance(encoding, str) else text

    @contextlib.contextmanager
    def _failures_recorded(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: somebody has closed it
            failure = error if isinstance(error, OSError) else OSError(errno.EBADF, str(error))
            self.failure = self.failure or failure
            if not self._lossy:
                broken = failure.errno == errno.EPIPE
                raise OutputError(f"{self._name}: {failure.strerror or failure}", broken_pipe=broken) from error


def lossy_output() -> Output:
    """Wrap the present standard output in a stream that ignores failures."""
    return Output(sys.stdout, "standard output", lossy=True)


def print_notice(text: str) -> None:
    """Write a line with raysweep's prefix to standard error, ignoring failures."""
    stream = Output(sys.stderr, "standard error", lossy=True)
    stream.write(f"raysweep: {text}\n")
    stream.flush()


@contextlib.contextmanager
def command_streams() -> Iterator[None]:
    """Replace the standard streams: failed writes raise an `OutputError` on output, and are ignored on error."""
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
    """Open standard streams that a parent has closed (`>&-`) on /dev/null, lest the next file takes their number."""
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
    """Flush a stream or discard its buffer; otherwise Python retries at exit and prints an error."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)
