"""Structures from arrays over frames, in the shapes, types and paddings found in npz and HDF5 files."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.elements import numbers_of
from raysweep.data.formats.arrays.optional import optional_fields
from raysweep.data.formats.arrays.tables import ArrayColumn, Table, numeric, strings, texts
from raysweep.data.formats.fields.blocks import Bad, Chunk, Flat, Names, checked
from raysweep.data.formats.fields.keyed import Keys, keys_of
from raysweep.data.formats.fields.stated import Labels, Scale, scale_of

_Array = npt.NDArray[np.generic]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The keys, units and shapes of a table.

    Attributes:
        keys, scale: keys and factors.
        frames: how many structures there are.
        atoms: of each, padding included; None where each has its own number and atoms are concatenated.
        n_atoms: [frames], where the table states it.
    """

    keys: Keys
    scale: Scale
    frames: int
    atoms: int | None
    n_atoms: npt.NDArray[np.int64] | None


def layout_of(table: Table, names: Names) -> Layout:
    """Determine the keys, units and shapes of a table.

    Raises:
        DataError: keys, units or shapes are missing, or do not match.
    """
    keys = keys_of(table.where, list(table.columns), names, outer=list(table.outer), first=table.first)
    columns = {name: table.column(getattr(keys, name)) for name in ("numbers", "positions", "energy", "forces")}
    used = [key for key in (keys.energy, keys.positions, keys.forces, keys.cell) if key is not None]
    scale = scale_of(
        Labels(
            where=table.where,
            energy=keys.energy,
            positions=keys.positions,
            forces=keys.forces,
            cell=keys.cell,
            units={key: unit for key in used if (unit := table.column(key).unit) is not None},
            texts=texts(table.outer, table.where) | texts(table.columns, table.where),
            default=table.default,
        ),
        names,
    )
    shapes = {name: column.shape for name, column in columns.items()}
    frames = prod(shapes["energy"])
    told = DataError(
        f"{table.where}: shapes do not match: {prod(shapes['numbers'])} atomic numbers {list(shapes['numbers'])}, "
        f"energies {list(shapes['energy'])}, positions {list(shapes['positions'])}, forces {list(shapes['forces'])}"
    )
    if sum(size != 1 for size in shapes["energy"]) > 1 or prod(shapes["forces"]) != prod(shapes["positions"]):
        raise told
    n_atoms = None if keys.n_atoms is None else _counts(table.column(keys.n_atoms), frames)
    numbers, total = prod(shapes["numbers"]), prod(shapes["positions"])
    if (
        n_atoms is not None
        and (n_atoms > 0).all()
        and len(set(n_atoms.tolist())) > 1
        and shapes["positions"] == shapes["forces"] == (numbers, 3) == (n_atoms.sum(), 3)
    ):
        return Layout(keys=keys, scale=scale, frames=frames, atoms=None, n_atoms=n_atoms)
    atoms = total // (3 * frames) if frames else 0
    if total != 3 * frames * atoms or numbers not in (atoms, frames * atoms):
        raise told
    if not all(_dense(shapes[name], frames, atoms, 3) for name in ("positions", "forces")):
        raise told
    if numbers != atoms and not _dense(shapes["numbers"], frames, atoms, 1):
        raise told
    return Layout(keys=keys, scale=scale, frames=frames, atoms=atoms, n_atoms=n_atoms)


def _dense(shape: tuple[int, ...], frames: int, atoms: int, width: int) -> bool:
    """Whether an array's shape holds `width` values for each atom of each frame, in order."""
    plain = tuple(size for size in shape if size != 1)
    wanted = [(frames, atoms, width), (frames, atoms * width), (frames * atoms, width), (frames * atoms * width,)]
    return plain in [tuple(size for size in one if size != 1) for one in wanted]


def _counts(column: ArrayColumn, frames: int) -> npt.NDArray[np.int64] | None:
    """Numbers of atoms [frames]; None if the array is something else."""
    if column.kind.kind not in "iu" or prod(column.shape) != frames:
        return None
    return column.whole().reshape(-1).astype(np.int64)


def read_frames(table: Table, layout: Layout, start: int, stop: int) -> Iterator[Chunk]:
    """Yield the usable frames of a table as one block, and the others, counted by reason."""
    where = f"{table.path}, {table.record} {start}"
    try:
        dense = layout.atoms is not None
        vectors = {
            name: numeric(name, _part(table.column(key), layout, start, stop, 3)).reshape(-1, 3)
            for name, key in (("positions", layout.keys.positions), ("forces", layout.keys.forces))
        }
        numbers = atomic_numbers(_part(table.column(layout.keys.numbers), layout, start, stop, 1))
        if dense and len(numbers) != len(vectors["positions"]):
            numbers = np.tile(numbers, stop - start)
        energy = numeric("energy", _row(table.column(layout.keys.energy), layout.frames, start, stop))
        extra = optional_fields(table, layout.keys, layout.frames, start, stop)
    except (ValueError, TypeError) as error:
        yield Bad(where=where, reason=str(error), count=stop - start)
        return
    if layout.keys.gradient:
        vectors["forces"] = -vectors["forces"]
    n_atoms = None if layout.n_atoms is None else layout.n_atoms[start:stop]
    kept = np.arange(stop - start)
    if layout.atoms is not None:
        real, told = _real(layout.atoms, n_atoms, numbers, vectors)
        kept = np.flatnonzero(told)
        if len(kept) < stop - start:
            first = start + int(np.flatnonzero(~told)[0])
            reason = f"{layout.keys.n_atoms!r} says other numbers of atoms than there are atomic numbers"
            yield Bad(where=f"{table.path}, {table.record} {first}", reason=reason, count=stop - start - len(kept))
        n_atoms, real = real[kept].sum(axis=1), (real & told[:, None]).reshape(-1)
        numbers, vectors = numbers[real], {name: values[real] for name, values in vectors.items()}
    assert n_atoms is not None
    extra, energy = extra.take(kept), energy[kept]
    cell, pbc = extra.cell, extra.pbc
    scale = layout.scale
    yield from checked(
        Flat(
            path=table.path,
            record=table.record,
            at=start + kept,
            numbers=numbers,
            n_atoms=n_atoms,
            positions=vectors["positions"],
            forces=vectors["forces"],
            energy=energy * n_atoms if scale.per_atom else energy,
            cell=None if cell is None else cell * (scale.cell_angstrom / scale.length_angstrom),
            pbc=pbc,
            charge=extra.charge,
            spin=extra.spin,
            group=extra.group,
            source=extra.source,
            energy_ev=scale.energy_ev,
            length_angstrom=scale.length_angstrom,
            force_length_angstrom=scale.force_length_angstrom,
            missing=table.missing,
        )
    )


def atomic_numbers(values: _Array) -> npt.NDArray[np.int64]:
    """Atomic numbers [n] from numbers or symbols, 0 for anything else.

    Raises:
        ValueError: they are of another type.
    """
    flat = values.reshape(-1)
    if flat.dtype.kind in "US":
        return numbers_of([one.strip() for one in strings(flat)])
    known = numeric("atomic numbers", flat)
    with np.errstate(invalid="ignore"):
        whole = (known == np.round(known)) & (np.abs(known) < 2**31)
    return np.where(whole, known, 0).astype(np.int64)


def _part(column: ArrayColumn, layout: Layout, start: int, stop: int, width: int) -> _Array:
    """An array's values for the atoms of some frames, or the whole array if all frames share it."""
    size = prod(column.shape)
    if layout.atoms is None:
        assert layout.n_atoms is not None
        ends = np.concatenate([[0], np.cumsum(layout.n_atoms)])
        return column.rows(int(ends[start]), int(ends[stop]))
    if size == layout.atoms * width and layout.frames != 1:
        return column.whole()
    return _row(column, layout.frames, start, stop)


def _row(column: ArrayColumn, frames: int, start: int, stop: int) -> _Array:
    """An array's values for some frames, flat."""
    length = column.shape[0] if column.shape else 1
    if frames and length % frames == 0:
        share = length // frames
        return column.rows(start * share, stop * share).reshape(-1)
    share = prod(column.shape) // frames
    return column.whole().reshape(-1)[start * share : stop * share]


def _real(
    atoms: int, n_atoms: npt.NDArray[np.int64] | None, numbers: npt.NDArray[np.int64], vectors: dict[str, _Floats]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Tell atoms from padding [frames, atoms], and whether that is certain [frames].

    Padding is at the end: beyond the file's own numbers of atoms, otherwise atomic numbers of 0 or -1
    whose positions and forces are 0 or NaN. Atomic numbers of 0 with a position are a fault, not padding.
    """
    table = numbers.reshape(-1, atoms)
    places = np.arange(atoms)
    filled = (table == 0) | (table == -1)
    if n_atoms is not None:
        real = places < n_atoms[:, None]
        return real, (n_atoms >= 0) & (n_atoms <= atoms) & (real | filled).all(axis=1)
    last = np.where(filled, 0, places + 1).max(axis=1, initial=0)
    real = places < last[:, None]
    for values in vectors.values():
        nothing = (np.isnan(values) | (values == 0)).all(axis=1).reshape(-1, atoms)
        real |= ~(nothing | real).all(axis=1)[:, None]
    return real, np.ones(len(table), dtype=bool)
