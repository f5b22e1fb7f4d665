"""A message of others is valid, printable and short before it is kept or shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysweep.core.messages import LONGEST, LONGEST_LINE, kept, last_line, sound


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no file 'caf\udce9.xyz'", "no file 'caf\\xe9.xyz'"),
        ("half a pair \ud83d", "half a pair \\ud83d"),
        ("nul \x00 bell \x07 delete \x7f next \x85", "nul \\x00 bell \\x07 delete \\x7f next \\x85"),
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b[2J\x1b[Hhome \x1b]8;;http://x\x1b\\link", "red home link"),
        ("open \x1b", "open \\x1b"),
        ("10 %\r20 %\r\n", "10 %\n20 %\n"),
        ("evil \u202egnp.exe\u2028line", "evil \\u202egnp.exe\\u2028line"),
        ("tab\tand Tésla, 日本, 🙂 stay\n", "tab\tand Tésla, 日本, 🙂 stay\n"),
    ],
)
def test_unfit_characters_are_spelt_out(text: str, shown: str) -> None:
    assert sound(text) == shown


@given(st.text(st.characters(), max_size=200))
def test_any_text_becomes_one_that_can_be_kept_and_stays_as_it_is_then(text: str) -> None:
    found = kept(text)
    assert json.loads(json.dumps(found).encode()) == found.encode().decode()
    assert all(character.isprintable() or not character.isascii() or character in "\n\t" for character in found)
    assert kept(found) == found


def test_a_long_message_keeps_its_beginning_its_end_and_the_name_of_the_error() -> None:
    message = "Traceback:\n" + 9000 * "  File somewhere\n" + "ValueError: " + 10_000_000 * "x" + " in tensor"
    found = kept(message)
    assert len(found) <= LONGEST
    assert found.startswith("Traceback:\n")
    reason = last_line(found)
    assert len(reason) == LONGEST_LINE
    assert reason.startswith("ValueError: xxx")
    assert reason.endswith("xxx in tensor")
    assert "characters left out" in reason


def test_a_password_at_the_edge_of_what_is_kept_is_masked() -> None:
    for length in range(LONGEST - 60, LONGEST + 60):
        assert "hunter2" not in kept(length * "." + "\nhttp://joe:hunter2@host\n" + 1700 * ".")


@pytest.mark.parametrize(
    ("message", "line"),
    [(None, ""), ("", ""), (" \n\t\n", ""), ("a\nb\n\n  \n", "b"), ("one", "one"), ("a\n  b  ", "b")],
)
def test_the_last_line_is_the_last_that_says_something(message: str | None, line: str) -> None:
    assert last_line(message) == line
