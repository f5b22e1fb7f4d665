"""Clean text from outside (errors of trainings, names of files and devices) before it is kept or shown.

A file name need not be UTF-8, and Python then holds it with lone surrogates, which neither a file, nor Arrow, nor
MLflow takes. Control characters move a terminal's cursor, colours stay on, and a message may be as long as a tensor.
"""

import re

from raysweep.core.masking import masked

LONGEST = 2000
"""Characters that are kept of a message: more of its end, which names the place and the reason."""
LONGEST_LINE = 500
_HEAD = 300
"""Characters that are kept of the beginning of a message, or of a line, that is too long."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
"""Escape sequences of terminals (ECMA-48): colours, movements of the cursor, titles of windows."""
_UNFIT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""Control characters but tab and line feed, separators that count as line ends, marks that turn the order of letters
around, lone surrogates."""


def sound(text: str) -> str:
    r"""Make a text valid UTF-8 and printable: drop escape sequences, spell out control characters.

    >>> sound("\x1b[31mno file 'caf\udce9\x00'\x1b[0m")
    "no file 'caf\\xe9\\x00'"
    """
    return _UNFIT.sub(_spelt, _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n")))


def kept(message: str) -> str:
    """Clean a message for a record: printable, masked, and no longer than `LONGEST` characters."""
    given = message.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if len(given) > 2 * LONGEST:  # dropped below in any case, after seconds of work
        given = given[:LONGEST] + given[-LONGEST:]
    given = [line if len(line) <= 2 * LONGEST else line[:LONGEST] + line[-LONGEST:] for line in given]
    lines = (_shortened(line, LONGEST_LINE) for line in masked(sound("\n".join(given))).split("\n"))
    return _shortened("\n".join(lines), LONGEST)


def last_line(message: str | None) -> str:
    """Return the last non-blank line of a message, in a traceback the reason, or an empty text."""
    lines = (line.strip() for line in reversed((message or "").splitlines()))
    return next((line for line in lines if line), "")


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    left_out = f" … [{len(text) - limit} characters left out] … "
    return f"{text[:_HEAD]}{left_out}{text[len(text) - (limit - _HEAD - len(left_out)) :]}"


def _spelt(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python carries it (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
