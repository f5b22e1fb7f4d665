"""The columns of a table of points: renamed to the estimator's words, converted to numbers, N, D or C filled in."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raysweep.core.errors import FrontierError
from raysweep.core.stages import NOT_FITTED
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.conversion import number_column
from raysweep.frontier.points.inference import COLUMNS as INFERENCE

REQUIRED = ("params", "data", "flops", "loss")
OPTIONAL = (
    *("seconds", "architecture", "seed", "trajectory", "weight", "unique_data", "trivial_loss", "device"),
    *INFERENCE,
)
NUMERIC = (*REQUIRED, "seconds", "weight", "unique_data", "trivial_loss", *INFERENCE)
READ = (*REQUIRED, *OPTIONAL, "family", "stage", "trial_id", "step", "budget")
"""Every column that has a meaning here; others are not looked at."""
SIX_N_D = "6ND"
"""Given in place of a column of `flops`: compute it as 6 N D (2001.08361, for dense language models)."""
_FILLED = b"raysweep.filled_in"
_SAME = 5e-3
"""Share within which C = 6 N D holds where a table is said to obey it."""
_LEAST_OBEYING = 3
_LISTED = 20
"""Columns that a message names."""


def as_points(
    table: pa.Table,
    source: str,
    columns: Mapping[str, str] | None = None,
    required: Sequence[str] = REQUIRED,
    decimal: str | None = None,
) -> pa.Table:
    """Rename to the estimator's words, keep the grid stage, convert to numbers and fill in what 6 N D gives.

    Args:
        table: with the source's own columns.
        source: its name in messages.
        columns: the estimator's name -> the source's, where they differ.
        required: the columns that have to be there.
        decimal: the source's sign of decimals, where it is known.

    Raises:
        FrontierError: a column is absent, named twice, or holds no numbers.
    """
    given = _own_names(table, source, dict(columns or {}))
    own_names = table.column_names
    table = _renamed(table, given)
    if "stage" in table.column_names:
        for stage in NOT_FITTED:
            table = table.filter(pc.fill_null(pc.not_equal(table["stage"], stage), True))
    table = _each_once(table)
    if "trial_id" in table.column_names and "trajectory" not in table.column_names:
        table = _put(table, "trajectory", table["trial_id"])
    if "family" in table.column_names and "architecture" not in (columns or {}):
        table = _put(table, "architecture", table["family"])
    for name in (name for name in NUMERIC if name in table.column_names):
        where = f"{source}: column {given.get(name, name)!r}"
        table = _put(table, name, number_column(table[name], name, where, decimal))
    table = _filled(table, source, required, asked=(columns or {}).get("flops") == SIX_N_D)
    return _checked(table, source, required, own_names)


def filled_in(table: pa.Table) -> dict[str, int]:
    """How many values of each of params, data and flops `as_points` computed from the other two."""
    stored = (table.schema.metadata or {}).get(_FILLED)
    return {} if stored is None else {str(name): int(count) for name, count in json.loads(stored).items()}


def _own_names(table: pa.Table, source: str, columns: dict[str, str]) -> dict[str, str]:
    """The source's column for each of the estimator's; absent where it has none.

    Raises:
        FrontierError: a mapping names no column, or one column for two that are required.
    """
    names, known = table.column_names, (*REQUIRED, *OPTIONAL)
    for wanted, given in columns.items():
        if wanted not in known:
            raise FrontierError(
                f"{source}: columns names {wanted!r}, unknown to the estimator; it knows {', '.join(known)}"
            )
        if given not in names and not (given == SIX_N_D and wanted == "flops"):
            raise FrontierError(f"{source}: no column {given!r} for {wanted}; it has {', '.join(names)}")
    taken = {given: wanted for wanted, given in columns.items() if wanted in REQUIRED}
    for wanted, given in columns.items():
        if wanted in REQUIRED and taken[given] != wanted:
            raise FrontierError(
                f"{source}: column {given!r} is named for {wanted} and for {taken[given]}; it is one of them"
            )
    own = {name: columns.get(name, name) for name in known}
    for name in REQUIRED:
        if name not in columns and name in taken:
            del own[name]  # the source has another quantity under this name
    found = {name: given for name, given in own.items() if given in names}
    for name in dict.fromkeys((*found.values(), "stage", "family", "trial_id")):
        if names.count(name) > 1:
            raise FrontierError(f"{source}: two columns are named {name!r}; rename or remove one")
    return found


def _renamed(table: pa.Table, given: Mapping[str, str]) -> pa.Table:
    """Select the estimator's columns, all at once, so that two names may be exchanged."""
    others = [name for name in READ if name in table.column_names and name not in (*REQUIRED, *OPTIONAL)]
    found = {name: table[own] for name, own in given.items()} | {name: table[name] for name in others}
    schema = pa.schema([pa.field(name, column.type) for name, column in found.items()], metadata=table.schema.metadata)
    return pa.table(list(found.values()), schema=schema)


def _each_once(table: pa.Table) -> pa.Table:
    """Drop second rows of one evaluation, which a sweep's points have where two budgets fall on one step."""
    keys = [name for name in ("trial_id", "step", "data", "flops", "family") if name in table.column_names]
    if not {"trial_id", "step", "budget"} <= set(table.column_names):
        return table
    rows = zip(*(table[name].to_pylist() for name in keys), strict=True)
    first = {row: place for place, row in reversed(list(enumerate(rows)))}
    return table if len(first) == table.num_rows else table.take(sorted(first.values()))


def _filled(table: pa.Table, source: str, required: Sequence[str], *, asked: bool) -> pa.Table:
    """Compute the one of N, D and C that is absent from C = 6 N D; single values only where all others obey it.

    The number of values is kept with the table, for the fit to say.
    """
    names = ("params", "data", "flops")
    absent = [name for name in names if name not in table.column_names]
    if asked and absent and absent != ["flops"]:
        name = absent[0]
        raise FrontierError(f"{source}: no column for {name}; name it in columns={{{name!r}: ...}}")
    if len(absent) > 1 or not set(names) <= set(required) or table.num_rows == 0:
        return table
    values = {name: _floats(table, name) for name in names}
    open_ = np.array([~np.isfinite(values[name]) for name in names])
    alone = open_.sum(axis=0) == 1
    if not absent and not (alone.any() and _obeys(values)):
        return table
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        computed = {
            "params": values["flops"] / (6.0 * values["data"]),
            "data": values["flops"] / (6.0 * values["params"]),
            "flops": 6.0 * values["params"] * values["data"],
        }
    counts = {}
    for name, missing in zip(names, open_ & alone, strict=True):
        if missing.any() and (not absent or name in absent):
            table = _put(table, name, pa.chunked_array([np.where(missing, computed[name], values[name])]))
            counts[name] = int(missing.sum())
        elif name in absent:
            table = _put(table, name, pa.chunked_array([values[name]]))
    metadata = {**(table.schema.metadata or {}), _FILLED: json.dumps(counts).encode()}
    return table.replace_schema_metadata(metadata) if counts else table


def _floats(table: pa.Table, name: str) -> Floats:
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    return np.asarray(table[name].cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _obeys(values: Mapping[str, Floats]) -> bool:
    """Whether the points that have N, D and C all obey C = 6 N D, and are enough to tell."""
    with np.errstate(divide="ignore", invalid="ignore"):
        away = values["flops"] / (6.0 * values["params"] * values["data"]) - 1.0
    known = away[np.isfinite(away)]
    return known.size >= _LEAST_OBEYING and bool(np.all(np.abs(known) < _SAME))


def _checked(table: pa.Table, source: str, required: Sequence[str], own_names: Sequence[str]) -> pa.Table:
    for name in required:
        if name not in table.column_names:
            like, option = _alike(name, own_names), name.replace("_", "-")
            named = f"columns={{{name!r}: {repr(like) if like else '...'}}}, or --{option} {like or 'COLUMN'}"
            has = ", ".join(f"{own:.40}" for own in own_names[:_LISTED]) + (", ..." if len(own_names) > _LISTED else "")
            raise FrontierError(
                f"{source}: no column for {name}; it has {has or 'none'}. Name it in {named} on the command line"
            )
    if table.num_rows == 0:
        raise FrontierError(f"{source}: the table has no points")
    return table.select([name for name in (*REQUIRED, *OPTIONAL) if name in table.column_names])


def _alike(name: str, own_names: Sequence[str]) -> str | None:
    """The one column that is probably meant: equal but for case, or the only one that has the word in its name."""
    equal = [own for own in own_names if own.strip().lower() == name]
    word = name if name.endswith("ss") else name.removesuffix("s")
    within = [own for own in own_names if word in own.lower() and own.lower() not in READ]
    return next((found[0] for found in (equal, within) if len(found) == 1), None)


def _put(table: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    """Set a column of a table, whether it was there or not."""
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)
