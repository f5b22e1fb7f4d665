"""Parquet: the columns that `raysweep data export` writes, or others; eV and Å unless other units are stated."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import parquet as pq

from raysweep.data.formats.arrays.arrow_lists import Lists, lists_of
from raysweep.data.formats.arrays.frames import atomic_numbers
from raysweep.data.formats.arrays.tables import numeric
from raysweep.data.formats.fields.blocks import Bad, Chunk, Flat, Names, Span, Torn, checked
from raysweep.data.formats.fields.cells import as_flags, vectors
from raysweep.data.formats.fields.keyed import Keys, keys_of
from raysweep.data.formats.fields.stated import Labels, Scale, scale_of

ISOLATED_ATOMS = "raysweep.isolated_atoms"
"""Key of the file's metadata: energies in eV, by atomic number, of isolated atoms, which have no rows."""
_Floats = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.bool_]


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield the row groups.

    Raises:
        DataError: the file is torn, lacks a column, or a unit is unknown.
    """
    with _open(path) as file:
        _scale(path, file.schema_arrow, _keys(path, file.schema_arrow, names), names)
        first = 0
        for group in range(file.num_row_groups):
            meta = file.metadata.row_group(group)
            if meta.num_rows:
                yield Span(start=group, stop=group + 1, first=first, bytes=meta.total_byte_size)
            first += meta.num_rows
        if not first:
            yield Bad(where=str(path), reason="the file has no rows")


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the rows of a row group.

    Raises:
        DataError: the file is torn.
    """
    with _open(path) as file:
        keys = _keys(path, file.schema_arrow, names)
        scale = _scale(path, file.schema_arrow, keys, names)
        wanted = {field: key for field, key in vars(keys).items() if isinstance(key, str) and field != "n_atoms"}
        table = file.read_row_group(span.start, columns=sorted(set(wanted.values())))
        if span.start == 0:
            yield from _isolated_atoms(path, file.schema_arrow)
    try:
        lists = {field: lists_of(key, table.column(key)) for field, key in wanted.items()}
    except ValueError as error:
        whole = f"{path}, rows {span.first} to {span.first + len(table) - 1}"
        yield Bad(where=whole, reason=str(error), count=len(table))
        return
    good = np.ones(len(table), dtype=bool)
    for reason, wrong in _faults(keys, lists):
        found = np.flatnonzero(wrong & good)
        if len(found):
            good[found] = False
            yield Bad(where=f"{path}, row {span.first + found[0]}", reason=reason, count=len(found))
    if not good.any():
        return
    try:
        flat = _flat(
            path, span, np.flatnonzero(good), {name: one.take(good) for name, one in lists.items()}, keys, scale
        )
    except ValueError as error:
        yield Bad(where=f"{path}, rows from {span.first} on", reason=str(error), count=int(good.sum()))
        return
    yield from checked(flat)


def _isolated_atoms(path: Path, schema: pa.Schema) -> Iterator[Chunk]:
    """Yield the isolated atoms whose energies `raysweep data export` stores in the metadata."""
    text = (schema.metadata or {}).get(ISOLATED_ATOMS.encode())
    if text is None:
        return
    energies = {int(z): float(energy) for z, energy in json.loads(text).items()}
    nowhere = np.zeros((len(energies), 3))
    yield from checked(
        Flat(
            path=path,
            record="isolated atom",
            at=np.array([*energies]),
            numbers=np.array([*energies]),
            n_atoms=np.ones(len(energies), dtype=np.int64),
            positions=nowhere,
            forces=nowhere,
            energy=np.array([*energies.values()]),
        )
    )


def _faults(keys: Keys, lists: dict[str, Lists]) -> Iterator[tuple[str, _Flags]]:
    """Yield reasons for rejection, and a mask [S] of the rows that they apply to."""
    n_atoms = lists["numbers"].counts
    for name in ("positions", "forces", "energy"):
        if lists[name].leaves.dtype.kind == "U":
            yield f"{getattr(keys, name)} is text, not numbers: convert it first", np.ones(len(n_atoms), dtype=bool)
    wrong = n_atoms < 0
    for name in ("positions", "forces"):
        wrong |= (lists[name].counts != 3 * n_atoms) | ~lists[name].inner_of(3)
    yield (
        f"a list is null, or shapes do not match ({keys.numbers}, {keys.positions}, {keys.forces}: lists of as many "
        "atoms, of three numbers or flat)",
        wrong,
    )
    yield f"{keys.energy} is null, or no single number", lists["energy"].counts != 1
    if "cell" in lists:
        cell = lists["cell"]
        broken = ~np.isin(cell.counts, (-1, 0, 3, 6, 9)) | ~cell.inner_of(3)
        yield f"{keys.cell} is neither 3 x 3, 9, 3 lengths, nor 3 lengths and 3 angles", broken
    if "pbc" in lists:
        yield f"{keys.pbc} is neither one flag nor three", ~np.isin(lists["pbc"].counts, (-1, 0, 1, 3))


def _flat(
    path: Path, span: Span, rows: npt.NDArray[np.int64], lists: dict[str, Lists], keys: Keys, scale: Scale
) -> Flat:
    """The rows as they are in the file.

    Raises:
        ValueError: a column is not of numbers.
    """
    number = {name: numeric(str(getattr(keys, name)), lists[name].leaves) for name in ("positions", "forces", "energy")}
    n_atoms = lists["numbers"].counts
    cell, pbc = _periodicity(lists, len(rows))
    state = {name: _each(name, str(getattr(keys, name)), lists[name]) for name in ("charge", "spin") if name in lists}
    texts = {name: lists[name].texts() for name in ("group", "source") if name in lists}
    forces = number["forces"].reshape(-1, 3)
    return Flat(
        path=path,
        record="row",
        at=rows + span.first,
        numbers=atomic_numbers(lists["numbers"].leaves),
        n_atoms=n_atoms,
        positions=number["positions"].reshape(-1, 3),
        forces=-forces if keys.gradient else forces,
        energy=number["energy"] * (n_atoms if scale.per_atom else 1),
        cell=None if cell is None else cell * (scale.cell_angstrom / scale.length_angstrom),
        pbc=pbc,
        charge=state.get("charge"),
        spin=state.get("spin"),
        group=texts.get("group"),
        source=texts.get("source"),
        energy_ev=scale.energy_ev,
        length_angstrom=scale.length_angstrom,
        force_length_angstrom=scale.force_length_angstrom,
    )


def _periodicity(lists: dict[str, Lists], rows: int) -> tuple[_Floats | None, _Flags | None]:
    """Cells [S, 3, 3] and flags [S, 3]: where flags are null or absent, a cell is periodic along its vectors.

    Raises:
        ValueError: they are of another type.
    """
    if not {"cell", "pbc"} & set(lists):
        return None, None
    cell = np.zeros((rows, 3, 3))
    if "cell" in lists:
        numbers = numeric("cell", lists["cell"].leaves)
        counts = lists["cell"].counts
        owner = np.repeat(counts, np.maximum(counts, 0))
        for width in (3, 6, 9):
            cell[counts == width] = vectors(numbers[owner == width].reshape(-1, width))
    pbc = (cell != 0).any(axis=2)
    if "pbc" in lists:
        flags = as_flags(lists["pbc"].leaves)
        counts = lists["pbc"].counts
        owner = np.repeat(counts, np.maximum(counts, 0))
        for width in (1, 3):
            pbc[counts == width] = flags[owner == width].reshape(-1, width)
    return cell, pbc


def _each(field: str, name: str, lists: Lists) -> _Floats | None:
    """Numbers [S]; None if there are none at all.

    Raises:
        ValueError: they are not numbers, or not one each, or some rows have none.
    """
    if (lists.counts > 1).any():
        raise ValueError(f"{name} has several numbers for a structure; leave it out with --{field}-key ''")
    given = lists.counts == 1
    if given.any() and not given.all():
        raise ValueError(f"{name} is null in {(~given).sum()} of {len(given)} rows; leave it out with --{field}-key ''")
    return numeric(name, lists.leaves) if given.any() else None


def _keys(path: Path, schema: pa.Schema, names: Names) -> Keys:
    return keys_of(str(path), schema.names, names)


def _scale(path: Path, schema: pa.Schema, keys: Keys, names: Names) -> Scale:
    units = {}
    for key in schema.names:
        for name, value in (schema.field(key).metadata or {}).items():
            if name.decode(errors="replace").lower() in ("unit", "units"):
                units[key] = value.decode(errors="replace")
    return scale_of(
        Labels(
            where=str(path),
            energy=keys.energy,
            positions=keys.positions,
            forces=keys.forces,
            cell=keys.cell,
            units=units,
            texts=_texts(schema),
            default=("eV", "Å"),
        ),
        names,
    )


def _texts(schema: pa.Schema) -> dict[str, str]:
    """The file's statements about units, from its metadata or pandas' attributes in it."""
    said = {name.decode(errors="replace"): v.decode(errors="replace") for name, v in (schema.metadata or {}).items()}
    for name, inner in (("pandas", "attributes"), ("PANDAS_ATTRS", None)):
        try:
            attributes = json.loads(said.pop(name, "{}"))
            attributes = attributes.get(inner) if inner else attributes
        except (ValueError, AttributeError):
            continue
        if isinstance(attributes, dict):
            said |= {key: value if isinstance(value, str) else json.dumps(value) for key, value in attributes.items()}
    return said


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file; a file that Arrow cannot read counts as torn."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Torn(f"{path}: truncated, or not a Parquet file ({error})") from error
