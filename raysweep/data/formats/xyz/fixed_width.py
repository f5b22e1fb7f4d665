"""Lines of extxyz as ASE writes them: all of one length, symbols of 2, then numbers of 8 decimals in 17 characters.

Symbols may be justified to either side, in upper or in lower case, as ASE reads them.

Such text is a matrix of characters, whose columns become numbers by whole-array arithmetic, several times faster than
any parser of words. A number is an integer below 2^53 over 10^8: the division rounds correctly, so that the result is
identical to a parser's.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from raysweep.data.elements import NUMBER

WIDTH, DECIMALS = 17, 8
_POINT, _MINUS, _SPACE, _ZERO = b".- 0"
_ONES, _ZEROS, _ALL_BUT_LAST = (
    np.uint64(word) for word in (0x0101010101010101, 0x3030303030303030, 0x00FFFFFFFFFFFFFF)
)
_BY_LETTERS = np.zeros(65536, dtype=np.int64)
for _symbol, _z in NUMBER.items():
    for _first in (_symbol[0], _symbol[0].lower()):
        for _rest in (_symbol[1:], _symbol[1:].upper()):
            for _letters in ((_first + _rest).ljust(2).encode(), (_first + _rest).rjust(2).encode()):
                _BY_LETTERS[_letters[0] * 256 + _letters[1]] = _z


def fixed_columns(body: bytes, columns: Mapping[bytes, tuple[int, int, bytes]], forces: bytes) -> dict[str, Any] | None:
    """Parse numbers [A], positions [A, 3] and forces [A, 3]; None if the lines are not of fixed width.

    Args:
        body: lines of atoms.
        columns: first column, number of columns and kind of each property.
        forces: name of the forces.
    """
    kinds = [(name, *rest) for name, (_, *rest) in columns.items()]
    if kinds != [(b"species", 1, b"S"), (b"pos", 3, b"R"), (forces, 3, b"R")]:
        return None
    length = body.find(b"\n") + 1
    numbers_at = length - 1 - 6 * WIDTH
    if length < 1 or len(body) % length or numbers_at < 2:
        return None
    text = np.frombuffer(body, dtype=np.uint8).reshape(-1, length)
    symbols, numbers = text[:, :numbers_at], text[:, numbers_at:-1].reshape(-1, WIDTH)
    if (text[:, -1] != 10).any() or (symbols[:, 2:] != _SPACE).any():
        return None
    values = _values(np.ascontiguousarray(numbers))
    if values is None:
        return None
    vectors = values.reshape(-1, 2, 3)
    elements = _BY_LETTERS[symbols[:, 0].astype(np.int64) * 256 + symbols[:, 1]]
    if not elements.all():
        return None
    return {"numbers": elements, "positions": vectors[:, 0], "forces": vectors[:, 1]}


def _values(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64] | None:
    """Parse right-aligned numbers from characters [N, 17]; None if one is in another notation.

    The 8 characters before the point and the 8 decimals are 64-bit words, whose 8 digits are summed at once (the
    first character is the lowest byte).
    """
    before = np.ascontiguousarray(text[:, :8])
    minus = np.equal(before, _MINUS)
    digit = (before >= _ZERO) & (before <= _ZERO + 9)
    minuses, digits = minus.view("<u8").reshape(-1), digit.view("<u8").reshape(-1)
    follows = digits >> np.uint64(8)
    known = (digit | minus | (before == _SPACE)).view("<u8").reshape(-1) == _ONES
    in_order = ((digits & ~follows & _ALL_BUT_LAST) | (minuses & ~follows)) == 0
    plain = known & in_order & (digits >> np.uint64(56) == 1) & (before[:, 0] == _SPACE) & (text[:, 8] == _POINT)
    after = np.ascontiguousarray(text[:, 9:])
    if not plain.all() or (after - np.uint8(_ZERO) > 9).any():
        return None
    whole = _eight_digits(np.where(digit, before, np.uint8(_ZERO)))
    magnitude = (whole * np.uint64(10**DECIMALS) + _eight_digits(after)).astype(np.float64) / 10.0**DECIMALS
    return np.where(minuses != 0, -magnitude, magnitude)


def _eight_digits(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Parse numbers from digits [N, 8]: neighbours are combined into pairs, pairs into fours, fours into eights."""
    value: npt.NDArray[np.uint64] = text.view("<u8").reshape(-1) - _ZEROS
    for weight, bits, mask in ((10, 8, 0x00FF00FF00FF00FF), (100, 16, 0x0000FFFF0000FFFF), (10_000, 32, 0xFFFFFFFF)):
        value = (value * np.uint64(weight) + (value >> np.uint64(bits))) & np.uint64(mask)
    return value
