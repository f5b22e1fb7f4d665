"""A line that is kept up to date on a terminal, and printed once a minute elsewhere."""

import io
import threading
import time

import pytest
from rich.console import Console

from raysweep.core.terminal import live
from raysweep.core.terminal.live import Count, LiveLine, console_on, counting, duration
from raysweep.core.terminal.streams import Output


class Heard(io.StringIO):
    """A stream that tells when it has so many lines."""

    def __init__(self, lines: int, *, terminal: bool = False) -> None:
        super().__init__()
        self._lines, self._terminal, self.enough = lines, terminal, threading.Event()

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        done = super().write(text)
        if self.getvalue().count("\n") >= self._lines:
            self.enough.set()
        return done


def test_without_a_terminal_the_line_comes_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LINE_SECONDS", 0.02)
    out = Heard(3)
    with counting("structures", Console(file=out, width=20)) as count:
        count.update(3, 12)
        assert out.enough.wait(10)
    lines = out.getvalue().splitlines()
    assert len(lines) >= 3
    assert set(lines[1:3]) == {"3/12 structures · 0s so far"}, "however narrow, nothing is broken in a log"
    ended = out.getvalue()
    time.sleep(0.1)
    assert out.getvalue() == ended


def test_nothing_comes_of_what_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    with counting("structures"):
        pass
    assert capsys.readouterr().err == ""


def test_the_time_left_leaves_out_what_an_earlier_run_did(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    count = Count("structures")
    now[0] = 50.0
    count.update(400, 1000)
    assert count.line() == "400/1000 structures · 50s so far"
    now[0] = 60.0
    count.update(500, 1000)
    assert count.line() == "500/1000 structures · about 50s left"
    count.update_of("bytes read", 0, 10)
    assert count.line() == "0/10 bytes read · 1m00s so far"
    assert count.end() == "0/10 bytes read, 1m00s"


@pytest.mark.parametrize(
    ("changes", "codes", "colours"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, False, False),
        ({"TERM": "", "TTY_COMPATIBLE": "1"}, False, False),
    ],
)
def test_control_codes_are_for_terminals_that_have_them(
    changes: dict[str, str], codes: bool, colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    out = Heard(1, terminal=True)
    with LiveLine(console_on(Output(out, "standard output", lossy=True)), lambda: "at work", keep=True):
        pass
    assert ("\x1b[?25l" in out.getvalue()) == codes
    assert ("\x1b[1m" in out.getvalue()) == colours
    piped = Heard(1)
    with LiveLine(console_on(Output(piped, "standard output", lossy=True)), lambda: "at work", keep=True):
        pass
    assert piped.getvalue() == ""


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.6, 3600, 7265)] == ["0s", "1m00s", "1h00m", "2h01m"]
