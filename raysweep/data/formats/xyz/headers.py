"""Headers of extxyz: keys with values as text, in any style of quoting.

Values stay text until a number is needed, so that a group called 004 is never the number 4.
"""

import re
from collections.abc import Mapping

_BARE, _QUOTED = rb"""[^\s"'{}\[\]\\]+""", rb"""[^"'{}\[\]\\]*"""
_STRANGE = re.compile(rb"[\\'{}\[\]]")
"""Characters absent from plain headers: escapes, other quotes and brackets."""
_CLOSING = {'"': '"', "'": "'", "[": "]", "{": "}"}
_WORD = re.compile(r"""[^\s=\\"'\[{]+""")


class HeaderError(ValueError):
    """A header that cannot be read, or contradicts itself."""


class Headers:
    """Reads headers; one with the same keys as the one before is read by a pattern derived from that one."""

    def __init__(self) -> None:
        self._keys: tuple[bytes, ...] = ()
        self._pattern: re.Pattern[bytes] | None = None

    def read(self, line: bytes) -> Mapping[bytes, bytes]:
        """The keys and values of a header.

        Raises:
            HeaderError: a quote or bracket is not closed, or a key has two values.
        """
        if self._pattern is not None and (match := self._pattern.fullmatch(line)):
            return dict(zip(self._keys, match.groups(), strict=True))
        found = plain_header(line)
        if found is None:
            return any_header(line)
        parts = []
        for key, value in found.items():
            quoted = key + b'="' + value + b'"' in line
            parts.append(re.escape(key) + (b'="(' + _QUOTED + b')"' if quoted else b"=(" + _BARE + b")"))
        self._keys, self._pattern = tuple(found), re.compile(b" +".join(parts))
        return found


def plain_header(line: bytes) -> dict[bytes, bytes] | None:
    """Parse a header of plain words and double quotes; None for other headers."""
    if _STRANGE.search(line):
        return None
    found: dict[bytes, bytes] = {}
    outside = line.split(b'"')
    count = 0
    if len(outside) % 2 == 0:
        return None
    for i in range(0, len(outside), 2):
        words = outside[i].split()
        if i + 1 < len(outside):  # a text in quotes follows: it is the value of the word before
            if not words or not outside[i].endswith(b"=") or outside[i + 2][:1].strip():
                return None
            words[-1] += b'"'
        for word in words:
            key, equals, value = word.partition(b"=")
            count += 1
            if value == b'"':
                found[key] = outside[i + 1]
            elif not key or (equals and not value) or value.endswith(b'"'):
                return None
            else:
                found[key] = value if equals else b"T"
    return found if len(found) == count else None


def any_header(line: bytes) -> dict[bytes, bytes]:
    """Parse any header, divided as ASE divides it, but with values as text.

    Double and single quotes, brackets and braces delimit a value, a backslash escapes the next character, there may be
    spaces around "=", and a word without "=" has the value T. Unlike in ASE's parser, an empty text in quotes is a
    value, and brackets may be nested.

    Raises:
        HeaderError: a quote or bracket is not closed, or a key has two values.
    """
    pairs: list[list[list[str]]] = [[[]]]  # of each pair the key and the texts between "=", as pieces
    text = line.decode(errors="surrogateescape").strip()
    place = 0
    while place < len(text):
        char = text[place]
        current = pairs[-1][-1]
        if char in _CLOSING:
            piece, place = _held_together(text, place)
            current.append(piece)
        elif char == "\\":
            current.append(text[place + 1 : place + 2])
            place += 2
        elif char.isspace():
            if current:
                pairs.append([[]])
            place += 1
        elif char == "=":
            if pairs[-1] == [[]] and len(pairs) > 1:
                del pairs[-1]
            pairs[-1].append([])
            place += 1
        else:
            word = _WORD.match(text, place)
            assert word is not None
            current.append(word[0])
            place = word.end()
    found: dict[bytes, bytes] = {}
    for pair in pairs:
        key = _bytes("".join(pair[0]))
        value = b"T" if len(pair) == 1 else _bytes("=".join("".join(pieces) for pieces in pair[1:]))
        if found.setdefault(key, value) != value:
            raise HeaderError(f"the header gives {shown(key)} twice, as {shown(found[key])} and as {shown(value)}")
    return found


def _held_together(text: str, place: int) -> tuple[str, int]:
    """The text between a quote or bracket and the one that closes it, and the position after that."""
    opening, closing = text[place], _CLOSING[text[place]]
    depth, at, pieces = 0, place, list[str]()
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            char, at = text[at : at + 1], at + 1
        elif char == closing and depth == 1:
            return "".join(pieces[1:]), at
        elif char == opening:
            depth += 1
        elif char == closing:
            depth -= 1
        pieces.append(char)
    raise HeaderError(f"in the header {opening} is not closed")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def shown(value: bytes) -> str:
    """A header text for messages."""
    return repr(value.decode(errors="replace")[:60])
