"""Text for people: numbers, sizes, aligned columns, and line breaks that fit a terminal."""

import html
import math
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

_GAP = "  "
_NARROWEST = 20
"""Columns of a terminal: below that nothing reads well, and lines are left for it to break."""


def rounded(value: float, digits: int) -> float:
    """Round a number to significant digits.

    >>> rounded(0.00123456, 4)
    0.001235
    """
    return float(f"{value:.{digits}g}")


def short(value: float | None, digits: int = 3, *, unknown: str = "?") -> str:
    """Format a number with a few significant digits.

    >>> short(5.7612e11), short(48123.0, 4), short(None)
    ('5.76e+11', '4.812e+04', '?')
    """
    return unknown if value is None else f"{value:.{digits}g}"


def amount(value: float | None) -> str:
    """Format a count: whole below a million, with three significant digits from there on.

    >>> amount(48123.0), amount(5.7612e11), amount(None)
    ('48123', '5.76e+11', '?')
    """
    return short(value) if value is None or value >= 1e6 else f"{value:.0f}"


def scaled(value: float | None, digits: int = 3) -> str:
    """Format a number in units of thousands and millions; beyond them in powers of ten.

    >>> scaled(3.2071), scaled(48123.0), scaled(1.2e6, 2), scaled(5.7612e11), scaled(None)
    ('3.21', '48.1 k', '1.2 M', '5.76e11', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    for limit, suffix in ((1e6, " M"), (1e3, " k")):
        if limit <= abs(value) < limit * 1e3:
            return f"{value / limit:.{digits}g}{suffix}"
    mantissa, _, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def knobs(size: Mapping[str, object]) -> str:
    """Format a size as its knobs, in their order.

    >>> knobs({"width": 32, "depth": 2})
    'width=32 depth=2'
    """
    return " ".join(f"{name}={value}" for name, value in size.items())


def markdown(text: str) -> str:
    r"""Escape a text that is not ours for a line of Markdown, whose renderers let HTML elements through.

    Control and formatting characters, line breaks among them, become spaces.

    >>> print(markdown("a_b <img>\n# c"))
    a\_b &lt;img&gt; \# c
    """
    plain = "".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in text)
    return re.sub(r"([\\`*_\[\]!|~#])", r"\\\1", html.escape(plain, quote=False))


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Align the texts of rows in columns, a line for each row."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(_GAP.join(map(str.ljust, row, widths)).rstrip() for row in rows)


def fitted(text: str, width: int) -> str:
    """Break lines that are longer than a width: between words, and tables into several that repeat the first column.

    Words that are longer themselves, such as paths, stay whole.
    """
    lines = text.split("\n")
    if width < _NARROWEST or max(map(len, lines)) <= width:
        return text
    parts: list[str] = []
    for in_table, block in groupby(lines, lambda line: _GAP in line.strip()):
        rows = list(block)
        cells = _cells(rows) if in_table else []
        if len(cells) > 1 and max(map(len, rows)) > width:
            parts += _split_table(cells, width)
        else:
            parts += [_wrapped(line, width, _GAP) for line in rows]
    return "\n".join(parts)


def _cells(lines: Sequence[str]) -> list[list[str]]:
    """Split aligned lines into columns at the gaps that all lines share."""
    length = max(map(len, lines))
    padded = [line.ljust(length) for line in lines]
    blank = [all(line[i] == " " for line in padded) for i in range(length)]
    found, start = [], 0
    for is_gap, places in groupby(range(length), blank.__getitem__):
        run = list(places)
        if is_gap and len(run) >= len(_GAP):
            found.append([line[start : run[0]].rstrip() for line in padded])
            start = run[-1] + 1
    return [column for column in [*found, [line[start:].rstrip() for line in padded]] if any(column)]


def _split_table(cells: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    first, *others = cells
    group: list[Sequence[str]] = [first]
    for column in others:
        if len(group) > 1 and sum(_width(c) + len(_GAP) for c in group) + _width(column) > width:
            yield from _table(group, width)
            yield ""
            group = [first]
        group.append(column)
    yield from _table(group, width)


def _table(group: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    indent = " " * (_width(group[0]) + len(_GAP))
    for line in columns(list(zip(*group, strict=True))).split("\n"):
        yield _wrapped(line, width, indent)


def _width(column: Sequence[str]) -> int:
    return max(map(len, column))


def _wrapped(line: str, width: int, indent: str) -> str:
    if len(line) <= width:
        return line
    indent = indent if len(indent) < width // 2 else _GAP
    own = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(line, width, subsequent_indent=own + indent, break_long_words=False, break_on_hyphens=False)
