"""The choice of keys to import: the named ones, otherwise well-known ones."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Names

KNOWN: dict[str, tuple[str, ...]] = {
    "numbers": ("numbers", "atomic_numbers", "nuclear_charges", "atomicnumbers", "z", "Z", "species", "symbols",
                "elements", "atNUM"),
    "positions": ("positions", "pos", "coordinates", "coords", "R", "conformations", "geometries", "xyz", "atXYZ"),
    "energy": ("energy", "energies", "E", "total_energy", "potential_energy", "dft_total_energy", "wb97x_dz.energy"),
    "forces": ("forces", "force", "F", "atomic_forces", "wb97x_dz.forces", "totFOR"),
    "gradient": ("gradient", "gradients", "dft_total_gradient"),
    "cell": ("cell", "cells", "lattice", "lattices", "Lattice", "box", "boxes", "unit_cell", "lattice_vectors",
             "cell_vectors", "box_vectors"),
    "pbc": ("pbc", "PBC", "pbcs", "periodic"),
    "n_atoms": ("n_atoms", "natoms", "num_atoms", "N"),
}  # fmt: skip
"""Keys that published files use. Gradients are minus the forces."""
_LIKE_A_CELL = re.compile(r"cell|lattice|(?<![a-z])box|pbc|periodic", re.IGNORECASE)
_ABOUT = {"unit", "units", "stress", "virial", "volume", "name", "type", "id", "index", "energy", "path"}
"""Words of keys that describe a cell but are not one."""
_LIKE = {"energy": re.compile(r"energ|^e$", re.IGNORECASE), "forces": re.compile(r"force|grad|^f$", re.IGNORECASE)}
_TWINS = (("energies", "forces"), ("energies", "gradients"), ("energy", "forces"), ("energy", "force"),
          ("energy", "gradient"), ("Energy", "Forces"), ("E", "F"))  # fmt: skip
"""Differences between the keys of energies and forces of one level of theory."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of a file; None for a field that it lacks.

    Attributes:
        numbers, positions, energy, forces, cell, pbc, n_atoms, charge, spin, group, source: keys.
        gradient: whether `forces` is that of a gradient.
    """

    numbers: str
    positions: str
    energy: str
    forces: str
    gradient: bool = False
    cell: str | None = None
    pbc: str | None = None
    n_atoms: str | None = None
    charge: str | None = None
    spin: str | None = None
    group: str | None = None
    source: str | None = None


def keys_of(
    where: str,
    there: Collection[str],
    names: Names,
    *,
    outer: Collection[str] = (),
    first: Mapping[str, str] | None = None,
) -> Keys:
    """Choose the keys of the needed fields.

    Args:
        where: for messages.
        there: keys in the file.
        names: those that were named.
        outer: further keys, where positions, energies and forces are not looked for.
        first: keys of the format by field, which need not be the only known ones.

    Raises:
        DataError: a named key is absent, or no key is known, or several are.
    """
    own = first or {}
    everywhere = [*there, *(key for key in outer if key not in there)]
    energy, forces = _twins(where, there, names)
    if forces is None:
        forces = own.get("forces") or _known(there, "forces", where) or _known(there, "gradient", where)
    found = {
        "numbers": names.numbers or own.get("numbers") or _known(everywhere, "numbers", None),
        "positions": names.positions or own.get("positions") or _known(there, "positions", where),
        "energy": energy or own.get("energy") or _known(there, "energy", where),
        "forces": forces,
    }
    missing = [name for name, key in found.items() if key is None]
    if missing:
        options = ", ".join(f"--{name}-key" for name in missing)
        raise DataError(f"{where}: no key of {', '.join(missing)} is known; name it with {options}. {_listed(there)}")
    cell = pbc = None
    if names.cell != "":
        cell, pbc = names.cell or _known(everywhere, "cell", where), names.pbc or _known(everywhere, "pbc", where)
        if cell is None:
            _refuse_unread_cells(where, everywhere, pbc)
    keys = Keys(
        numbers=str(found["numbers"]),
        positions=str(found["positions"]),
        energy=str(found["energy"]),
        forces=str(forces),
        gradient=re.search("grad", str(forces), re.IGNORECASE) is not None,
        cell=cell,
        pbc=pbc,
        n_atoms=_known(everywhere, "n_atoms", None),
        charge=_optional(where, "charge", everywhere, names),
        spin=_optional(where, "spin", everywhere, names),
        group=_optional(where, "group", everywhere, names),
        source=_optional(where, "source", everywhere, names),
    )
    for name in ("numbers", "positions", "energy", "forces", "cell", "pbc"):
        key, among = getattr(keys, name), everywhere if name in ("numbers", "cell", "pbc") else there
        if key is not None and key not in among:
            raise DataError(f"{where}: {no_such(name, key, among)}")
    return keys


def absent(names: Names, name: str, there: Collection[str]) -> str | None:
    """The reason to reject a record without the key named for `name`; None if it is present or optional."""
    key: str | None = getattr(names, name)
    if not key or key == _DEFAULTS.get(name) or key in there:
        return None
    return no_such(name, key, there)


def no_such(name: str, key: str, there: Iterable[str]) -> str:
    """Format the message for an absent key, with the keys that exist and similar spellings."""
    near = difflib.get_close_matches(key, list(there), n=3, cutoff=0.5)
    hint = f" (near it: {', '.join(near)})" if near else ""
    return f"there is no {key!r} (--{name.replace('_', '-')}-key){hint}. {_listed(there)}"


def _listed(there: Iterable[str]) -> str:
    return f"It has {', '.join(sorted(there)) or 'nothing'}"


def _optional(where: str, name: str, there: Collection[str], names: Names) -> str | None:
    if (reason := absent(names, name, there)) is not None:
        raise DataError(f"{where}: {reason}")
    key: str = getattr(names, name)
    return key if key in there else None


def _known(there: Collection[str], name: str, where: str | None) -> str | None:
    """The well-known key for `name`; with several, the first, or an error if `where` is given.

    Raises:
        DataError: there are several.
    """
    exact = [key for key in KNOWN[name] if key in there]
    known = {key.lower() for key in KNOWN[name] if len(key) > 1}
    found = exact or [key for key in there if key.lower() in known]
    if len(found) > 1 and where is not None:
        raise DataError(f"{where}: {', '.join(found)} may each be the {name}; name one with --{name}-key")
    return found[0] if found else None


def _twins(where: str, there: Collection[str], names: Names) -> tuple[str | None, str | None]:
    """The named keys of energy and forces; if only one is named, the other of the same level of theory.

    Raises:
        DataError: several may be the other one.
    """
    keys = {"energy": names.energy, "forces": names.forces}
    for name, other in (("energy", "forces"), ("forces", "energy")):
        key = keys[name]
        if key is None or keys[other] is not None or key not in there:
            continue
        pairs = [pair if name == "energy" else pair[::-1] for pair in _TWINS]
        twins = [twin for old, new in pairs if old in key and (twin := key.replace(old, new)) in there and twin != key]
        like = [one for one in there if _LIKE[other].search(one) and not _ABOUT & set(one.split("_")) - {"energy"}]
        if twins:
            keys[other] = twins[0]
        elif len(like) > 1:
            raise DataError(
                f"{where}: {key!r} is named as the {name}, and its {other} could be any of "
                f"{', '.join(sorted(like))}; name them with --{other}-key"
            )
    return keys["energy"], keys["forces"]


def _refuse_unread_cells(where: str, there: Collection[str], pbc: str | None) -> None:
    alike = [
        key for key in there if key != pbc and _LIKE_A_CELL.search(key) and not _ABOUT & set(key.lower().split("_"))
    ]
    if alike:
        raise DataError(
            f"{where}: {', '.join(alike)} may be a cell; name it with --cell-key, or read no cell with --cell-key ''"
        )


_DEFAULTS = {field.name: field.default for field in fields(Names) if field.default}
