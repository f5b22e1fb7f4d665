"""Numbers as people write them in tables: `8.7B`, `1,234,567`, `10^9`, `1 234`; read where they have one meaning only.

Commas and dots are judged by the whole column: `1,234` is 1234 beside `1,234.5` or `12,345,678`, it is 1.234 beside
`0,5`, and alone it is refused, since it may be either.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.frontier.numerics.arrays import Floats

MISSING = frozenset(["", "na", "n/a", "n.a.", "#n/a", "nan", "null", "none", "-", "--", "–", "—", "?", "missing"])
"""Cells without a value, in lower case."""
_SUFFIXES = {"k": 1e3, "m": 1e6, "mm": 1e6, "b": 1e9, "bn": 1e9, "g": 1e9, "t": 1e12, "tn": 1e12}
_SUFFIXES |= {"thousand": 1e3, "million": 1e6, "mln": 1e6, "billion": 1e9, "bln": 1e9, "trillion": 1e12}
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15, "e": 1e18, "z": 1e21, "y": 1e24}
_DAY = 86400.0
_NOUNS = {
    "params": ("param", "params", "parameter", "parameters"),
    "data": ("token", "tokens", "tok", "toks", "atom", "atoms"),
    "unique_data": ("token", "tokens", "tok", "toks", "atom", "atoms"),
}
"""Words that may follow a count in a column."""
_SHARES = ("loss", "weight", "trivial_loss")
"""Columns in which per cent have a meaning."""
_SIGN = r"[+-]?"
_PLAIN = re.compile(rf"{_SIGN}(\d+\.?\d*|\.\d+)(e{_SIGN}\d+)?")
_SPLIT = re.compile(rf"({_SIGN}[\d.,_' ]*\d[.,]?(?:e{_SIGN}\d+)?)\s*(.*)", re.DOTALL)
_POWER = re.compile(rf"(?:({_SIGN}[\d.,]+)\s*[x*·×]\s*)?(10|2)\s*(?:\^|\*\*)\s*\(?({_SIGN}\d+)\)?")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_WIDE = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2007": " ", "−": "-", "’": "'"})


class NotANumberError(ValueError):
    """A cell that has no one meaning as a number: its place in the column, and why it is refused."""

    def __init__(self, place: int, why: str) -> None:
        super().__init__(why)
        self.place = place
        self.why = why


@dataclass(frozen=True)
class _Cell:
    """A cell in parts: the digits with their separators, the factor of what follows them, whether that was per cent."""

    digits: str
    factor: float = 1.0
    share: bool = False


def numbers(texts: Sequence[str | None], name: str, *, decimal: str | None = None) -> Floats:
    """Read a column of texts as numbers, NaN where a cell has no value; shape (n,).

    Args:
        texts: the cells.
        name: the estimator's name of the column: it decides which units and words are understood.
        decimal: the sign of decimals in the rest of the file, "," or ".", where it is known.

    Raises:
        NotANumberError: a cell is no number, or may be two.

    >>> numbers(["8.7B", "70m", "1.2e9 ", "10^9", "n/a"], "params").tolist()
    [8700000000.0, 70000000.0, 1200000000.0, 1000000000.0, nan]
    >>> numbers(["1,234.5", "1,234"], "data").tolist()
    [1234.5, 1234.0]
    >>> numbers(["0,5", "1,234"], "loss").tolist()
    [0.5, 1.234]
    """
    cells = [_cell(place, text, name) for place, text in enumerate(texts)]
    if 0 < sum(cell.share for cell in cells if cell) < sum(cell is not None for cell in cells):
        place = next(place for place, cell in enumerate(cells) if cell and cell.share)
        raise NotANumberError(place, "per cent in a column of plain numbers")
    point = decimal_sign([cell.digits if cell else "" for cell in cells], decimal)
    values = [_value(place, cell, point) if cell else np.nan for place, cell in enumerate(cells)]
    return np.array(values, dtype=np.float64)


def is_missing(text: str | None) -> bool:
    """Whether a cell has no value."""
    return text is None or text.strip().lower() in MISSING


def _cell(place: int, text: str | None, name: str) -> _Cell | None:
    """Take a cell apart; None where it has no value."""
    if text is None or is_missing(text):
        return None
    plain = text.translate(_WIDE).strip()
    if plain.lower().lstrip("+-") in ("inf", "infinity", "∞"):
        return _Cell(digits=plain.lower().replace("∞", "inf"))
    power = _POWER.fullmatch(_raised(plain).lower())
    if power:
        exponent = int(power[3])
        if abs(exponent) > 400:
            raise NotANumberError(place, "a power beyond the range of numbers")
        return _Cell(digits=power[1] or "1", factor=float(power[2]) ** exponent)
    parts = _SPLIT.fullmatch(plain.lower())
    if parts is None:
        raise NotANumberError(place, "not a number")
    digits, rest = parts[1].strip(), parts[2].strip()
    if rest == "%" and name in _SHARES:
        return _Cell(digits=digits, factor=0.01, share=True)
    factor = _factor(rest, name)
    if factor is None or (factor != 1.0 and "e" in digits):
        raise NotANumberError(place, f"not a number: {rest!r} is no unit of {name}")
    return _Cell(digits=digits, factor=factor)


def _raised(text: str) -> str:
    """Write raised digits after a 10 or a 2 as a power: 10⁹ becomes 10^9."""
    return re.sub(r"(10|2)([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)$", lambda found: f"{found[1]}^{found[2].translate(_RAISED)}", text)


def _factor(rest: str, name: str) -> float | None:
    """The factor of what follows the digits, in lower case; None where the column has no such unit."""
    if not rest:
        return 1.0
    if name == "flops":
        return _flop_unit(rest)
    words = [word for word in rest.split() if word not in _NOUNS.get(name, ())]
    if name not in _NOUNS or len(words) > 1:
        return None
    return _SUFFIXES.get(words[0]) if words else 1.0


def _flop_unit(rest: str) -> float | None:
    """The factor of a unit of compute: `T`, `PFLOP`, `EFLOPs`, `PF-days`, `PFLOP/s-days`; never a rate alone."""
    found = re.fullmatch(r"([kmgtpezy]?)\s*(?:f|flop|flops|flop/s|flops/s)[ -]?(days?|hours?)", rest)
    if found:
        return _PREFIXES[found[1]] * (_DAY if found[2].startswith("day") else _DAY / 24)
    found = re.fullmatch(r"([kmgtpezy]?)\s*(?:flop|flops)", rest)
    if found:
        return _PREFIXES[found[1]]
    return _SUFFIXES.get(rest) or (_PREFIXES.get(rest) if rest in ("p", "z", "y") else None)


def decimal_sign(digits: Sequence[str], known: str | None = None) -> str | None:
    """The decimal sign of a column, None if it is ambiguous.

    Raises:
        NotANumberError: some cells have decimal commas and some decimal points.
    """
    votes: dict[str, int] = {}
    for place, text in enumerate(digits):  # empty where a cell has no value
        vote = _vote(text)
        if vote:
            votes.setdefault(vote, place)
    if len(votes) > 1:
        raise NotANumberError(
            max(votes.values()), "some cells of the column have decimal commas, others decimal points"
        )
    return next(iter(votes), known)


def _vote(text: str) -> str | None:
    """The decimal sign of a cell, None if it could be either."""
    body = re.split("e", text.lstrip("+-"))[0]
    commas, dots = body.count(","), body.count(".")
    if commas and dots:
        return max(",.", key=body.rfind)
    for sign, other, count in ((",", ".", commas), (".", ",", dots)):
        if count > 1:
            return other  # of thousands
        if count == 1 and (not re.fullmatch(rf"[1-9]\d{{0,2}}\{sign}\d{{3}}", body) or "e" in text):
            return sign
    return None


def _value(place: int, cell: _Cell, point: str | None) -> float:
    digits = cell.digits
    if digits.lstrip("+-") == "inf" or digits.lstrip("+-") == "infinity":
        return float(digits)
    if "," in digits and point is None:
        raise NotANumberError(place, "its comma may stand before decimals or between thousands")
    point = point or "."
    group = "," if point == "." else "."
    for sign in (group, "_", "'", " "):
        if sign in digits:
            digits = _ungrouped(place, digits, sign, point)
    digits = digits.replace(",", ".") if point == "," else digits
    if not _PLAIN.fullmatch(digits):
        raise NotANumberError(place, "not a number")
    value = float(digits) * cell.factor
    if not np.isfinite(value):
        raise NotANumberError(place, "beyond the range of numbers")
    return value


def _ungrouped(place: int, digits: str, sign: str, point: str) -> str:
    """Remove the separators of thousands: groups of three, or two and then three (lakh, crore)."""
    whole = re.split(rf"\{point}|e", digits.lstrip("+-"), maxsplit=1)[0]
    least = r"\d{1,3}" if sign != "_" else r"\d+"
    group = rf"{least}(\{sign}\d{{3}})+" if sign != "_" else r"\d+(_\d+)+"
    if not re.fullmatch(group, whole) and not (sign == "," and re.fullmatch(r"\d{1,2}(,\d{2})+,\d{3}", whole)):
        raise NotANumberError(place, f"not a number: {sign!r} is not between thousands")
    return digits.replace(sign, "")
