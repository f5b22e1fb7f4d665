"""The meaning of a header: energy, cell, periodicity, charge, spin and names, each parsed by one rule."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.formats.fields.keyed import absent
from raysweep.data.formats.fields.stated import frames_scale, statements
from raysweep.data.formats.fields.units import Quantity, factor_of
from raysweep.data.formats.xyz.headers import shown

LATTICE, PBC, CONFIG_TYPE = b"Lattice", b"pbc", b"config_type"
_FLAG = {"t": True, "true": True, "1": True, "f": False, "false": False, "0": False}
_OTHER_CELL = re.compile(
    r"((unit|simulation|super)_?)?(cell|lattice|box)(_?(vectors?|parameters?|par|lengths?))?|tv|abc"
)
_OTHER_PBC = re.compile(r"pbcs?|periodic(ity)?|periodic_boundary(_conditions?)?")
"""Keys other than extxyz's own, in lower case, by which a frame may mean to be periodic."""
_FORTRAN = re.compile(r"(?<=[0-9.])[dD](?=[+-]?[0-9])")
_NESTED = re.compile(r"[\[({]\s*[\[({]|[\])}]\s*,?\s*[\[({]")


class Said(NamedTuple):
    """The parsed header of a frame, in the file's units."""

    energy: float
    cell: npt.NDArray[np.float64] | None
    pbc: tuple[bool, bool, bool] | None
    charge: float | None
    spin: float | None
    group: str | None
    source: str | None
    isolated: bool


def said(header: Mapping[bytes, bytes], energy: bytes, names: Names) -> Said:
    """Parse a header.

    Raises:
        ValueError: a value cannot be what its key says, it is not certain whether the frame is periodic, or a unit is
            stated that is not the one asked for.
    """
    other = _other_keys(tuple(header))
    _refuse_absent(tuple(header), names)
    if other.units:
        _refuse_units(tuple((key, header[key]) for key in other.units), names)
    cell, pbc = _cell(header, other)
    return Said(
        energy=_number(energy, header[energy]),
        cell=cell,
        pbc=pbc,
        charge=_optional(header, names.charge),
        spin=_optional(header, names.spin),
        group=_text(header, names.group),
        source=_text(header, names.source),
        isolated=is_isolated_atom(header[CONFIG_TYPE]) if CONFIG_TYPE in header else False,
    )


def is_isolated_atom(config_type: bytes) -> bool:
    """Whether a frame is labelled as an isolated atom, as "IsolatedAtom" or "isolated_atom"."""
    return re.sub(rb"[\s_-]", b"", config_type).lower() == b"isolatedatom"


def _number(key: bytes, value: bytes) -> float:
    try:
        return float(value)
    except ValueError:
        pass
    numbers = _numbers(value)
    if numbers is None or len(numbers) != 1:
        raise ValueError(f"{_name(key)} is {shown(value)}, not a number")
    return numbers[0]


def _optional(header: Mapping[bytes, bytes], name: str) -> float | None:
    key = name.encode()
    return _number(key, header[key]) if name and key in header else None


def _text(header: Mapping[bytes, bytes], name: str) -> str | None:
    value = header.get(name.encode())
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is {shown(value)}, which is not text in UTF-8: convert the file") from error


def _numbers(value: bytes) -> list[float] | None:
    """Parse numbers separated by spaces or commas, in brackets or not, also in Fortran's notation."""
    try:
        return [float(word) for word in value.split()]
    except ValueError:
        pass
    try:
        return [float(_FORTRAN.sub("e", word)) for word in _words(value)]
    except ValueError:
        return None


def _words(value: bytes) -> list[str]:
    text = value.decode(errors="replace").removeprefix("_JSON")
    return re.sub(r"[\[\](){},;]", " ", text).split()


def _cell(
    header: Mapping[bytes, bytes], other: "_Other"
) -> tuple[npt.NDArray[np.float64] | None, tuple[bool, bool, bool] | None]:
    lattice, pbc = header.get(LATTICE), header.get(PBC)
    if pbc is None and other.pbc:
        key = other.pbc[0]
        wraps = _flags(key, header[key])
        if lattice is not None and not all(wraps):
            raise ValueError(
                f"{_name(key)} is {shown(header[key])}, but extxyz's own key is pbc, without which a Lattice is "
                f"periodic: rename it"
            )
    else:
        key = PBC
        wraps = _flags(PBC, pbc) if pbc is not None else (lattice is not None,) * 3
    if lattice is not None:
        return _lattice(lattice), wraps
    if any(wraps):
        raise ValueError(
            f"{_name(key)} is {shown(header[key])}, but there is no Lattice: give the cell as "
            'Lattice="ax ay az bx by bz cx cy cz", or state pbc="F F F"'
        )
    if other.cell and pbc is None and not other.pbc:
        raise ValueError(
            f"there is a {_name(other.cell[0])} but neither Lattice nor pbc, so that it is not known whether the frame "
            'is periodic: name the cell Lattice, or state pbc="F F F"'
        )
    return None, None


def _lattice(value: bytes) -> npt.NDArray[np.float64]:
    numbers = _numbers(value)
    if numbers is None or len(numbers) != 9:
        raise ValueError(f"Lattice is {shown(value)}, not nine numbers")
    cell = np.array(numbers).reshape(3, 3)
    if (
        value.translate(None, b"[({") != value
        and _NESTED.search(value.decode(errors="replace"))
        and not np.array_equal(cell, cell.T)
    ):
        raise ValueError(
            f"Lattice is {shown(value)}, in nested brackets, whose rows some programs take for vectors and others for "
            'components: give it as "ax ay az bx by bz cx cy cz"'
        )
    return cell


@lru_cache(4096)
def _flags(key: bytes, value: bytes) -> tuple[bool, bool, bool]:
    flags = [_FLAG.get(word.lower()) for word in _words(value)]
    if len(flags) == 1:
        flags *= 3
    if len(flags) != 3 or None in flags:
        raise ValueError(f"{_name(key)} is {shown(value)}, not three of T and F")
    return bool(flags[0]), bool(flags[1]), bool(flags[2])


class _Other(NamedTuple):
    """Keys that mean a cell, periodicity or units without being extxyz's own."""

    cell: tuple[bytes, ...]
    pbc: tuple[bytes, ...]
    units: tuple[bytes, ...]


@lru_cache(1024)
def _other_keys(keys: tuple[bytes, ...]) -> _Other:
    plain = [(key, key.decode(errors="replace").lower().replace("-", "_")) for key in keys]
    return _Other(
        cell=tuple(key for key, name in plain if key != LATTICE and _OTHER_CELL.fullmatch(name)),
        pbc=tuple(key for key, name in plain if key != PBC and _OTHER_PBC.fullmatch(name)),
        units=tuple(key for key, name in plain if "unit" in name and not _OTHER_CELL.fullmatch(name)),
    )


@lru_cache(1024)
def _refuse_absent(keys: tuple[bytes, ...], names: Names) -> None:
    """Refuse a header without a key that was named."""
    there = [key.decode(errors="replace") for key in keys]
    for name in ("charge", "spin", "group", "source"):
        if (reason := absent(names, name, there)) is not None:
            raise ValueError(reason)


@lru_cache(1024)
def _refuse_units(stated: tuple[tuple[bytes, bytes], ...], names: Names) -> None:
    """Refuse a header whose units differ from those that the file is read in."""
    read = frames_scale("", names, {})
    units: dict[Quantity, tuple[float, str | None, str]] = {
        "energy": (read.energy_ev, names.energy_unit, "eV"),
        "length": (read.length_angstrom, names.length_unit, "Å"),
        "forces": (read.forces_ev_angstrom, names.forces_unit, "its unit of energy per that of length"),
    }
    for key, value in stated:
        try:
            found = list(statements("", {_name(key): value.decode(errors="replace")}))
        except DataError as error:
            if names.energy_unit and names.length_unit:
                continue
            raise ValueError(
                f"{_name(key)} is {shown(value)}, which is not understood: give --energy-unit and --length-unit"
            ) from error
        for quantity, (factor, asked, default) in units.items():
            for statement in [one for kind, one in found if kind == quantity]:
                try:
                    given, per_atom = factor_of(statement.unit, quantity)
                    same = abs(given / factor - 1) < 1e-6 and per_atom == (read.per_atom and quantity == "energy")
                except DataError:
                    same = asked is not None
                if not same:
                    what = "" if quantity == "energy" else f"{quantity} of "
                    raise ValueError(
                        f"{_name(key)} is {shown(value)}, but {what}the file is read in {asked or default}: give "
                        f"--{quantity}-unit"
                    )


def _name(key: bytes) -> str:
    return key.decode(errors="replace")
