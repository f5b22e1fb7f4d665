"""The files of an import and the parts that they are read in."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from raysweep.core.errors import DataError
from raysweep.core.hashing import content_id
from raysweep.data.formats.fields.blocks import Bad, Names, Torn
from raysweep.data.formats.folders import LeftOut, files_of
from raysweep.data.formats.readers import FIXED_KEYS, Format, format_of, reader
from raysweep.data.importing.converting import Rules, Task, refuse

IMPORT_VERSION = 4
"""Raised whenever the same files would give other structures."""


def files_to_import(sources: Sequence[str | Path]) -> tuple[list[Path], list[LeftOut]]:
    """Find the files of the sources, and the files in their folders that are skipped.

    Raises:
        DataError: there is none, or one is absent or given twice.
    """
    if not sources:
        raise DataError("no files to import were given")
    return files_of([Path(source) for source in sources])


def titles(files: Sequence[Path]) -> list[str]:
    """The names of files for the manifest, with as many of their folders as tell them apart."""
    found = [file.name for file in files]
    depth = 1
    while len(set(found)) < len(found):
        depth += 1
        found = ["/".join(file.absolute().parts[-depth:]) for file in files]
    return found


def tasks_of(file: Path, format: Format | None, rules: Rules, rejected: Counter[str]) -> Iterator[Task]:
    """Yield the parts of a file, each named by all that its structures depend on.

    Args:
        file: to be read.
        format: of the file; by default recognised.
        rules: of the import.
        rejected: counts skipped records, by reason.

    Raises:
        DataError: the file is of no known format, or is torn and not to be skipped.
    """
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


def _refuse_keys(file: Path, format: Format, names: Names) -> None:
    """Refuse keys that a format has no place for."""
    for name in ("numbers", "positions", "cell", "pbc"):
        key = getattr(names, name)
        if key and format in FIXED_KEYS:
            raise DataError(
                f"{file}: the format {format} has a fixed place for its {name}, so {key!r} (--{name}-key) is not "
                "looked for; leave it out"
            )
