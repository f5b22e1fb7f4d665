"""Layout of text for people: aligned columns, and line breaks that fit a terminal."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

_GAP = "  "
_NARROWEST = 20
"""Columns of a terminal: below that nothing reads well, and lines are left for it to break."""


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as aligned lines; the first row is the head."""
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
