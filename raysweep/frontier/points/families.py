"""The families in a table of points: one fit is of one family."""

import numpy as np
import pyarrow as pa

from raysweep.core.errors import FrontierError
from raysweep.frontier.numerics.arrays import Indices

Family = str | None
"""The label in the column `architecture`; None where the table has no such column."""
NAMELESS = "unnamed"
"""The family of the points that name none, in a table where others do."""


def family_label(name: object) -> str:
    """The label of a family as it stands in the column `architecture`; `NAMELESS` where a point names none."""
    label = "" if name is None else str(name)
    return label if label.strip() else NAMELESS


def families_of(table: pa.Table) -> dict[Family, Indices]:
    """Group the rows by family, in order of first appearance."""
    if "architecture" not in table.column_names:
        return {None: np.arange(table.num_rows)}
    names = [family_label(name) for name in table["architecture"].to_pylist()]
    return {name: np.flatnonzero(np.array([other == name for other in names])) for name in dict.fromkeys(names)}


def only_family(table: pa.Table, function: str) -> tuple[Family, Indices]:
    """The one family of a table and its rows.

    Raises:
        FrontierError: there are several; the message names the `function` for one family, and that for several.
    """
    found = families_of(table)
    if len(found) > 1:
        names = ", ".join(str(name) for name in found)
        raise FrontierError(
            f"{function}: the points are of {len(found)} families ({names}); {function}_families takes them all"
        )
    return next(iter(found.items()))


def named_families(table: pa.Table, function: str) -> dict[str, Indices]:
    """The rows of each family.

    Raises:
        FrontierError: the table names none; the message names the `function` for one family.
    """
    found = {name: rows for name, rows in families_of(table).items() if name is not None}
    if not found:
        raise FrontierError(f"{function}_families: the points have no column architecture (or family); use {function}")
    return found
