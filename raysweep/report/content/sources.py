"""Sources of a report: a sweep's storage, or a bare table of points."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from raysweep.core.errors import FrontierError
from raysweep.core.hashing import digest
from raysweep.core.masking import masked
from raysweep.core.messages import last_line
from raysweep.core.points import COLUMNS
from raysweep.core.stages import GRID, NOT_FITTED
from raysweep.core.text import knobs
from raysweep.frontier import read_csv, read_parquet, read_store
from raysweep.frontier.points.families import family_label
from raysweep.frontier.points.readers import as_table, canonical, parquet_table
from raysweep.storage.forecasts import Forecasts, TrainedModel, read_forecasts, trained_models
from raysweep.storage.race_records import RaceRecord
from raysweep.storage.rate_records import RateRecord
from raysweep.storage.reader import SweepReader
from raysweep.storage.records import Assignment, TrialRecord

OF_SWEEPS = COLUMNS["data"].unit
"""What D counts in a sweep's points."""
_UNITS = {"token": "tokens", "atom": "atoms", "structure": "structures", "frame": "structures"}
"""By a part of a column's name."""
UNNAMED = "all points"
"""The family of points without one."""

NO_FORECASTS = Forecasts()


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A trajectory of the grid that failed; its points up to then are kept."""

    family: str
    size: str
    seed: int
    state: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that goes into a report."""

    title: str
    points: pa.Table
    """As the frontier's readers return it: the grid stage, families in the column `architecture`."""
    full: pa.Table | None
    """The grid stage with every column that was measured, rows as in the sweep; None for bare points."""
    searches: tuple[RateRecord, ...] = ()
    horizons: tuple[RateRecord, ...] = ()
    """Trials of the same rates at several horizons, by family."""
    races: tuple[RaceRecord, ...] = ()
    """Races across the families, the last one last."""
    forecasts: Forecasts = NO_FORECASTS
    models: tuple[TrainedModel, ...] = ()
    """Models that were trained for their own sake (`raysweep train`)."""
    broken: tuple[Broken, ...] = ()
    order: tuple[str, ...] = ()
    """Families in the order in which the sweep assigns its trials; `sweep.json` has them in alphabetical order."""
    ended: int = 0
    planned: int = 0
    """Trajectories of the grid: those that have ended, and all of them; 0 if unknown."""
    facts: Mapping[str, object] | None = None
    """The content of `sweep.json`; None for bare points."""
    data_unit: str | None = None
    """What D counts, such as "tokens" or "atoms"; None where nothing tells."""

    def families(self) -> tuple[str, ...]:
        """The families that have points, in the order of the search space or else of their first points."""
        if "architecture" not in self.points.column_names:
            return (UNNAMED,)
        seen = dict.fromkeys(family_label(name) for name in self.points["architecture"].to_pylist())
        order = self.planned_families()
        return tuple(sorted(seen, key=lambda name: order.index(name) if name in order else len(order)))

    def planned_families(self) -> tuple[str, ...]:
        """The families of the sweep in its order, including those without points; none for bare points."""
        space = self.facts.get("space") if self.facts else None
        families = space.get("families") if isinstance(space, dict) else None
        return tuple(dict.fromkeys([*self.order, *(families if isinstance(families, dict) else ())]))

    def incomplete(self) -> str | None:
        """Say what is missing; None if the sweep is complete."""
        if self.ended >= self.planned:
            return None
        absent = [name for name in self.planned_families() if name not in self.families()]
        missing = f"; there is no point of {', '.join(absent)} yet" if absent else ""
        return f"The sweep is not complete: {self.ended} of {self.planned} trajectories have ended{missing}."

    def digest(self) -> str:
        """Compute the SHA-256 of everything."""
        tables = b"" if self.full is None else _bytes(self.full)
        rest = json.dumps(
            [
                self.title,
                repr((self.searches, self.broken, self.order, self.ended, self.planned)),
                [(race.key, race.looks, race.verdicts, race.ended) for race in self.races],
                self.facts,
                self.data_unit,
                *([repr(self.horizons)] if self.horizons else []),
                *([repr(self.forecasts)] if self.forecasts != NO_FORECASTS else []),
                *([repr(self.models)] if self.models else []),
            ],
            sort_keys=True,
            default=str,
        )
        return digest(self.points_digest().encode() + tables + rest.encode())

    def points_digest(self) -> str:
        """Compute the SHA-256 of the points alone."""
        return digest(_bytes(self.points))


def from_storage(location: str) -> Material:
    """Read a sweep's storage (a folder or a URI), also while the sweep runs.

    Raises:
        FrontierError: there is no sweep, or no trajectory of its grid has finished yet.
    """
    reader = SweepReader(location)
    if not reader.assignments():  # a copy of its tables alone, without the trials
        return from_saved_table(location)
    table = reader.table()
    if GRID not in table["stage"].to_pylist():
        raise FrontierError(f"{location}: no trajectory of the grid has ended yet, so there is nothing to report on")
    return _material(location, reader, table, as_table(table, location))


def from_saved_table(location: str) -> Material:
    """Read a sweep's storage, with the table of points that the last run wrote rather than those of the trials.

    Raises:
        FrontierError: there is no sweep, or no trial of it has ended yet.
    """
    reader = SweepReader(location)
    return _material(location, reader, reader.saved_table(), read_store(location))


def from_points(points: pa.Table, title: str, *, in_order: bool = False, data_unit: str | None = None) -> Material:
    """Make a report's material from a table of points, as the readers of `raysweep.frontier` return it.

    Args:
        points: the table.
        title: of the report.
        in_order: keep the order of the rows, so that findings name those of the table given.
        data_unit: what D counts; None: unknown.
    """
    points = points.combine_chunks() if in_order else canonical(points)
    return Material(title=title, points=points, full=None, data_unit=data_unit)


def from_file(path: str, columns: Mapping[str, str], title: str, data_unit: str | None = None) -> Material:
    """Read a CSV or Parquet file of points; rows keep their numbers, except in a sweep's own table.

    Args:
        path: of the file.
        columns: the estimator's name -> the file's, where they differ.
        title: of the report.
        data_unit: what D counts; None: what the column of D says, by its name or by its field's unit.

    Raises:
        FrontierError: the file or a column is absent, or a column holds no numbers.
    """
    column = columns.get("data", "data")
    if not path.lower().endswith((".parquet", ".pq")):
        unit = data_unit or unit_of(column)
        return from_points(read_csv(path, columns), title, in_order=True, data_unit=unit)
    table = parquet_table(path)
    of_sweep = {"trial_id", "stage"} <= set(table.column_names)
    unit = data_unit or _declared_unit(table, column) or unit_of(column)
    return from_points(read_parquet(path, columns), title, in_order=not of_sweep, data_unit=unit)


def unit_of(column: str) -> str | None:
    """Infer what D counts from the name of its column; None if the name does not say.

    >>> unit_of("n_tokens"), unit_of("D_atoms"), unit_of("data")
    ('tokens', 'atoms', None)
    """
    return next((unit for part, unit in _UNITS.items() if part in column.lower()), None)


def _declared_unit(table: pa.Table, column: str) -> str | None:
    """The unit in a field's metadata, as in the tables that raysweep writes."""
    if column not in table.column_names:
        return None
    stored = (table.schema.field(column).metadata or {}).get(b"unit")
    return unit_of(stored.decode(errors="replace")) if stored else None


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
    return table.filter(pa.array([stage not in NOT_FITTED for stage in table["stage"].to_pylist()], pa.bool_()))


def _material(location: str, reader: SweepReader, table: pa.Table | None, points: pa.Table) -> Material:
    facts, searches = reader.identity(), list(reader.searches().values())
    assigned = [row for row in reader.assignments() if row.stage not in NOT_FITTED]
    records = [(row, reader.record(row.trial_id)) for row in assigned]
    return Material(
        title=str(facts["name"]) if facts and "name" in facts else masked(location),
        points=canonical(points),
        full=None if table is None else _grid_rows(table),
        searches=tuple(one for one in searches if not one.of_horizons),
        horizons=tuple(one for one in searches if one.of_horizons),
        races=tuple(reader.races()),
        forecasts=read_forecasts(reader),
        models=tuple(trained_models(reader)),
        broken=tuple(_broken(row, record) for row, record in records if record.state.ended_badly),
        order=tuple(dict.fromkeys(row.family for row in assigned)),
        ended=sum(record.state.ends_trajectory for _, record in records),
        planned=len(records),
        facts=facts,
        data_unit=OF_SWEEPS,
    )


def _broken(row: Assignment, record: TrialRecord) -> Broken:
    return Broken(
        family=row.family,
        size=knobs(json.loads(row.size)),
        seed=row.seed,
        state=record.state.replace("_", " "),
        message=last_line(record.message),
    )
