"""Arrays by key in npz and HDF5 files, not read yet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class ArrayColumn:
    """An array of a file.

    Attributes:
        shape, kind: its dimensions and type.
        rows: reads `array[start:stop]`; the whole of an array without axes.
        unit: the unit that the array itself states.
    """

    shape: tuple[int, ...]
    kind: np.dtype[np.generic]
    rows: Callable[[int, int | None], npt.NDArray[np.generic]]
    unit: str | None = None

    def whole(self) -> npt.NDArray[np.generic]:
        """The whole array."""
        return self.rows(0, None)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Arrays that belong together: those of a file, or of a group in it.

    Attributes:
        path, record: for messages; the number of a frame follows.
        where: for messages about the whole.
        columns: arrays by key.
        outer: arrays and attributes of the enclosing groups, which apply to the table too.
        group: name of the molecule, None for its formula.
        default: units of energy and length where none are stated; None: they must be.
        first: keys of the format by field.
        missing: whether NaN means that there is no label.
        cell_in_columns: whether cell vectors are the columns of the matrix.
    """

    path: Path
    where: str
    record: str
    columns: Mapping[str, ArrayColumn]
    outer: Mapping[str, ArrayColumn] = field(default_factory=dict)
    group: str | None = None
    default: tuple[str, str] | None = None
    first: Mapping[str, str] | None = None
    missing: bool = False
    cell_in_columns: bool = False

    def column(self, key: str) -> ArrayColumn:
        """An array by its key."""
        return self.columns[key] if key in self.columns else self.outer[key]


def texts(columns: Mapping[str, ArrayColumn], where: str) -> dict[str, str]:
    """The texts about units among the arrays.

    Raises:
        DataError: one is stored as a Python object.
    """
    found = {}
    for key in columns:
        if "unit" in key.lower():
            column = columns[key]
            if column.kind.hasobject:
                raise DataError(f"{where}: {key} is a pickled Python object, which is not loaded; store it as text")
            if column.kind.kind in "US":
                found[key] = ", ".join(strings(column.whole()))
    return found


def strings(values: npt.NDArray[np.generic]) -> list[str]:
    """Texts; numbers become texts."""
    flat = values.reshape(-1).tolist()
    return [one.decode(errors="replace") if isinstance(one, bytes) else str(one) for one in flat]


def numeric(name: str, values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Numbers as float64.

    Raises:
        ValueError: they are not numbers.
    """
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{name}: of type {values.dtype}, not numbers")
    with np.errstate(over="ignore"):  # what float64 cannot represent becomes infinite, and is rejected
        return values.astype(np.float64)
