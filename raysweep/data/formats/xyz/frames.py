"""Location of the frames in an extxyz text, and of lines that belong to none.

A frame is a number of atoms, a header and a line for each atom. A number that is wrong would shift every frame after
it, so a frame counts only where the next one, a blank line or the end follows it; otherwise reading goes on at the next
number that a header follows.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raysweep.data.formats.xyz.headers import shown

NEWLINE = 10
_LONGEST_NUMBER = 24
"""Bytes of a line that are inspected as a possible number of atoms where none is expected."""
_VECTORS = b"VEC"
"""Start of the lines after the atoms in which some programs write the cell."""


@dataclass(frozen=True)
class Run:
    """Bytes of a text that hold only whole frames and blank lines."""

    start: int
    stop: int
    count: int


@dataclass(frozen=True)
class Fault:
    """Bytes of a text that are not a frame, and the reason."""

    start: int
    stop: int
    reason: str


class Scanner:
    """Finds frames in a text that is read piece by piece."""

    def __init__(self) -> None:
        self._lost = False  # after a fault whose end has not been found yet

    def pieces(self, text: bytearray, size: int, *, ended: bool) -> Iterator[Run | Fault]:
        """Yield runs of frames and faults from the beginning of a text.

        Args:
            text: begins where the last piece ended.
            size: number of bytes of text in it.
            ended: whether nothing follows; otherwise the last lines are left for the next call.
        """
        lines = _Lines(text, size)
        line = 0
        if self._lost:
            line = self._found(lines, lines.next_start(0), ended=ended)
            if line:
                yield Run(0, lines.place(line), 0)
            if self._lost:
                return
        first, count = line, 0
        while line < len(lines):
            if lines.blank(line):
                line += 1
                continue
            stop, reason = lines.frame(line, ended=ended)
            if stop is None:
                break
            if reason is None:
                line, count = stop, count + 1
                continue
            if line > first:
                yield Run(lines.place(first), lines.place(line), count)
            first = self._found(lines, lines.next_start(max(stop, line + 1)), ended=ended)
            yield Fault(lines.place(line), lines.place(first), reason)
            line, count = first, 0
            if self._lost:
                break
        if line > first:
            yield Run(lines.place(first), lines.place(line), count)

    def _found(self, lines: "_Lines", start: int | None, *, ended: bool) -> int:
        """The line to continue at: the next frame, or a possible beginning of one."""
        self._lost = start is None and not ended
        if start is not None:
            return start
        return len(lines) if ended else max(len(lines) - 1, 0)


class _Lines:
    """The whole lines of a text, found by their ends."""

    def __init__(self, text: bytearray, size: int) -> None:
        self._text = text
        data = np.frombuffer(text, dtype=np.uint8, count=size)
        ends = np.flatnonzero(data == NEWLINE)
        starts = np.concatenate([[0], ends + 1])
        self._starts: list[int] = starts.tolist()
        self._counts: dict[int, int] = {}
        self._numbers: list[int] = []
        if not len(ends):
            return
        short = np.flatnonzero(ends - starts[:-1] <= _LONGEST_NUMBER)
        leading = data[starts[:-1][short]]
        short = short[(leading <= 32) | ((leading >= 48) & (leading <= 57))]
        for line in short.tolist():
            words = self._words(line)
            if words.isdigit():
                self._counts[line] = int(words)
        self._numbers = list(self._counts)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def place(self, line: int) -> int:
        """The byte at which a line begins."""
        return self._starts[line]

    def blank(self, line: int) -> bool:
        return line not in self._counts and not self._words(line)

    def frame(self, line: int, *, ended: bool) -> tuple[int | None, str | None]:
        """The line after a frame, or None if more text is needed; and the fault of the frame, if any."""
        atoms = self._atoms(line)
        if atoms is None:
            return line + 1, f"{shown(self._words(line)[:40])} is not a number of atoms"
        stop = line + 2 + atoms
        inner = self.next_start(line + 1, stop)
        if inner is not None:
            return inner, f"it states {atoms} atoms, but the next frame begins after {max(inner - line - 2, 0)} lines"
        if stop >= len(self) and not ended:
            return None, None
        if stop > len(self):
            return len(self), "the file ends within this frame: cut off, or not extxyz"
        if stop < len(self) and self._atoms(stop) is None:
            after = self._words(stop)
            if after.startswith(_VECTORS):
                return stop, 'its cell stands in VEC lines after its atoms: write it as Lattice="..." in the header'
            if atoms and after and len(after.split()) == len(self._words(stop - 1).split()):
                return stop, f"it states {atoms} atoms, but more lines of atoms follow"
        return stop, None

    def _atoms(self, line: int) -> int | None:
        if (count := self._counts.get(line)) is not None:
            return count
        words = self._words(line)
        return int(words) if words.isdigit() else None

    def next_start(self, line: int, before: int | None = None) -> int | None:
        """The first line from `line` on that is a number of atoms followed by a header."""
        for i in range(bisect_left(self._numbers, line), len(self._numbers)):
            number = self._numbers[i]
            if before is not None and number >= before:
                break
            if number + 1 < len(self) and b"=" in self._words(number + 1):
                return number
        return None

    def _words(self, line: int) -> bytes:
        return bytes(self._text[self._starts[line] : self._starts[line + 1]]).strip()
