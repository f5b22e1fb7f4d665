"""Streams that take any text, and whose failure ends nothing or is one error."""

import errno
import io
import os
from collections.abc import Callable

import pytest

from raysweep.core.errors import OutputError
from raysweep.core.terminal.streams import Output
from raysweep.sweep.progress import Progress


class Failing(io.TextIOBase):
    """A stream that cannot be written."""

    def __init__(self, error: Callable[[], Exception]) -> None:
        self._error = error

    def write(self, text: str) -> int:
        raise self._error()


FAILURES = {
    "a reader that has gone": lambda: BrokenPipeError(errno.EPIPE, "Broken pipe"),
    "a full disk": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "a closed terminal": lambda: OSError(errno.EIO, "Input/output error"),
    "a pipe that is full and does not wait": lambda: BlockingIOError(errno.EAGAIN, "write could not complete"),
    "a closed file": lambda: ValueError("I/O operation on closed file"),
}


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", "gamma = 0.2 +- 0.1 - A cafe ? C^-2"),
        ("latin-1", "gamma = 0.2 ± 0.1 · Å café ? C^-2"),
        ("utf-8", "γ = 0.2 ± 0.1 · Å café ? C^−2"),
    ],
)
def test_letters_that_an_encoding_lacks_are_written_in_those_that_it_has(encoding: str, expected: str) -> None:
    bottom = io.BytesIO()
    out = Output(io.TextIOWrapper(bottom, encoding=encoding), "standard output", lossy=False)
    out.write("γ = 0.2 ± 0.1 · Å café \udcff C^−2")
    out.flush()
    assert bottom.getvalue().decode(encoding) == expected


@pytest.mark.parametrize("how", FAILURES)
def test_a_stream_that_fails_is_an_error_of_ours_or_nothing(how: str) -> None:
    strict = Output(Failing(FAILURES[how]), "standard output", lossy=False)
    with pytest.raises(OutputError, match=r"^standard output: \w+") as error:
        strict.write("text")
    assert error.value.broken_pipe == ("reader" in how)
    lossy = Output(strict, "standard output", lossy=True)
    assert lossy.write("text") == 4
    assert lossy.failure is not None


@pytest.mark.parametrize("how", FAILURES)
def test_the_progress_of_a_sweep_goes_on_when_its_stream_fails(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Failing(FAILURES[how]))
    progress = Progress()
    progress.say("a line")
    with progress.counting("structures") as count:
        count(1, 2)
    progress.begins(1, 0, 1.0)
    progress.close()


def test_a_stream_that_was_never_open_takes_what_may_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    Progress().say("a line")
    with pytest.raises(OutputError, match=f"standard output: {os.strerror(errno.EBADF)}"):
        Output(None, "standard output", lossy=False).write("text")
