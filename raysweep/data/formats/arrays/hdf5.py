"""HDF5: SPICE, ANI-1x, and other files that have arrays in groups, at any depth, or at their root.

Nothing outside the file is opened: external links, external storage and virtual datasets are refused.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raysweep.core.errors import DataError
from raysweep.data.formats.arrays.frames import Layout, layout_of, read_frames
from raysweep.data.formats.arrays.hdf5_tree import Tree, table_of, tree_of
from raysweep.data.formats.arrays.tables import ArrayColumn, Table
from raysweep.data.formats.fields.blocks import Bad, Chunk, Names, Span, Torn
from raysweep.data.formats.fields.keyed import KNOWN

if TYPE_CHECKING:
    import h5py

Kind = Literal["spice", "ani1x", "hdf5"]
SPICE = {"numbers": "atomic_numbers", "positions": "conformations", "energy": "dft_total_energy",
         "forces": "dft_total_gradient"}  # fmt: skip
"""Eastman et al. 2023, 10.1038/s41597-022-01882-6: hartree and bohr; the gradient is minus the force."""
ANI1X = {"numbers": "atomic_numbers", "positions": "coordinates", "energy": "wb97x_dz.energy",
         "forces": "wb97x_dz.forces"}  # fmt: skip
"""Smith et al. 2020, 10.1038/s41597-020-0473-z: hartree, Å, hartree/Å; NaN where a conformation has no label."""
_FIRST = {"spice": SPICE, "ani1x": ANI1X}
_LEVEL = {"spice": "dft_total_", "ani1x": "wb97x_"}
"""Prefixes of a data set's keys of energies and forces, at all levels of theory."""
_DEFAULT = {"spice": ("hartree", "bohr"), "ani1x": ("hartree", "Å")}
CONFORMATIONS_AT_ONCE = 4096


def layout(path: Path) -> Kind:
    """Recognise "spice" or "ani1x" by the keys of any of the file's groups; "hdf5" if it is neither.

    Keys that others use too, such as "coordinates", do not make a file one of these: their units would be assumed.

    Raises:
        DataError: the file is torn or not HDF5, or h5py is not installed.
    """
    with _open(path) as file:
        tree = tree_of(file)
    kinds: tuple[Kind, ...] = ("spice", "ani1x")
    for keys in tree.children.values():
        for kind in kinds:
            if _FIRST[kind]["positions"] in keys and any(key.startswith(_LEVEL[kind]) for key in keys):
                return kind
    return "hdf5"


def spans_of(kind: Kind) -> Callable[[Path, Names], Iterator[Span | Bad]]:
    """Make the function that divides a file into spans of a few thousand conformations across its groups."""

    def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
        tree, sizes = _groups(path, names, kind)
        for where, reason in tree.faults:
            yield Bad(where=f"{path}, {where}", reason=reason)
        if not sizes:
            present = ", ".join(sorted({key for keys in tree.children.values() for key in keys})[:20])
            raise DataError(
                f"{path}: no group has positions and energies under known keys; name them with --positions-key, "
                f"--energy-key and --forces-key. It has {present or 'nothing'}"
            )
        total, share = sum(sizes.values()), path.stat().st_size
        for start in range(0, total, CONFORMATIONS_AT_ONCE):
            stop = min(start + CONFORMATIONS_AT_ONCE, total)
            yield Span(start=start, stop=stop, first=start, bytes=share * (stop - start) // total)

    return spans


def read_of(kind: Kind) -> Callable[[Path, Span, Names], Iterator[Chunk]]:
    """Make the function that reads a span; a structure's group is its HDF5 group, or the parent of a single one."""

    def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
        tree, sizes = _groups(path, names, kind)
        before, known = 0, dict[str, dict[str, ArrayColumn]]()
        with _open(path) as file:
            for group, size in sizes.items():
                start, stop = max(span.start - before, 0), min(span.stop - before, size)
                before += size
                if start < stop:
                    yield from _frames(path, file, tree, group, names, kind, (start, stop, size), known)

    return read


def _frames(
    path: Path,
    file: "h5py.File",
    tree: Tree,
    group: str,
    names: Names,
    kind: Kind,
    part: tuple[int, int, int],
    known: dict[str, dict[str, ArrayColumn]],
) -> Iterator[Chunk]:
    start, stop, size = part
    where = f"{path}, group {group}" if group else str(path)
    try:
        table = replace(
            table_of(path, file, tree, group, where, known),
            default=_DEFAULT.get(kind),
            first=_FIRST.get(kind),
            missing=kind == "ani1x",
        )
        found = layout_of(table, names)
    except DataError as error:
        if isinstance(error, Torn):
            raise
        reason = str(error).removeprefix(where).lstrip(":, ")
        yield Bad(where=where, reason=reason, count=stop - start)
        return
    if not found.frames or found.atoms == 0:
        yield Bad(where=where, reason="no atoms" if found.atoms == 0 else "no conformations", count=stop - start)
        return
    if found.frames != size:  # the size was another energy array's, if one of several is to be read
        start, stop = (0, found.frames) if start == 0 else (0, 0)
    table = replace(table, group=_molecule(path, group, tree, table, found))
    if start < stop:
        yield from read_frames(table, found, start, stop)


def _molecule(path: Path, group: str, tree: Tree, table: Table, found: Layout) -> str | None:
    """The name of a molecule: that of its group, or of the parent group.

    It is the parent's for a group of one conformation, and for groups within one that has its own conformations, such
    as the reactant and the product of a reaction of Transition1x.
    """
    numbers, positions = (prod(table.column(key).shape) for key in (found.keys.numbers, found.keys.positions))
    if not group:
        return path.stem if found.atoms == numbers and found.frames > 1 else None
    above = group.rpartition("/")[0]
    if above and found.keys.positions in tree.children.get(above, ()):
        return above
    single = found.frames == 1 and len(table.column(found.keys.positions).shape) < 3 and positions
    return (above or None) if single else group


def _groups(path: Path, names: Names, kind: Kind) -> tuple[Tree, dict[str, int]]:
    stat = path.stat()
    return _counted(path, stat.st_size, stat.st_mtime_ns, names, kind)


@lru_cache(maxsize=4)
def _counted(path: Path, size: int, changed: int, names: Names, kind: Kind) -> tuple[Tree, dict[str, int]]:
    """A file's tree, and the number of conformations of each group of arrays, at least 1."""
    first = _FIRST.get(kind, {})
    keys = {
        name: [key for key in (getattr(names, name), first.get(name), *KNOWN[name]) if key]
        for name in ("energy", "positions", "forces", "numbers")
    }
    labels = {key.lower() for name in ("energy", "positions", "forces") for key in keys[name]}
    labels |= {key.lower() for key in KNOWN["gradient"]}
    with _open(path) as file:
        tree = tree_of(file)
        sizes = {}
        for group, children in tree.children.items():
            lower = {key.lower(): key for key in children}
            if labels & set(lower) or (
                group and {key.lower() for key in keys["numbers"]} & set(lower) and not tree.above(group)
            ):
                energy = next((lower[key.lower()] for key in keys["energy"] if key.lower() in lower), None)
                shape = tree.shape(file, group, energy) if energy else ()
                one_each = sum(length != 1 for length in shape) < 2  # otherwise the count is refused
                sizes[group] = max(1, prod(shape) if one_each else shape[0])
    return tree, sizes


@contextmanager
def _open(path: Path) -> "Iterator[h5py.File]":
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{path}: HDF5 files need h5py: pip install 'raysweep[formats]'") from error
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, AttributeError) as error:
        raise Torn(f"{path}: torn, or not an HDF5 file ({error})") from error
