"""Flat arrays from Arrow columns of any number, list or dictionary type."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lists:
    """A column of S rows.

    Attributes:
        counts: [S], how many values a row has, 1 for a plain value; -1 where it is null, or a list within it is.
        leaves: the concatenated values of all rows; nulls within lists are NaN, or empty texts.
        inner: [S], the length that all lists within a row have, 0 where they differ, -1 where there are none.
    """

    counts: _Ints
    leaves: npt.NDArray[np.generic]
    inner: _Ints

    def inner_of(self, length: int) -> npt.NDArray[np.bool_]:
        """Whether the lists within each row [S], if there are any, have that length."""
        return np.isin(self.inner, (length, -1))

    def take(self, rows: npt.NDArray[np.bool_]) -> "Lists":
        """Some of the rows."""
        return Lists(self.counts[rows], self.leaves[np.repeat(rows, np.maximum(self.counts, 0))], self.inner[rows])

    def texts(self) -> list[str | None]:
        """The rows' values [S] as texts, None where there is none."""
        values = iter(self.leaves.tolist())
        found = [[next(values) for _ in range(max(count, 0))] for count in self.counts.tolist()]
        return [", ".join(map(_text, one)) or None for one in found]


def lists_of(name: str, column: pa.ChunkedArray) -> Lists:
    """The values of a column.

    Raises:
        ValueError: they are neither numbers nor texts, or lists of lists of lists.
    """
    values = _plain(column)
    counts = np.where(np.asarray(values.is_null()), -1, 1).astype(np.int64)
    inner = np.full(len(values), -1, dtype=np.int64)
    if not _is_list(values.type):
        return Lists(counts, _leaves(name, values.drop_null()), inner)
    counts, values = _lengths(values), _plain(values.flatten())
    if _is_list(values.type):
        lengths = _lengths(values)
        owner = np.repeat(np.arange(len(counts)), np.maximum(counts, 0))
        total = np.bincount(owner, weights=np.maximum(lengths, 0), minlength=len(counts)).astype(np.int64)
        least = np.full(len(counts), np.iinfo(np.int64).max)
        np.minimum.at(least, owner, lengths)
        most = np.full(len(counts), -2, dtype=np.int64)
        np.maximum.at(most, owner, lengths)
        inner = np.where(most == -2, -1, np.where(least == most, most, 0))
        broken = np.bincount(owner[lengths < 0], minlength=len(counts)) > 0
        values = _plain(values.flatten())
        if broken.any():  # the values of such rows are not in the leaves, either
            kept = np.repeat(~broken[owner], np.maximum(lengths, 0))
            values = values.filter(pa.array(kept))
        counts = np.where((counts < 0) | broken, -1, total)
    return Lists(counts, _leaves(name, values), inner)


def _plain(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Values as one array without a dictionary."""
    one = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if isinstance(one, pa.ChunkedArray):
        one = pa.concat_arrays(one.chunks) if one.num_chunks else pa.array([], type=one.type)
    if isinstance(one, pa.ExtensionArray):
        one = one.storage
    return one.dictionary_decode() if pa.types.is_dictionary(one.type) else one


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _lengths(values: pa.Array) -> _Ints:
    return np.asarray(compute.fill_null(compute.list_value_length(values), -1).to_numpy(zero_copy_only=False), np.int64)


def _leaves(name: str, values: pa.Array) -> npt.NDArray[np.generic]:
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(["" if one is None else one for one in values.to_pylist()], dtype=str)
    if pa.types.is_integer(kind) and not values.null_count:
        return np.asarray(values.to_numpy(zero_copy_only=False))
    is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)
    if not (is_number or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise ValueError(f"column {name!r} is of type {kind}, which is neither numbers nor text")
    if pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    if pa.types.is_float16(kind):
        values = values.cast(pa.float32())
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
