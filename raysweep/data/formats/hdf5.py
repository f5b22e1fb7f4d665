"""SPICE and ANI-1x: an HDF5 file with a group per molecule or formula, hartree."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from raysweep.data.formats.blocks import Bad, Block, Chunk, Names, Span, Torn, chunks
from raysweep.data.physics import BOHR_ANGSTROM, HARTREE_EV
from raysweep.errors import DataError

if TYPE_CHECKING:
    import h5py

SPICE = ("atomic_numbers", "conformations", "dft_total_energy", "dft_total_gradient")
"""Eastman et al. 2023, 10.1038/s41597-022-01882-6: hartree and bohr; the gradient is minus the force."""
SPICE_UNITS = {"conformations": "bohr", "dft_total_energy": "hartree", "dft_total_gradient": "hartree/bohr"}
ANI1X = ("atomic_numbers", "coordinates", "wb97x_dz.energy", "wb97x_dz.forces")
"""Smith et al. 2020, 10.1038/s41597-020-0473-z: hartree, Å, hartree/Å; NaN where a conformation has no label."""
CONFORMATIONS_AT_ONCE = 4096


def layout(path: Path) -> Literal["spice", "ani1x"] | None:
    """Return "spice" or "ani1x" by what the file's first group holds, None where it is neither.

    Raises:
        DataError: the file is torn or no HDF5, or h5py is not installed.
    """
    with _open(path) as file:
        first = next(iter(file.values()), None)
        names = set(first.keys()) if first is not None and hasattr(first, "keys") else set()
    return "spice" if set(SPICE[1:]) & names else "ani1x" if set(ANI1X[1:]) & names else None


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield runs of groups with some thousands of conformations together.

    Raises:
        DataError: the file is torn.
    """
    with _open(path) as file:
        try:
            groups = list(file)
            total, start, seen = path.stat().st_size, 0, 0
            for i, name in enumerate(groups):
                sizes = [len(data) for data in file[name].values() if getattr(data, "ndim", 0)]
                seen += max(sizes, default=0)
                if seen >= CONFORMATIONS_AT_ONCE or i + 1 == len(groups):
                    share = total * (i + 1 - start) // len(groups)
                    yield Span(start=start, stop=i + 1, first=start, bytes=share)
                    start, seen = i + 1, 0
        except (OSError, RuntimeError, KeyError, AttributeError) as error:
            raise Torn(f"{path}: torn ({error})") from error


def read_spice(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the conformations of some groups of a SPICE file, gradients turned into forces; the group is the molecule.

    Raises:
        DataError: the file is torn, or states other units than SPICE's.
    """
    for name, group in _groups(path, span):
        arrays = _arrays(path, name, group, SPICE)
        if isinstance(arrays, Bad):
            yield arrays
            continue
        _refuse_other_units(f"{path}, group {name}", group)
        numbers, positions, energy, gradient = arrays
        yield from chunks(
            Block(
                path=path,
                group=name,
                record=f"group {name}, conformation",
                numbers=numbers,
                positions=positions,
                energy=energy,
                forces=-gradient,
                energy_ev=HARTREE_EV,
                length_angstrom=BOHR_ANGSTROM,
            )
        )


def read_ani1x(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the conformations of some groups of ANI-1x that have a wB97x/6-31G* label; the group is the formula.

    Raises:
        DataError: the file is torn.
    """
    for name, group in _groups(path, span):
        arrays = _arrays(path, name, group, ANI1X)
        if isinstance(arrays, Bad):
            yield arrays
            continue
        numbers, positions, energy, forces = arrays
        yield from chunks(
            Block(
                path=path,
                group=name,
                record=f"group {name}, conformation",
                numbers=numbers,
                positions=positions,
                energy=energy,
                forces=forces,
                energy_ev=HARTREE_EV,
                missing=True,
            )
        )


def _groups(path: Path, span: Span) -> "Iterator[tuple[str, h5py.Group]]":
    with _open(path) as file:
        try:
            yield from ((str(name), file[name]) for name in list(file)[span.start : span.stop])
        except (OSError, RuntimeError, KeyError) as error:
            raise Torn(f"{path}: torn ({error})") from error


def _arrays(
    path: Path, name: str, group: "h5py.Group", names: tuple[str, ...]
) -> "list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]] | Bad":
    missing = [key for key in names if not hasattr(group, "keys") or key not in group]
    if missing:
        return Bad(where=f"{path}, group {name}", reason=f"dataset {', '.join(missing)} is missing")
    try:
        return [np.asarray(group[key][()], dtype=np.float64) for key in names]
    except (OSError, ValueError, TypeError) as error:
        return Bad(where=f"{path}, group {name}", reason=f"cannot be read ({error})")


def _refuse_other_units(where: str, group: "h5py.Group") -> None:
    for name, unit in SPICE_UNITS.items():
        stated = group[name].attrs.get("units", unit)
        if stated != unit:
            raise DataError(f"{where}: {name} is in {stated!r}, SPICE's unit is {unit!r}. Convert the file first")


def _open(path: Path) -> "h5py.File":
    try:
        import h5py
    except ImportError as error:
        raise DataError(f"{path}: HDF5 files need h5py: pip install 'raysweep[formats]'") from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise Torn(f"{path}: torn, or no HDF5 file ({error})") from error
