"""Lines of extxyz as ASE writes them: all of one length, symbols of 2, then numbers of 8 decimals in 17 characters.

Such text is a matrix of characters, whose columns become numbers by whole-array arithmetic, several times faster than
any parser of words. A number is an integer below 2^53 over 10^8: the division rounds correctly, so that the result is
to the bit what a parser gives.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from raysweep.data.elements import NUMBER

WIDTH, DECIMALS = 17, 8
_POINT, _MINUS, _SPACE, _ZERO = b".- 0"
_BEFORE = 10.0 ** np.arange(WIDTH - DECIMALS - 2 + DECIMALS, DECIMALS, -1)
_AFTER = 10.0 ** np.arange(DECIMALS, -1, -1)
"""Weights of the characters before a number's last digit before the point, and of that digit and the decimals."""
_BY_LETTERS = np.zeros(65536, dtype=np.int64)
for _symbol, _z in NUMBER.items():
    _letters = _symbol.ljust(2).encode()
    _BY_LETTERS[_letters[0] * 256 + _letters[1]] = _z


def fixed_columns(body: bytes, columns: Mapping[bytes, tuple[int, int, bytes]], forces: bytes) -> dict[str, Any] | None:
    """Return numbers [A], positions [A, 3] and forces [A, 3]; None where the lines are not of that kind.

    Args:
        body: lines of atoms.
        columns: first column, number of columns and kind of each property.
        forces: name of the forces.
    """
    if list(columns) != [b"species", b"pos", forces] or columns[b"species"][1] != 1:
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
    return {"numbers": elements, "positions": vectors[:, 0], "forces": vectors[:, 1]}


def _values(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64] | None:
    """Return the numbers of [N, 17] characters, right-aligned; None where one is of another kind."""
    point = WIDTH - DECIMALS - 1
    decimals = np.concatenate([text[:, point - 1 : point], text[:, point + 1 :]], axis=1) - np.uint8(_ZERO)
    if (text[:, point] != _POINT).any() or (decimals > 9).any():
        return None
    before = text[:, : point - 1]
    digits = before - np.uint8(_ZERO)
    blank, minus = before == _SPACE, before == _MINUS
    if not ((digits <= 9) | blank | minus).all() or minus.sum(axis=1).max() > 1 or (before[:, 0] != _SPACE).any():
        return None
    filled = ~blank
    if (filled[:, :-1] & blank[:, 1:]).any() or ((digits[:, :-1] <= 9) & minus[:, 1:]).any():
        return None  # something stands before a blank, or a digit before a sign
    whole = np.where(digits <= 9, digits, 0).astype(np.float64) @ _BEFORE
    whole += decimals.astype(np.float64) @ _AFTER
    magnitude: npt.NDArray[np.float64] = whole / 10.0**DECIMALS
    return np.where(minus.any(axis=1), -magnitude, magnitude)
