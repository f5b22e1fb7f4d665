"""Whatever ASE reads, frame by frame; isolated and periodic."""

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from raysweep.data.formats.blocks import Bad, Chunk, Flat, Names, Span, Torn, checked
from raysweep.data.formats.units import energy_ev, length_angstrom
from raysweep.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms


AT_ONCE = 256


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield some frames at a time, read already: most of ASE's formats can only be read from their beginning.

    Raises:
        DataError: a unit is unknown, or ASE is not installed.
    """
    energy_ev(names.energy_unit), length_angstrom(names.length_unit)
    try:
        from ase.io import iread
    except ImportError as error:
        raise DataError(f"{path}: this format needs ASE: pip install 'raysweep[formats]'") from error
    frames = iter(iread(path, index=":"))
    total, first = path.stat().st_size, 0
    while True:
        read: list[Chunk] = []
        number, fault = first, None
        while number < first + AT_ONCE:
            try:
                atoms = _next(frames)
            except Torn as error:
                fault = str(error)
                break
            if atoms is None:
                break
            read += _frame(atoms, names, path, number)
            number += 1
        if read:
            share = total if number < first + AT_ONCE else 0
            yield Span(start=first, stop=number, first=first, bytes=share, read=tuple(read))
        if fault is not None or number == 0:
            yield Bad(where=f"{path}, frame {number}", reason=fault or "the file holds no frames")
        if number < first + AT_ONCE:
            return
        first = number


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the frames of a span."""
    yield from span.read or ()


def read_text(path: Path, text: bytes, names: Names, at: int) -> Iterator[Chunk]:
    """Yield a frame of extxyz, the `at`th of a file, as ASE reads it.

    Raises:
        DataError: ASE is not installed.
    """
    try:
        from ase.io.extxyz import read_xyz
    except ImportError as error:
        raise DataError(f"{path}, frame {at}: needs ASE: pip install 'raysweep[formats]'") from error
    try:
        atoms = _next(read_xyz(StringIO(text.decode(errors="replace")), index=slice(0, 1)))
    except Torn as error:
        yield Bad(where=f"{path}, frame {at}", reason=str(error))
        return
    assert atoms is not None
    yield from _frame(atoms, names, path, at)


def _next(frames: "Iterator[Atoms]") -> "Atoms | None":
    """Return the next frame, None after the last.

    Raises:
        Torn: ASE's reader raised, as its many readers do, whatever its parsing met.
    """
    try:
        return next(frames, None)
    except Exception as error:
        raise Torn(f"ASE cannot read it ({type(error).__name__}: {error})") from error


def _frame(atoms: "Atoms", names: Names, path: Path, at: int) -> Iterator[Chunk]:
    where = f"{path}, frame {at}"
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    # ASE moves what it takes for labels out of info and arrays, also where the user names their key
    energy = {**results, **atoms.info}.get(names.energy) if names.energy else results.get("energy")
    forces = {**results, **atoms.arrays}.get(names.forces) if names.forces else results.get("forces")
    for label, key, value in (("energy", names.energy, energy), ("forces", names.forces, forces)):
        if value is None:
            here = sorted([*atoms.info, *atoms.arrays, *results])
            asked = "none is recognised" if key is None else f"there is no {key!r}"
            yield Bad(where=where, reason=f"no {label}: {asked}; the frame has {', '.join(here)}")
            return
    info = atoms.info
    state = {}
    try:
        for name, key in (("charge", names.charge), ("spin", names.spin)):
            if key in info:
                state[name] = np.asarray(info[key], dtype=np.float64).reshape(1)
        flat = Flat(
            path=path,
            record="frame",
            at=np.array([at]),
            numbers=atoms.numbers.astype(np.int64),
            n_atoms=np.array([len(atoms)]),
            positions=atoms.positions,
            forces=np.asarray(forces, dtype=np.float64).reshape(len(atoms), 3),
            energy=np.asarray(energy, dtype=np.float64).reshape(1),
            cell=atoms.cell.array[None],
            pbc=np.array([atoms.pbc], dtype=bool),
            group=[str(info[names.group])] if names.group in info else None,
            source=[str(info[names.source])] if names.source in info else None,
            energy_ev=energy_ev(names.energy_unit),
            length_angstrom=length_angstrom(names.length_unit),
            charge=state.get("charge"),
            spin=state.get("spin"),
        )
    except (ValueError, TypeError) as error:
        yield Bad(where=where, reason=f"not numbers, or shapes do not match ({error})")
        return
    yield from checked(flat)
