"""Published data sets become stores: files in, by way of a reader per format, one store out."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from pydantic import JsonValue

from raysweep.data.formats import ase_readable, hdf5, md17
from raysweep.data.formats.ase_readable import Names
from raysweep.data.formats.blocks import MISSING, Bad, Chunk
from raysweep.data.labels import FORCE_ABOVE_LIMIT
from raysweep.data.store import Store
from raysweep.data.structures import Structures, concatenate
from raysweep.data.writing import Provenance, standing_store, write_store
from raysweep.errors import DataError

Format = Literal["md17", "spice", "ani1x", "ase"]
GroupBy = Literal["molecule", "formula", "structure"]
IMPORT_VERSION = 1
"""Raised whenever the same files would give other structures."""


def import_store(
    location: str | Path,
    sources: Sequence[str | Path],
    *,
    format: Format | None = None,
    names: Names | None = None,
    group_by: GroupBy = "molecule",
    validation_fraction: float = 0.1,
    seed: int = 0,
    skip_bad: bool = False,
    force_limit: float | None = None,
    licence: str = "not stated",
    progress: Callable[[Path, int], None] | None = None,
) -> Store:
    """Import files into a new store; where a store of the same files and arguments stands already, return that.

    All structures are held in memory once, about 100 bytes an atom.

    Args:
        location: folder or `pyarrow.fs` URI of the store; absent, empty, or a store of the same recipe.
        sources: files, all of one format.
        format: how to read them; by default .npz is MD17 or rMD17, .h5 and .hdf5 are SPICE or ANI-1x by what they
            hold, and ASE reads the rest.
        names: keys and units of files that ASE reads; other formats have their own.
        group_by: what never stands on both sides of the split. molecule: the reader's own name for it (MD17: the
            file); formula: the chemical formula; structure: nothing, so that frames of one molecule may stand on both.
        validation_fraction: share of the groups that is held out.
        seed: of the split and the order.
        skip_bad: leave out records that cannot be used, and count them by reason in the manifest.
        force_limit: eV/Å; leave out, and count, structures with a longer force on any atom.
        licence: of the data, for the manifest.
        progress: called as `progress(file, structures_so_far)` after each record.

    Raises:
        DataError: a file is absent or torn, a record cannot be used and `skip_bad` is off, or the location is taken.
    """
    files = [Path(source) for source in sources]
    _refuse_absent(files)
    _refuse_unknown("format", format, (None, *get_args(Format)))
    _refuse_unknown("group_by", group_by, get_args(GroupBy))
    names = names or Names()
    recipe: dict[str, JsonValue] = {
        "name": "raysweep.data.imports",
        "version": IMPORT_VERSION,
        "files": {file.name: _digest(file) for file in files},
        "format": format,
        "names": dict(asdict(names)),
        "group_by": group_by,
        "validation_fraction": validation_fraction,
        "seed": seed,
        "skip_bad": skip_bad,
        "force_limit": force_limit,
    }
    present = standing_store(location, recipe)
    if present is not None:
        return present
    rejected: Counter[str] = Counter()
    parts: list[Structures] = []
    done = 0
    for file in files:
        for part in _usable(_read(file, format, names), skip_bad, force_limit, rejected):
            parts.append(_regrouped(part, group_by, done))
            done += len(part)
            if progress:
                progress(file, done)
    if not parts:
        raise DataError(f"{', '.join(map(str, files))}: no usable structures (left out: {dict(rejected)})")
    return write_store(
        location,
        concatenate(_alike(parts)),
        Provenance(
            source="imported from " + ", ".join(file.name for file in files),
            licence=licence,
            recipe=recipe,
            made_with={name: version(name) for name in ("raysweep", "numpy")},
            rejected=dict(sorted(rejected.items())),
        ),
        validation_fraction=validation_fraction,
        seed=seed,
    )


def _read(file: Path, format: Format | None, names: Names) -> Iterator[Chunk]:
    found: str | None = format
    if found is None and file.suffix == ".npz":
        found = "md17"
    elif found is None and file.suffix in (".h5", ".hdf5"):
        found = hdf5.layout(file)
        if found is None:
            raise DataError(f"{file}: neither SPICE's datasets ({', '.join(hdf5.SPICE)}) nor ANI-1x's are in it")
    if found == "md17":
        return md17.read(file)
    if found == "spice":
        return hdf5.read_spice(file)
    return hdf5.read_ani1x(file) if found == "ani1x" else ase_readable.read(file, names)


def _usable(
    chunks: Iterable[Chunk], skip_bad: bool, force_limit: float | None, rejected: Counter[str]
) -> Iterator[Structures]:
    for chunk in chunks:
        if isinstance(chunk, Bad):
            if chunk.reason != MISSING and not skip_bad:
                raise DataError(f"{chunk.where}: {chunk.reason}. Leave such records out with skip_bad (--skip-bad)")
            rejected[chunk.reason] += chunk.count
            continue
        kept = chunk
        if force_limit is not None:
            largest = np.maximum.reduceat(np.linalg.norm(chunk.forces, axis=1), chunk.offsets[:-1])
            rejected[FORCE_ABOVE_LIMIT] += int((largest > force_limit).sum())
            kept = chunk.take(np.flatnonzero(largest <= force_limit))
        if len(kept):
            yield kept


def _regrouped(part: Structures, group_by: GroupBy, first: int) -> Structures:
    if group_by == "molecule":
        return part
    if group_by == "structure":
        return replace(part, group=np.array([f"structure {first + i}" for i in range(len(part))], dtype=object))
    # a reader's chunk is of one molecule, so the first structure's formula is that of all
    elements, counts = np.unique(part.numbers[: part.n_atoms[0]], return_counts=True)
    formula = " ".join(f"{z}:{n}" for z, n in zip(elements, counts, strict=True))
    return replace(part, group=np.array([formula] * len(part), dtype=object))


def _alike(parts: list[Structures]) -> list[Structures]:
    """Give all parts a cell and pbc where any structure is periodic, and none of them where none is."""
    if not any(part.pbc is not None and part.pbc.any() for part in parts):
        return [replace(part, cell=None, pbc=None) for part in parts]
    return [
        part
        if part.pbc is not None
        else replace(
            part,
            cell=np.zeros((len(part), 3, 3), dtype=np.float32),
            pbc=np.zeros((len(part), 3), dtype=bool),
        )
        for part in parts
    ]


def _refuse_unknown(name: str, value: str | None, known: Sequence[str | None]) -> None:
    if value not in known:
        raise DataError(f"{name} is {value!r}; known are {', '.join(str(one) for one in known if one)}")


def _refuse_absent(files: Sequence[Path]) -> None:
    if not files:
        raise DataError("no files to import were given")
    absent = [str(file) for file in files if not file.is_file()]
    if absent:
        raise DataError(f"no such file: {', '.join(absent)}")
    if len({file.name for file in files}) < len(files):
        raise DataError("two files have the same name; rename one, since the manifest tells files apart by name")


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
