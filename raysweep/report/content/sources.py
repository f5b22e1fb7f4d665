"""Where a report's contents come from: a sweep's storage, or a bare table of points."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from raysweep.core.hashing import digest
from raysweep.core.io.files import open_location, read_whole
from raysweep.core.masking import masked, masked_values
from raysweep.core.messages import kept, last_line
from raysweep.core.text import knobs
from raysweep.core.trial import TrialState
from raysweep.frontier import read_store
from raysweep.frontier.points.readers import as_table
from raysweep.storage import layout

LEARNING_RATE_STAGE = "learning_rate"
UNNAMED = "all points"
"""The family of points that name none."""


@dataclass(frozen=True, kw_only=True)
class RateTrial:
    """One trial of a learning-rate search."""

    rate: float
    state: str
    losses: tuple[float, ...]
    """At the rungs that it reached."""


@dataclass(frozen=True, kw_only=True)
class RateSearch:
    """The search of one learning rate, and what was chosen."""

    family: str
    size: str
    """Knobs of the size at which it was searched."""
    rate: float | None
    method: str | None
    edge: str | None
    """"low" or "high" where the best rate is the first or last of all that were tried."""
    trials: tuple[RateTrial, ...]
    on_plateau: bool = False
    """Whether no trial of the search left the starting plateau, so that its rate is a guess."""


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A trajectory of the grid that did not end well; its points before the end are kept."""

    family: str
    size: str
    seed: int
    state: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Material:
    """All that a report is made of."""

    title: str
    points: pa.Table
    """As the frontier's readers give it: the grid stage, families in the column `architecture`."""
    full: pa.Table | None
    """The grid stage with every column that was measured, rows as in the sweep; None for bare points."""
    searches: tuple[RateSearch, ...] = ()
    broken: tuple[Broken, ...] = ()
    order: tuple[str, ...] = ()
    """Families as the sweep assigns its trials; `sweep.json` has them in alphabetical order."""
    ended: int = 0
    planned: int = 0
    """Trajectories of the grid: those that have ended, and all of them; 0 where that is not known."""
    facts: Mapping[str, object] | None = None
    """What `sweep.json` says; None for bare points."""

    def families(self) -> tuple[str, ...]:
        """Return the families that have points, in the order of the search space, else of their first points."""
        if "architecture" not in self.points.column_names:
            return (UNNAMED,)
        seen = dict.fromkeys(str(name) for name in self.points["architecture"].to_pylist())
        order = self.planned_families()
        return tuple(sorted(seen, key=lambda name: order.index(name) if name in order else len(order)))

    def planned_families(self) -> tuple[str, ...]:
        """Return the families of the sweep in its order, those without points too; none for bare points."""
        space = self.facts.get("space") if self.facts else None
        families = space.get("families") if isinstance(space, dict) else None
        return tuple(dict.fromkeys([*self.order, *(families if isinstance(families, dict) else ())]))

    def incomplete(self) -> str | None:
        """Return a sentence where the sweep has not ended."""
        if self.ended >= self.planned:
            return None
        absent = [name for name in self.planned_families() if name not in self.families()]
        missing = f"; there is no point of {', '.join(absent)} yet" if absent else ""
        return f"The sweep is not complete: {self.ended} of {self.planned} trajectories have ended{missing}."

    def digest(self) -> str:
        """Return the SHA-256 of all of it."""
        tables = b"" if self.full is None else _bytes(self.full)
        rest = json.dumps(
            [self.title, repr((self.searches, self.broken, self.order, self.ended, self.planned)), self.facts],
            sort_keys=True,
            default=str,
        )
        return digest(self.points_digest().encode() + tables + rest.encode())

    def points_digest(self) -> str:
        """Return the SHA-256 of the points alone."""
        return digest(_bytes(self.points))


def canonical(points: pa.Table) -> pa.Table:
    """Return points in one order, whatever they were read from: the same points then give the same fit to the bit."""
    keys = ("architecture", "trajectory", "seed", "params", "data", "flops", "loss")
    return points.sort_by([(name, "ascending") for name in keys if name in points.column_names]).combine_chunks()


def from_storage(location: str, table: pa.Table | None = None) -> Material:
    """Return the material of a sweep's storage (a folder or a URI).

    Args:
        location: of the storage.
        table: all points of the sweep with family and stage, where they are newer than the storage's `points.parquet`.

    Raises:
        FrontierError: there is no sweep there, or no trial of it has ended yet.
    """
    filesystem, root = open_location(location)
    points = canonical(read_store(location) if table is None else as_table(table, location))
    if table is None:
        whole = read_whole(filesystem, f"{root}/{layout.POINTS}")
        table = None if whole is None else pq.read_table(pa.BufferReader(whole))
    # Masked, as older versions wrote passwords there.
    facts = masked_values(_json(read_whole(filesystem, f"{root}/{layout.SWEEP}")))
    records = _grid_records(filesystem, root)
    rates = _json(read_whole(filesystem, f"{root}/{layout.LEARNING_RATES}"))
    return Material(
        title=str(facts["name"]) if isinstance(facts, dict) and "name" in facts else masked(location),
        points=points,
        full=None if table is None else _grid_rows(table),
        searches=_searches(rates),
        broken=tuple(_broken(*pair) for pair in records if _state(pair[1]).ended_badly),
        order=tuple(dict.fromkeys(str(row["family"]) for row, _ in records)),
        ended=sum(_state(record).is_final and _state(record) != TrialState.STOPPED for _, record in records),
        planned=len(records),
        facts=facts if isinstance(facts, dict) else None,
    )


def from_points(points: pa.Table, title: str) -> Material:
    """Return the material of a bare table of points, as the frontier's readers give it."""
    return Material(title=title, points=canonical(points), full=None)


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    plain = table.replace_schema_metadata(None).combine_chunks()
    plain = plain.cast(pa.schema([pa.field(field.name, field.type) for field in plain.schema]))
    with pa.ipc.new_stream(sink, plain.schema) as stream:
        stream.write_table(plain)
    return bytes(sink.getvalue().to_pybytes())


def _grid_rows(table: pa.Table) -> pa.Table:
    if "stage" not in table.column_names:
        return table
    return table.filter(pa.array([stage != LEARNING_RATE_STAGE for stage in table["stage"].to_pylist()], pa.bool_()))


def _json(data: bytes | None) -> object:
    try:
        return None if data is None else json.loads(data)
    except ValueError:
        return None  # a report without that part beats none; `run` writes the file anew


def _grid_records(filesystem: fs.FileSystem, root: str) -> list[tuple[Mapping[str, object], Mapping[str, object]]]:
    """Return assignment and state of every trajectory of the grid, as far as the store says."""
    listed = _json(read_whole(filesystem, f"{root}/{layout.ASSIGNMENTS}"))
    found: list[tuple[Mapping[str, object], Mapping[str, object]]] = []
    for row in listed if isinstance(listed, list) else ():
        if row["stage"] != LEARNING_RATE_STAGE:
            record = _json(read_whole(filesystem, f"{root}/{layout.TRIALS}/{row['trial_id']}/{layout.TRIAL_STATE}"))
            found.append((row, record if isinstance(record, dict) else {}))
    return found


def _state(record: Mapping[str, object]) -> TrialState:
    """Return the state that a record names; PLANNED where it is torn."""
    try:
        return TrialState(str(record.get("state")))
    except ValueError:
        return TrialState.PLANNED


def _broken(row: Mapping[str, object], record: Mapping[str, object]) -> Broken:
    return Broken(
        family=str(row["family"]),
        size=knobs(json.loads(str(row["size"]))),
        seed=int(str(row["seed"])),
        state=str(record["state"]).replace("_", " "),
        message=last_line(kept(str(record.get("message") or ""))),
    )


def _searches(content: object) -> tuple[RateSearch, ...]:
    cells = content.get("cells") if isinstance(content, dict) else None
    return tuple(_search(cell) for cell in cells) if isinstance(cells, list) else ()


def _search(cell: Mapping[str, object]) -> RateSearch:
    size, trials = cell["size"], cell["trials"]
    assert isinstance(size, dict)
    assert isinstance(trials, list)
    rate = cell["rate"]
    return RateSearch(
        family=str(cell["family"]),
        size=knobs(size),
        rate=None if rate is None else float(str(rate)),
        method=None if cell["method"] is None else str(cell["method"]),
        edge=None if cell["edge"] is None else str(cell["edge"]),
        on_plateau=bool(cell.get("on_plateau", False)),
        trials=tuple(
            RateTrial(
                rate=float(trial["learning_rate"]),
                state=str(trial["state"]),
                losses=tuple(float("nan") if loss is None else float(loss) for loss in trial["losses"]),
            )
            for trial in trials
        ),
    )
