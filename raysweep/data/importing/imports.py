"""Import of published data sets: files are read part by part, in parallel, and become one store."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import get_args

from pydantic import JsonValue

from raysweep.core.errors import DataError
from raysweep.core.hashing import digest
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.formats.folders import LeftOut, counted
from raysweep.data.formats.readers import Format
from raysweep.data.importing.converting import GroupBy, Rules, Task, convert
from raysweep.data.importing.digests import digest_of
from raysweep.data.importing.isolated import refuse_only_isolated
from raysweep.data.importing.parts import ConvertedRecord, ConvertedRows, part_folder, save
from raysweep.data.importing.running import InOrder, digests, process_count, processes
from raysweep.data.importing.tasks import IMPORT_VERSION, files_to_import, tasks_of, titles
from raysweep.data.store.destination import standing_store, store_stands
from raysweep.data.store.manifest import Provenance
from raysweep.data.store.parts import PartFolder
from raysweep.data.store.splitting import Split
from raysweep.data.store.store import Store
from raysweep.data.store.writing import write_parts

__all__ = ["InOrder", "import_store"]

Progress = Callable[[str, int, int], None]
"""Called as `progress(what, done, of_how_many)`."""


@dataclass(frozen=True, kw_only=True)
class _Request:
    """Everything that the content of an imported store depends on, and its licence."""

    files: Sequence[Path]
    left_out: Sequence[LeftOut]
    format: Format | None
    rules: Rules
    split: Split
    licence: str

    def recipe(self, digests: Sequence[str]) -> dict[str, JsonValue]:
        """The recipe for the manifest, given the digests of the files."""
        held = self.split.held_out
        return {
            "name": "raysweep.data.imports",
            "version": IMPORT_VERSION,
            "files": dict(zip(titles(self.files), digests, strict=True)),
            "format": self.format,
            "names": dict(asdict(self.rules.names)),
            "group_by": self.rules.group_by,
            "validation_fraction": self.split.validation_fraction if held is None else None,
            "held_out": None if held is None else digest("\0".join(held).encode()),
            "stratify": self.split.stratify,
            "seed": self.split.seed,
            "skip_bad": self.rules.skip_bad,
            "force_limit": self.rules.force_limit,
        }

    def provenance(self, rows: ConvertedRows, digests: Sequence[str]) -> Provenance:
        """The provenance for the manifest."""
        rejected = Counter(rows.rejected)
        rejected.update(counted(self.left_out))
        return Provenance(
            source="imported from " + ", ".join(titles(self.files)),
            licence=self.licence,
            recipe=self.recipe(digests),
            made_with={name: version(name) for name in ("raysweep", "numpy")},
            rejected=dict(sorted(rejected.items())),
            reference_energies=rows.references.energies,
        )


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
    progress: Progress | None = None,
) -> Store:
    """Import files into a new store, or open the store that the same files and arguments made before.

    Parts of files are read in parallel and kept on disk next to the store (`.NAME.importing`) until it is written, so
    that an import that was killed continues. Memory grows by about 50 bytes a structure.

    Args:
        location: folder or `pyarrow.fs` URI of the store; absent, empty, or a store of the same recipe.
        sources: files, or folders to be searched for files.
        format: how to read them; by default by what each file is.
        names: keys and units of formats that have no fixed ones.
        group_by: what is never on both sides of the split. molecule: the reader's own name for it (MD17: the
            file), otherwise the formula; formula: the chemical formula; structure: nothing, so that frames of one
                molecule may be on both.
        validation_fraction: share of the groups that is held out.
        seed: of the split and the order.
        stratify: hold out that share within each source (`Names.source`, otherwise the file).
        held_out: names of the groups to hold out, instead of a share.
        skip_bad: skip records that cannot be used, and count them by reason in the manifest.
        force_limit: eV/Å; skip and count structures with a larger force on any atom.
        licence: of the data, for the manifest.
        workers: processes; one for each core by default.
        in_order: runs the parts, instead of processes of this machine.
        progress: called as `progress(what, done, of_how_many)`.

    Raises:
        DataError: a file is absent or torn, a record cannot be used and `skip_bad` is off, or the location is taken.
    """
    _refuse_unknown("format", format, (None, *get_args(Format)))
    _refuse_unknown("group_by", group_by, get_args(GroupBy))
    files, left_out = files_to_import(sources)
    request = _Request(
        files=files,
        left_out=left_out,
        format=format,
        rules=Rules(names=names or Names(), group_by=group_by, skip_bad=skip_bad, force_limit=force_limit),
        split=Split(
            validation_fraction=validation_fraction,
            seed=seed,
            stratify=stratify,
            held_out=None if held_out is None else tuple(sorted(held_out)),
        ),
        licence=licence,
    )
    present = _standing(location, request)
    return _import(location, request, workers, in_order, progress) if present is None else present


def _standing(location: str | Path, request: _Request) -> Store | None:
    """Open the store of the same request at the location; None if there is none.

    The files are hashed only if there is a store.
    """
    if not store_stands(location):
        return standing_store(location, {})
    present = standing_store(location, request.recipe([digest_of(file) for file in request.files]))
    part_folder(location).remove()  # left by an import that was killed just after it had written the store
    return present


def _import(
    location: str | Path, request: _Request, workers: int | None, in_order: InOrder | None, progress: Progress | None
) -> Store:
    """Read the files into parts and write the store."""
    count = process_count(request.files, workers)
    with part_folder(location) as folder:
        with digests(request.files, in_order, count) as wait:
            rows = _read(folder, request, in_order or processes(count), progress)
            provenance = request.provenance(rows, wait())
        written = None if progress is None else lambda done, total: progress("structures written", done, total)
        store = write_parts(location, rows, request.split, provenance, progress=written)
        folder.remove()
    return store


def _read(
    folder: PartFolder[ConvertedRecord], request: _Request, in_order: InOrder, progress: Progress | None
) -> ConvertedRows:
    """Read the parts that are not in the folder yet; all of them as rows."""
    rejected: Counter[str] = Counter()
    order: list[str] = []
    total, done = sum(file.stat().st_size for file in request.files), 0

    def missing() -> Iterator[Task]:
        nonlocal done
        for file in request.files:
            for task in tasks_of(file, request.format, request.rules, rejected):
                order.append(task.name)
                if folder.find(task.name, verify=True):
                    done += task.span.bytes
                else:
                    yield task

    for result in in_order(convert, missing()):
        save(folder, result)
        done += result.task.span.bytes
        if progress:
            progress("bytes read", min(done, total), total)
    rows = ConvertedRows(folder, order)
    rows.rejected.update(rejected)
    if not len(rows):
        _refuse_nothing(", ".join(map(str, request.files)), rows.rejected)
    return rows


def _refuse_nothing(files: str, rejected: Counter[str]) -> None:
    refuse_only_isolated(files, rejected)
    raise DataError(f"{files}: no usable structures (left out: {dict(rejected)})")


def _refuse_unknown(name: str, value: str | None, known: Sequence[str | None]) -> None:
    if value not in known:
        raise DataError(f"{name} is {value!r}; known are {', '.join(str(one) for one in known if one)}")
