"""Optional fields of structures in arrays: cell, periodicity, charge, spin, group and source."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysweep.data.formats.arrays.tables import Table, numeric, strings
from raysweep.data.formats.fields.cells import cell_rows, pbc_rows, periodicity
from raysweep.data.formats.fields.keyed import Keys


@dataclass(frozen=True, kw_only=True)
class OptionalFields:
    """As in `Flat`, but with a `group` for each structure."""

    cell: npt.NDArray[np.float64] | None
    pbc: npt.NDArray[np.bool_] | None
    charge: npt.NDArray[np.float64] | None
    spin: npt.NDArray[np.float64] | None
    group: list[str | None]
    source: list[str | None] | None

    def take(self, rows: npt.NDArray[np.int64]) -> "OptionalFields":
        """The fields of some rows."""
        return OptionalFields(
            cell=None if self.cell is None else self.cell[rows],
            pbc=None if self.pbc is None else self.pbc[rows],
            charge=None if self.charge is None else self.charge[rows],
            spin=None if self.spin is None else self.spin[rows],
            group=[self.group[row] for row in rows],
            source=None if self.source is None else [self.source[row] for row in rows],
        )


def optional_fields(table: Table, keys: Keys, frames: int, start: int, stop: int) -> OptionalFields:
    """Read the optional fields of some frames.

    Raises:
        ValueError: shapes or types are wrong.
    """
    cell = pbc = None
    if keys.cell is not None:
        cell = cell_rows(numeric("cell", table.column(keys.cell).whole()), frames)[start:stop]
        cell = cell.transpose(0, 2, 1).copy() if table.cell_in_columns else cell
    if keys.pbc is not None:
        pbc = pbc_rows(table.column(keys.pbc).whole(), frames)[start:stop]
    cell, pbc = periodicity(cell, pbc, stop - start)

    def each(name: str, key: str | None) -> npt.NDArray[np.generic] | None:
        if key is None:
            return None
        values = table.column(key).whole().reshape(-1)
        if len(values) not in (1, frames):
            raise ValueError(
                f"{key!r} has {len(values)} values for {frames} structures; leave it out with --{name}-key ''"
            )
        return np.broadcast_to(values, frames)[start:stop]

    charge, spin = each("charge", keys.charge), each("spin", keys.spin)
    group, source = each("group", keys.group), each("source", keys.source)
    return OptionalFields(
        cell=cell,
        pbc=pbc,
        charge=None if charge is None else numeric("charge", charge),
        spin=None if spin is None else numeric("spin", spin),
        group=[table.group] * (stop - start) if group is None else list(strings(group)),
        source=None if source is None else list(strings(source)),
    )
