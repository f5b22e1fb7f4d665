"""Any format that ASE reads, frame by frame, isolated or periodic."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Bad, Chunk, Flat, Names, Span, Torn, checked
from raysweep.data.formats.fields.keyed import absent
from raysweep.data.formats.fields.stated import frames_scale
from raysweep.data.formats.xyz.headers import any_header

if TYPE_CHECKING:
    from ase import Atoms


AT_ONCE = 256


def spans(path: Path, names: Names) -> Iterator[Span | Bad]:
    """Yield batches of frames that are already read, since most of ASE's formats can only be read from the beginning.

    Raises:
        DataError: a unit is unknown, or ASE is not installed.
    """
    frames_scale(str(path), names, {})
    try:
        from ase.io import iread
    except ImportError as error:
        raise DataError(f"{path}: this format needs ASE: pip install 'raysweep[formats]'") from error
    keep: dict[str, Any] = {"properties_parser": _names_as_text(names)} if _is_extxyz(path) else {}
    frames = iter(iread(path, index=":", **keep))
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
            yield Bad(where=f"{path}, frame {number}", reason=fault or "the file has no frames")
        if number < first + AT_ONCE:
            return
        first = number


def read(path: Path, span: Span, names: Names) -> Iterator[Chunk]:
    """Yield the frames of a span."""
    yield from span.read or ()


def _is_extxyz(path: Path) -> bool:
    from ase.io.formats import UnknownFileTypeError, filetype

    try:
        return bool(filetype(str(path)) == "extxyz")
    except (UnknownFileTypeError, OSError):
        return False


def _names_as_text(names: Names) -> "Callable[[str], dict[str, object]]":
    """Make a parser of extxyz headers that keeps names of groups and sources as text, as our own reader does."""
    from ase.io.extxyz import key_val_str_to_dict

    def parse(line: str) -> dict[str, object]:
        found: dict[str, object] = key_val_str_to_dict(line)
        texts = any_header(line.encode())
        return found | {key: texts[key.encode()].decode() for key in (names.group, names.source) if key in found}

    return parse


def _next(frames: "Iterator[Atoms]") -> "Atoms | None":
    """The next frame; None after the last.

    Raises:
        Torn: ASE's reader raised; its many readers may raise anything.
    """
    from ase.io.formats import UnknownFileTypeError

    try:
        return next(frames, None)
    except UnknownFileTypeError as error:
        raise Torn(
            f"neither raysweep nor ASE knows this kind of file ({error}). Unpack archives; of other files write extxyz"
        ) from error
    except Exception as error:
        raise Torn(f"ASE cannot read it ({type(error).__name__}: {error})") from error


def _frame(atoms: "Atoms", names: Names, path: Path, at: int) -> Iterator[Chunk]:
    where = f"{path}, frame {at}"
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    # ASE moves supposed labels out of info and arrays, also where the user names their key
    energy = {**results, **atoms.info}.get(names.energy) if names.energy else results.get("energy")
    forces = {**results, **atoms.arrays}.get(names.forces) if names.forces else results.get("forces")
    for label, key, value in (("energy", names.energy, energy), ("forces", names.forces, forces)):
        if value is None:
            here = sorted([*atoms.info, *atoms.arrays, *results])
            asked = "none is recognised" if key is None else f"there is no {key!r}"
            yield Bad(where=where, reason=f"no {label}: {asked}; the frame has {', '.join(here)}")
            return
    info = atoms.info
    for name in ("charge", "spin", "group", "source"):
        if (reason := absent(names, name, info)) is not None:
            yield Bad(where=where, reason=reason)
            return
    state, scale = {}, frames_scale(str(path), names, {})
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
            energy=np.asarray(energy, dtype=np.float64).reshape(1) * (len(atoms) if scale.per_atom else 1),
            cell=atoms.cell.array[None],
            pbc=np.array([atoms.pbc], dtype=bool),
            group=[str(info[names.group])] if names.group in info else None,
            source=[str(info[names.source])] if names.source in info else None,
            energy_ev=scale.energy_ev,
            length_angstrom=scale.length_angstrom,
            force_length_angstrom=scale.force_length_angstrom,
            charge=state.get("charge"),
            spin=state.get("spin"),
        )
    except (ValueError, TypeError) as error:
        yield Bad(where=where, reason=f"not numbers, or shapes do not match ({error})")
        return
    yield from checked(flat)
