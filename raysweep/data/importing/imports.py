"""Published data sets become stores: files in, part by part and in parallel, one store out."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol, TypeVar, get_args

from pydantic import JsonValue

from raysweep.core.errors import DataError
from raysweep.core.hashing import content_id, digest
from raysweep.data.formats.fields.blocks import Bad, Names, Torn
from raysweep.data.formats.folders import LeftOut, counted, files_of
from raysweep.data.formats.readers import FIXED_KEYS, Format, format_of, reader
from raysweep.data.importing.converting import GroupBy, Rules, Task, convert, refuse
from raysweep.data.importing.digests import digest_of, digests_beside
from raysweep.data.importing.isolated import refuse_only_isolated
from raysweep.data.importing.scratch import Parts, Scratch, scratch_folder
from raysweep.data.store.splitting import split_index
from raysweep.data.store.store import Store
from raysweep.data.store.writing import Provenance, standing_store, write_rows
from raysweep.data.workers import Workers, usable_cores

IMPORT_VERSION = 4
"""Raised whenever the same files would give other structures."""
IN_PROCESS_BYTES = 16 * 2**20
"""Files that are smaller together are read without worker processes, whose start takes longer."""

WORKERS_PER_DIGEST = 8
"""Processes that read no faster than one thread hashes."""
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


class InOrder(Protocol):
    """Yields `function(task)` of each task in their order, on whatever processes there are."""

    def __call__(self, function: Callable[[_Task], _Result], tasks: Iterable[_Task], /) -> Iterator[_Result]:
        """Draw the tasks as they are needed."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How structures are divided.

    Attributes:
        validation_fraction: share of the groups that is held out.
        seed: of the split and the order.
        stratify: hold out that share within each source (`Names.source`, otherwise the file).
        held_out: names of the groups to hold out, instead of a share.
    """

    validation_fraction: float = 0.1
    seed: int = 0
    stratify: bool = False
    held_out: tuple[str, ...] | None = None


def import_store(
    location: str | Path,
    sources: Sequence[str | Path],
    *,
    format: Format | None = None,
    names: Names | None = None,
    group_by: GroupBy = "molecule",
    validation_fraction: float = 0.1,
    seed: int = 0,
    stratify: bool = False,
    held_out: Collection[str] | None = None,
    skip_bad: bool = False,
    force_limit: float | None = None,
    licence: str = "not stated",
    workers: int | None = None,
    in_order: InOrder | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Store:
    """Import files into a new store; where a store of the same files and arguments stands already, return that.

    Parts of files are read in parallel and kept on disk beside the store (`.NAME.importing`) until it stands, so that
    an import that was killed goes on. Memory does not grow with the files but for about 50 bytes a structure.

    Args:
        location: folder or `pyarrow.fs` URI of the store; absent, empty, or a store of the same recipe.
        sources: files, or folders to be searched for files.
        format: how to read them; by default by what each file is.
        names: keys and units of formats that have no fixed ones.
        group_by: what never stands on both sides of the split. molecule: the reader's own name for it (MD17: the
            file), otherwise the formula; formula: the chemical formula; structure: nothing, so that frames of one
            molecule may stand on both.
        validation_fraction: share of the groups that is held out.
        seed: of the split and the order.
        stratify: hold out that share within each source (`Names.source`, otherwise the file).
        held_out: names of the groups to hold out, instead of a share.
        skip_bad: leave out records that cannot be used, and count them by reason in the manifest.
        force_limit: eV/Å; leave out, and count, structures with a longer force on any atom.
        licence: of the data, for the manifest.
        workers: processes; one for each core by default.
        in_order: runs the parts, instead of processes of this machine.
        progress: called as `progress(what, done, of_how_many)`.

    Raises:
        DataError: a file is absent or torn, a record cannot be used and `skip_bad` is off, or the location is taken.
    """
    _refuse_unknown("format", format, (None, *get_args(Format)))
    _refuse_unknown("group_by", group_by, get_args(GroupBy))
    files, left_out = _files(sources)
    rules = Rules(names=names or Names(), group_by=group_by, skip_bad=skip_bad, force_limit=force_limit)
    held = None if held_out is None else tuple(sorted(held_out))
    division = Split(validation_fraction=validation_fraction, seed=seed, stratify=stratify, held_out=held)

    def recipe_of(digests: Sequence[str]) -> dict[str, JsonValue]:
        return _recipe(dict(zip(_titles(files), digests, strict=True)), format, rules, division)

    if _stands(location):
        present = standing_store(location, recipe_of([digest_of(file) for file in files]))
        if present is not None:
            return present
    standing_store(location, {})  # refuses a location that is taken, before any work
    scratch = Scratch(scratch_folder(location))
    count = _count(files, workers)
    with scratch.held():
        try:
            with _digests(files, in_order, count) as digests:
                parts = _converted(scratch, files, format, rules, in_order or _processes(count), progress)
                parts.rejected.update(counted(left_out))
                recipe = recipe_of(digests())
            store = _written(location, files, parts, recipe, division, licence, progress)
        except DataError:
            if not any(scratch.folder.glob("*.json")):
                scratch.remove()
            raise
        scratch.remove()
    return store


def _stands(location: str | Path) -> bool:
    from raysweep.core.io.files import open_location, read_whole
    from raysweep.data.store.manifest import MANIFEST_NAME

    filesystem, path = open_location(location)
    return read_whole(filesystem, f"{path}/{MANIFEST_NAME}") is not None


def _converted(
    scratch: Scratch,
    files: list[Path],
    format: Format | None,
    rules: Rules,
    in_order: InOrder,
    progress: Callable[[str, int, int], None] | None,
) -> Parts:
    """Read what is not read yet; return all parts."""
    rejected: Counter[str] = Counter()
    order: list[str] = []
    total, done = sum(file.stat().st_size for file in files), 0

    def tasks() -> Iterator[Task]:
        nonlocal done
        for file in files:
            for task in _tasks(file, format, rules, rejected):
                order.append(task.name)
                if scratch.has(task.name):
                    done += task.span.bytes
                else:
                    yield task

    for result in in_order(convert, tasks()):
        scratch.save(result)
        done += result.task.span.bytes
        if progress:
            progress("bytes read", min(done, total), total)
    parts = Parts(scratch, order)
    parts.rejected.update(rejected)
    if not len(parts):
        refuse_only_isolated(", ".join(map(str, files)), parts.rejected)
        raise DataError(f"{', '.join(map(str, files))}: no usable structures (left out: {dict(parts.rejected)})")
    return parts


def _tasks(file: Path, format: Format | None, rules: Rules, rejected: Counter[str]) -> Iterator[Task]:
    """Yield the parts of a file; what is wrong with it as a whole is refused or counted."""
    try:
        found = format or format_of(file)
        _refuse_keys(file, found, rules.names)
        stat = file.stat()
        key = [file.name, stat.st_size, stat.st_mtime_ns, IMPORT_VERSION, found, asdict(rules)]
        for span in reader(found).spans(file, rules.names):
            if isinstance(span, Bad):
                refuse(span, rules, rejected)
                continue
            name = content_id([*key, span.start, span.stop], 32, spaced=True)
            yield Task(name=name, path=file.absolute(), format=found, span=span, rules=rules)
    except Torn as error:
        if not rules.skip_bad:
            raise
        rejected[f"torn: {error}"] += 1


def _count(files: list[Path], workers: int | None) -> int:
    """Return how many processes read the files."""
    count = usable_cores() if workers is None else workers
    if count < 1:
        raise DataError(f"workers is {count}; it must be at least 1")
    if workers is None and sum(file.stat().st_size for file in files) < IN_PROCESS_BYTES:
        count = 1
    return count


def _processes(count: int) -> InOrder:
    def run(function: Callable[[_Task], _Result], tasks: Iterable[_Task], /) -> Iterator[_Result]:
        if count == 1:
            yield from map(function, tasks)
            return
        with Workers(count) as pool:
            yield from pool.in_order(function, tasks)

    return run


def _digests(
    files: list[Path], in_order: InOrder | None, count: int
) -> AbstractContextManager[Callable[[], list[str]]]:
    """Hash the files beside a block, or after it where other machines do it; what is yielded waits for the digests."""
    if in_order is None:
        return digests_beside(files, 1 + count // WORKERS_PER_DIGEST)
    return nullcontext(lambda: list(in_order(digest_of, files)))


def _written(
    location: str | Path,
    files: list[Path],
    parts: Parts,
    recipe: dict[str, JsonValue],
    division: Split,
    licence: str,
    progress: Callable[[str, int, int], None] | None,
) -> Store:
    rows = split_index(
        parts.index(division.seed),
        division.validation_fraction,
        division.seed,
        stratify=division.stratify,
        held_out=division.held_out,
    )
    return write_rows(
        location,
        parts,
        rows,
        Provenance(
            source="imported from " + ", ".join(_titles(files)),
            licence=licence,
            recipe=recipe,
            made_with={name: version(name) for name in ("raysweep", "numpy")},
            rejected=dict(sorted(parts.rejected.items())),
            reference_energies=parts.references.energies,
        ),
        progress=None if progress is None else lambda done, total: progress("structures written", done, total),
    )


def _recipe(files: dict[str, str], format: Format | None, rules: Rules, division: Split) -> dict[str, JsonValue]:
    held = division.held_out
    return {
        "name": "raysweep.data.imports",
        "version": IMPORT_VERSION,
        "files": dict(files),
        "format": format,
        "names": dict(asdict(rules.names)),
        "group_by": rules.group_by,
        "validation_fraction": division.validation_fraction if held is None else None,
        "held_out": None if held is None else digest("\0".join(held).encode()),
        "stratify": division.stratify,
        "seed": division.seed,
        "skip_bad": rules.skip_bad,
        "force_limit": rules.force_limit,
    }


def _refuse_unknown(name: str, value: str | None, known: Sequence[str | None]) -> None:
    if value not in known:
        raise DataError(f"{name} is {value!r}; known are {', '.join(str(one) for one in known if one)}")


def _refuse_keys(file: Path, format: Format, names: Names) -> None:
    """Refuse keys that a format has no place for."""
    for name in ("numbers", "positions", "cell", "pbc"):
        key = getattr(names, name)
        if key and format in FIXED_KEYS:
            raise DataError(
                f"{file}: the format {format} keeps its {name} in a place of its own, so {key!r} (--{name}-key) is not "
                "looked for; leave it out"
            )


def _files(sources: Sequence[str | Path]) -> tuple[list[Path], list[LeftOut]]:
    if not sources:
        raise DataError("no files to import were given")
    return files_of([Path(source) for source in sources])


def _titles(files: list[Path]) -> list[str]:
    """Return what the manifest calls the files: their names, with so much of their folders as tells them apart."""
    titles = [file.name for file in files]
    depth = 1
    while len(set(titles)) < len(titles):
        depth += 1
        titles = ["/".join(file.absolute().parts[-depth:]) for file in files]
    return titles
