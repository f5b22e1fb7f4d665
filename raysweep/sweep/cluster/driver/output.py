"""The driver's output: that of Ray and other libraries goes to a log, masked, and not to the terminal."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from pyarrow import fs

from raysweep.core.errors import StorageError
from raysweep.core.io.files import write_whole
from raysweep.core.masking import masked


class _LogStream(io.TextIOBase):
    """Log stream that ignores write errors: a full disk must not end a sweep."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # full, or closed since
            self._stream.write(masked(text).encode(errors="backslashreplace"))
        return len(text)


@contextlib.contextmanager
def quiet(log: Path | None) -> Iterator[None]:
    """Redirect the output of Ray and other libraries to a log file while the block runs.

    Standard error is redirected at its file descriptor, since Ray's core writes to it from C++.
    """
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    _mask_file(log)  # left by a driver that was killed
    _flush_errors()
    original = _duplicate_errors()
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(target, 2)
        with os.fdopen(os.dup(target), "ab", buffering=0) as stream, contextlib.redirect_stdout(_LogStream(stream)):
            yield
    finally:
        _flush_errors()
        os.dup2(original, 2)
        os.close(original)
        os.close(target)
        _mask_file(log)


def _mask_file(log: Path) -> None:
    """Mask what libraries wrote from C++; a log that cannot be read or written must not end a sweep."""
    with contextlib.suppress(OSError, StorageError):
        text = log.read_text(errors="surrogateescape")
        if masked(text) != text:
            write_whole(fs.LocalFileSystem(), str(log), masked(text).encode(errors="surrogateescape"))


def _flush_errors() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # it may be missing, full or closed
        sys.stderr.flush()


def _duplicate_errors() -> int:
    """Duplicate the descriptor of stderr, or open /dev/null if it is closed, so that the log cannot get its number."""
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
