"""The table of points, which trials write and the frontier reads: a row is one evaluation on a trajectory."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

_COLUMNS: tuple[tuple[str, pa.DataType, str, str], ...] = (
    ("trial_id", pa.string(), "", "content hash of the trajectory that the point lies on"),
    ("architecture", pa.string(), "", "name in the model registry"),
    ("size", pa.string(), "", "knobs of the architecture as JSON with sorted keys"),
    ("seed", pa.int64(), "", "of weights and order of structures"),
    ("learning_rate", pa.float64(), "1", "at the base size"),
    ("step", pa.int64(), "1", "optimizer steps taken"),
    ("budget", pa.float64(), "atoms or FLOPs", "where it was to be taken; `data` or `flops` is what was reached"),
    ("budget_kind", pa.string(), "", "data (atoms) or flops"),
    ("params", pa.int64(), "1", "N, trainable parameters"),
    ("data", pa.float64(), "atoms", "D, atoms seen in training"),
    ("unique_data", pa.float64(), "atoms", "distinct atoms among them"),
    ("structures", pa.float64(), "structures", "structures seen in training"),
    ("edges", pa.float64(), "edges", "directed edges seen in training"),
    ("flops", pa.float64(), "FLOP", "C, measured training FLOPs, forward and backward"),
    ("seconds", pa.float64(), "s", "device seconds of training alone: no data wait, no evaluation"),
    ("device", pa.string(), "", "the device's name, since seconds on two devices do not mix"),
    ("loss", pa.float64(), "1", "validation loss: scaled energy error per atom plus scaled force error"),
    ("energy_mae", pa.float64(), "eV/atom", "mean absolute error of the energy per atom on the validation set"),
    ("force_l2", pa.float64(), "eV/Å", "mean L2 norm of the force error on the validation set"),
    ("trivial_loss", pa.float64(), "1", "validation loss of reference energies and zero forces: to be beaten"),
    ("train_loss", pa.float64(), "1", "mean training loss since the previous point"),
    ("gradient_norm", pa.float64(), "1", "mean gradient norm before clipping since the previous point"),
    ("throughput", pa.float64(), "atoms/s", "atoms trained on per device second since the previous point"),
    ("equivariance_error", pa.float64(), "1", "relative L2 change of the forces under one rotation, validation batch"),
    ("peak_memory", pa.int64(), "bytes", "most memory so far: of the device's tensors; on a CPU of the process"),
)

POINT_SCHEMA = pa.schema(
    [pa.field(name, kind, metadata={"unit": unit, "meaning": meaning}) for name, kind, unit, meaning in _COLUMNS],
    metadata={"raysweep.schema": "points/2"},
)
"""Columns, types, units and meanings of the points of one trial."""

TIMED = ("seconds", "device", "throughput", "peak_memory")
"""Columns that differ between two runs of the same trajectory; all others are a function of its specification."""

TABLE_SCHEMA = POINT_SCHEMA.append(pa.field("family", pa.string())).append(pa.field("stage", pa.string()))
"""Columns of a sweep's table: those of a point, its family in the search space, and its stage (grid, learning_rate)."""

PLATEAU_SHARE = 0.9
"""A point whose loss is above this share of `trivial_loss` has not left the starting plateau: kept out of every fit."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One evaluation on a trajectory; fields, units and meanings are those of `POINT_SCHEMA`.

    None: not measured. A model that is not a force field has no `energy_mae`, `force_l2`, `trivial_loss`.
    """

    trial_id: str
    architecture: str
    size: str
    seed: int
    learning_rate: float
    step: int
    budget: float
    budget_kind: str
    params: int
    data: float
    flops: float
    loss: float
    unique_data: float | None = None
    structures: float | None = None
    edges: float | None = None
    seconds: float | None = None
    device: str | None = None
    energy_mae: float | None = None
    force_l2: float | None = None
    trivial_loss: float | None = None
    train_loss: float | None = None
    gradient_norm: float | None = None
    throughput: float | None = None
    equivariance_error: float | None = None
    peak_memory: int | None = None

    @property
    def on_plateau(self) -> bool:
        """Whether the loss is still on the starting plateau (see `PLATEAU_SHARE`)."""
        return self.trivial_loss is not None and self.loss > PLATEAU_SHARE * self.trivial_loss


def to_table(points: Iterable[Point]) -> pa.Table:
    """Convert points to a table with `POINT_SCHEMA`, in their order."""
    return pa.Table.from_pylist([asdict(point) for point in points], schema=POINT_SCHEMA)


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
