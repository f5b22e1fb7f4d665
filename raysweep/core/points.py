"""The table of points, which trials write and the frontier reads: a row is one evaluation on a trajectory."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from types import NoneType
from typing import Annotated, Literal, get_args, get_type_hints

import pyarrow as pa

PLATEAU_SHARE = 0.9
"""A point whose loss is above this share of `trivial_loss` has not left the starting plateau: kept out of every fit."""


@dataclass(frozen=True)
class Column:
    """A field of `Point`, beside its type."""

    meaning: str
    unit: str = ""
    tracked: Literal["curve", "total"] | None = None
    """Its metric in MLflow: a curve over atoms seen, a total at the last point alone, or none."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One evaluation on a trajectory. Its columns are declared here alone: schema and metrics follow from them.

    None: not measured. A model that is not a force field has no `energy_mae`, `force_l2`, `trivial_loss`.
    """

    trial_id: Annotated[str, Column("content hash of the trajectory that the point lies on")]
    architecture: Annotated[str, Column("name in the model registry")]
    size: Annotated[str, Column("knobs of the architecture as JSON with sorted keys")]
    seed: Annotated[int, Column("of weights and order of structures")]
    learning_rate: Annotated[float, Column("at the base size", unit="1")]
    step: Annotated[int, Column("optimizer steps taken", unit="1")]
    budget: Annotated[
        float, Column("where it was to be taken; `data` or `flops` is what was reached", unit="atoms or FLOPs")
    ]
    budget_kind: Annotated[str, Column("data (atoms) or flops")]
    params: Annotated[int, Column("N, trainable parameters", unit="1")]
    data: Annotated[float, Column("D, atoms seen in training", unit="atoms", tracked="total")]
    unique_data: Annotated[float | None, Column("distinct atoms among them", unit="atoms", tracked="total")] = None
    structures: Annotated[float | None, Column("structures seen in training", unit="structures", tracked="total")] = (
        None
    )
    edges: Annotated[float | None, Column("directed edges seen in training", unit="edges", tracked="total")] = None
    flops: Annotated[float, Column("C, measured training FLOPs, forward and backward", unit="FLOP", tracked="curve")]
    seconds: Annotated[
        float | None, Column("device seconds of training alone: no data wait, no evaluation", unit="s", tracked="curve")
    ] = None
    device: Annotated[str | None, Column("the device's name, since seconds on two devices do not mix")] = None
    loss: Annotated[
        float,
        Column("validation loss: scaled energy error per atom plus scaled force error", unit="1", tracked="curve"),
    ]
    energy_mae: Annotated[
        float | None,
        Column("mean absolute error of the energy per atom on the validation set", unit="eV/atom", tracked="curve"),
    ] = None
    force_l2: Annotated[
        float | None, Column("mean L2 norm of the force error on the validation set", unit="eV/Å", tracked="curve")
    ] = None
    trivial_loss: Annotated[
        float | None,
        Column("validation loss of reference energies and zero forces: to be beaten", unit="1", tracked="total"),
    ] = None
    train_loss: Annotated[
        float | None, Column("mean training loss since the previous point", unit="1", tracked="curve")
    ] = None
    gradient_norm: Annotated[
        float | None, Column("mean gradient norm before clipping since the previous point", unit="1", tracked="curve")
    ] = None
    throughput: Annotated[
        float | None,
        Column("atoms trained on per device second since the previous point", unit="atoms/s", tracked="curve"),
    ] = None
    equivariance_error: Annotated[
        float | None,
        Column("relative L2 change of the forces under one rotation, validation batch", unit="1", tracked="curve"),
    ] = None
    peak_memory: Annotated[
        int | None,
        Column("most memory so far: of the device's tensors; on a CPU of the process", unit="bytes", tracked="total"),
    ] = None
    inference_flops: Annotated[
        float | None,
        Column("FLOPs of an atom-step: energy and forces of the data, per atom", unit="FLOP", tracked="total"),
    ] = None
    md_ms_100: Annotated[
        float | None,
        Column("an MD step: energy and forces of one structure of 100 atoms", unit="ms", tracked="total"),
    ] = None
    md_ms_1000: Annotated[
        float | None,
        Column("an MD step: energy and forces of one structure of 1,000 atoms", unit="ms", tracked="total"),
    ] = None

    @property
    def on_plateau(self) -> bool:
        """Whether the loss is still on the starting plateau (see `PLATEAU_SHARE`)."""
        return self.trivial_loss is not None and self.loss > PLATEAU_SHARE * self.trivial_loss


_ARROW = {str: pa.string(), int: pa.int64(), float: pa.float64()}


def _declared() -> Iterator[tuple[str, type, Column]]:
    """Yield name, type and column of each field."""
    for name, hint in get_type_hints(Point, include_extras=True).items():
        kind, column = get_args(hint)
        yield name, next(one for one in (get_args(kind) or (kind,)) if one is not NoneType), column


COLUMNS = {name: column for name, _, column in _declared()}
"""By name, in the order of the schema."""
POINT_SCHEMA = pa.schema(
    [
        pa.field(name, _ARROW[kind], metadata={"unit": column.unit, "meaning": column.meaning})
        for name, kind, column in _declared()
    ],
    metadata={"raysweep.schema": "points/2"},
)
"""Columns, types, units and meanings of the points of one trial."""

TIMED = ("seconds", "device", "throughput", "peak_memory", "md_ms_100", "md_ms_1000")
"""Columns that differ between two runs of the same trajectory; all others are a function of its specification."""
ADDED = ("inference_flops", "md_ms_100", "md_ms_1000")
"""Columns that points/2 lacked at first: a file without them is read as one in which they were not measured."""

TABLE_SCHEMA = POINT_SCHEMA.append(pa.field("family", pa.string())).append(pa.field("stage", pa.string()))
"""Columns of a sweep's table: those of a point, its family in the search space, and its stage (see `stages`)."""


def to_table(points: Iterable[Point]) -> pa.Table:
    """Convert points to a table with `POINT_SCHEMA`, in their order."""
    return pa.Table.from_pylist([asdict(point) for point in points], schema=POINT_SCHEMA)


def with_added(table: pa.Table) -> pa.Table:
    """Give an older table of points the columns of `ADDED` that it lacks, empty; any other table is left as it is."""
    older = [name for name in POINT_SCHEMA.names if name not in ADDED or name in table.column_names]
    if table.column_names != older or len(older) == len(POINT_SCHEMA):
        return table
    columns = [
        table[name] if name in older else pa.nulls(table.num_rows, POINT_SCHEMA.field(name).type)
        for name in POINT_SCHEMA.names
    ]
    fields = [table.schema.field(name) if name in older else POINT_SCHEMA.field(name) for name in POINT_SCHEMA.names]
    return pa.table(columns, schema=pa.schema(fields, metadata=table.schema.metadata))


def from_table(table: pa.Table) -> list[Point]:
    """Convert a table's rows to points; further columns are ignored, and columns that an older table lacks are None."""
    names = [name for name in POINT_SCHEMA.names if name in table.schema.names]
    return [Point(**row) for row in table.select(names).to_pylist()]


def at_budgets(points: Sequence[Point], budgets: Sequence[float]) -> list[Point]:
    """Select the points at data budgets, in the order of the budgets, up to the first budget without a point.

    Rungs are compared by their budgets, never by their position among the points of a training.
    """
    by_budget = {point.budget: point for point in reversed(points) if point.budget_kind == "data"}
    return [by_budget[budget] for budget in itertools.takewhile(by_budget.__contains__, budgets)]
