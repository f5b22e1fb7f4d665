"""Conversion of one part of a file to Arrow bytes: deterministic in its arguments, by any process on any node."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.elements import formulas
from raysweep.data.formats.fields.blocks import MISSING, Bad, Block, Chunk, Names, Span, Torn
from raysweep.data.formats.readers import Format, reader
from raysweep.data.importing.isolated import References
from raysweep.data.reasons import FORCE_ABOVE_LIMIT
from raysweep.data.store.shards import shard_bytes
from raysweep.data.structures import Structures, concatenate, with_cell

GroupBy = Literal["molecule", "formula", "structure"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The treatment of a file's records.

    Attributes:
        names: see `Names`.
        group_by: what is never on both sides of the split.
        skip_bad: skip and count records that cannot be used, instead of stopping.
        force_limit: eV/Å; skip and count structures with a larger force on any atom.
    """

    names: Names
    group_by: GroupBy
    skip_bad: bool
    force_limit: float | None


@dataclass(frozen=True, kw_only=True)
class Task:
    """A part of a file to convert."""

    name: str
    path: Path
    format: Format
    span: Span
    rules: Rules


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Structures that all have the same optional fields.

    Attributes:
        data: a shard.
        structures: how many.
        sources: distinct parts of the data set that they belong to.
        source_of: [S], index into `sources` of each; empty where there is one.
        fields: optional fields that they have.
    """

    data: bytes
    structures: int
    sources: tuple[str, ...]
    source_of: tuple[int, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Result of a task: structures, counts of rejected records, and energies of isolated atoms by element."""

    task: Task
    pieces: tuple[Piece, ...]
    rejected: dict[str, int]
    references: dict[int, float]


def convert(task: Task) -> Converted:
    """Read a part of a file.

    Raises:
        DataError: the file is torn, or a record cannot be used and `skip_bad` is off.
    """
    rejected: Counter[str] = Counter()
    references = References()
    kinds: dict[tuple[bool, bool], list[Block]] = {}
    for usable in _usable(_read(task), task.rules, rejected):
        part = references.without_isolated(usable, rejected)
        if part is None:
            continue
        structures = part.structures
        kinds.setdefault((structures.charge is not None, structures.spin is not None), []).append(part)
    pieces, done = [], 0
    for parts in kinds.values():
        structures = concatenate(_with_cells([part.structures for part in parts]))
        named = any(part.source is not None for part in parts)
        sources = np.concatenate([_sources(part, task.path) for part in parts]) if named else None
        pieces.append(_piece(_regrouped(structures, task, done), sources, task.path.name))
        done += len(structures)
    light = replace(task, span=replace(task.span, read=None, text=None))  # which the reader's process has
    return Converted(task=light, pieces=tuple(pieces), rejected=dict(rejected), references=references.energies)


def refuse(bad: Bad, rules: Rules, rejected: Counter[str]) -> None:
    """Count a record that cannot be used.

    Raises:
        DataError: that is not to be skipped.
    """
    if bad.reason != MISSING and not rules.skip_bad:
        raise DataError(f"{bad.where}: {bad.reason}. Leave such records out with skip_bad (--skip-bad)")
    rejected[bad.reason] += bad.count


def _read(task: Task) -> Iterator[Chunk]:
    try:
        yield from reader(task.format).read(task.path, task.span, task.rules.names)
    except Torn as error:
        if not task.rules.skip_bad:
            raise
        yield Bad(where=f"{task.path}", reason=f"torn: part of {task.path.name} ({error})")


def _usable(chunks: Iterator[Chunk], rules: Rules, rejected: Counter[str]) -> Iterator[Block]:
    for chunk in chunks:
        if isinstance(chunk, Bad):
            refuse(chunk, rules, rejected)
            continue
        if rules.force_limit is None:
            yield chunk
            continue
        structures = chunk.structures
        largest = np.maximum.reduceat(np.linalg.norm(structures.forces, axis=1), structures.offsets[:-1])
        rows = np.flatnonzero(largest <= rules.force_limit)
        rejected[FORCE_ABOVE_LIMIT] += len(structures) - len(rows)
        if len(rows):
            yield chunk.take(rows)
    for reason in [reason for reason, count in rejected.items() if not count]:
        del rejected[reason]


def _with_cells(parts: list[Structures]) -> list[Structures]:
    """Give all parts a cell and pbc where any structure is periodic, and none of them where none is."""
    if not any(part.pbc is not None and part.pbc.any() for part in parts):
        return [replace(part, cell=None, pbc=None) for part in parts]
    return [with_cell(part) for part in parts]


def _regrouped(structures: Structures, task: Task, first: int) -> Structures:
    if task.rules.group_by == "molecule":
        return structures
    if task.rules.group_by == "formula":
        return replace(structures, group=formulas(structures.numbers, structures.offsets))
    names = [f"{task.path.name} {task.span.first}+{first + i}" for i in range(len(structures))]
    return replace(structures, group=np.array(names, dtype=object))


def _sources(part: Block, path: Path) -> npt.NDArray[np.object_]:
    return np.array([path.name] * len(part.structures), dtype=object) if part.source is None else part.source


def _piece(structures: Structures, sources: npt.NDArray[np.object_] | None, file: str) -> Piece:
    names, which = [file], np.zeros(0, dtype=np.int64)
    if sources is not None:
        distinct, which = np.unique(sources.astype(str), return_inverse=True)
        names = distinct.tolist()
    fields = ("cell", "charge", "spin")
    return Piece(
        data=shard_bytes(structures),
        structures=len(structures),
        sources=tuple(names),
        source_of=tuple(which.tolist()) if len(names) > 1 else (),
        fields=tuple(name for name in fields if getattr(structures, name) is not None),
    )
