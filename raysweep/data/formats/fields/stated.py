"""The units of a file: those asked for, otherwise those stated in the file, otherwise the format's."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Names
from raysweep.data.formats.fields.units import Quantity, factor_of, unit_in_name

_WORDS = {
    "energy": ("e", "energy", "energies"),
    "length": ("r", "length", "lengths", "distance", "distances", "position", "positions", "pos", "coord", "coords",
               "coordinate", "coordinates", "geometry", "geometries", "conformations", "xyz"),
    "forces": ("f", "force", "forces", "gradient", "gradients", "grad"),
    "cell": ("cell", "cells", "lattice", "box"),
}  # fmt: skip
"""Words in the name of a statement, such as "r_unit", that say which quantity the unit is of."""


@dataclass(frozen=True)
class Statement:
    """A unit that a file states, and the place of the statement."""

    key: str
    unit: str


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Factors to eV and Å.

    Attributes:
        energy_ev, length_angstrom, forces_ev_angstrom, cell_angstrom: per unit.
        per_atom: whether energies are per atom.
    """

    energy_ev: float
    length_angstrom: float
    forces_ev_angstrom: float
    cell_angstrom: float
    per_atom: bool = False

    @property
    def force_length_angstrom(self) -> float:
        """Å per unit of length in the forces' unit, if its energy is that of the energies."""
        return self.energy_ev / self.forces_ev_angstrom


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The keys of a file's labels and its statements about their units.

    Attributes:
        where: file (and group), for messages.
        energy, positions, forces: keys.
        units: unit stated at a key's values themselves, by key.
        texts: other statements of the file: texts by their names.
        default: units of energy and length of the format; None where it has none.
    """

    where: str
    energy: str
    positions: str
    forces: str
    cell: str | None = None
    units: Mapping[str, str]
    texts: Mapping[str, str]
    default: tuple[str, str] | None


def scale_of(labels: Labels, names: Names) -> Scale:
    """Determine the unit factors of a file.

    Raises:
        DataError: a unit is unknown, contradicts the requested one, or is not stated at all.
    """
    default = labels.default or (None, None)
    said: dict[str, list[Statement]] = {}
    for quantity, statement in statements(labels.where, labels.texts):
        said.setdefault(quantity, []).append(statement)
    energy = _unit(labels, "energy", labels.energy, names.energy_unit, said.get("energy", []), default[0])
    length = _unit(labels, "length", labels.positions, names.length_unit, said.get("length", []), default[1])
    (energy_ev, per_atom), (length_angstrom, _) = energy, length
    forces = _stated(labels, "forces", labels.forces, names.forces_unit, said.get("forces", []))
    cell = None
    if labels.cell is not None:
        cell = _stated(labels, "length", labels.cell, None, said.get("cell", []))
    return Scale(
        energy_ev=energy_ev,
        length_angstrom=length_angstrom,
        forces_ev_angstrom=forces[0] if forces else energy_ev / length_angstrom,
        cell_angstrom=cell[0] if cell else length_angstrom,
        per_atom=per_atom or re.search("per_?atom", labels.energy.lower().replace(" ", "_")) is not None,
    )


def frames_scale(where: str, names: Names, texts: Mapping[str, str]) -> Scale:
    """Determine the unit factors of formats with a fixed place for positions, in eV and Å by default.

    Args:
        where: for messages.
        names: keys and units that were asked for.
        texts: the file's statements about its units.

    Raises:
        DataError: a unit is unknown, or contradicts the requested one.
    """
    return scale_of(
        Labels(
            where=where,
            energy=names.energy or "energy",
            positions="positions",
            forces=names.forces or "forces",
            units={},
            texts=texts,
            default=("eV", "Å"),
        ),
        names,
    )


def _unit(
    labels: Labels, quantity: Quantity, key: str, asked: str | None, said: list[Statement], default: str | None
) -> tuple[float, bool]:
    found = _stated(labels, quantity, key, asked, said)
    if found is not None:
        return found
    if default is None:
        raise DataError(
            f"{labels.where}: no unit of {quantity} is stated for {key!r}, and the layout is of no known data set. "
            f"Name it with --{quantity}-unit ({quantity}_unit)"
        )
    return factor_of(default, quantity)


def _stated(
    labels: Labels, quantity: Quantity, key: str, asked: str | None, said: list[Statement]
) -> tuple[float, bool] | None:
    """The factor that was asked for or is stated, if any; they must agree."""
    own = [one for one in said if one.key.lower().startswith(key.lower())]
    statements = own or said
    if key in labels.units:
        statements = [Statement(key, labels.units[key]), *own]
    if (unit := unit_in_name(key, quantity)) is not None:
        statements = [*statements, Statement(key, unit)]
    found: tuple[float, bool] | None = None
    for one in statements:
        try:
            factor = factor_of(one.unit, quantity)
        except DataError as error:
            if asked is not None:  # a user who names the unit knows its meaning
                continue
            raise DataError(f"{labels.where}, {one.key}: {error}. Name it with --{quantity}-unit") from error
        if found is not None and abs(factor[0] / found[0] - 1) > 1e-6:
            raise DataError(
                f"{labels.where}: {statements[0].key!r} states {statements[0].unit!r} as the unit of {quantity}, "
                f"{one.key!r} states {one.unit!r}; correct the file"
            )
        found = (factor[0], factor[1] or (found is not None and found[1]))
    if asked is None:
        return found
    try:
        wanted = factor_of(asked, quantity)
    except DataError as error:
        raise DataError(f"{labels.where}: {error}") from error
    if found is not None and (abs(wanted[0] / found[0] - 1) > 1e-6 or (found[1] and not wanted[1])):
        raise DataError(
            f"{labels.where}: {quantity}_unit is {asked!r}, but the file states {statements[0].unit!r} "
            f"({statements[0].key!r}). Leave the option out to read it as stated, or correct the file"
        )
    return wanted


def statements(where: str, texts: Mapping[str, str]) -> Iterator[tuple[str, Statement]]:
    """Yield quantities and their units from texts such as r_unit = "Ang", units = "eV, Å" or JSON objects of them.

    Raises:
        DataError: a text is about units, and not understood.
    """
    for name, text in texts.items():
        apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z])(?=units?$)", "_", name)
        words = re.split(r"[\W_]+", apart.lower().strip("_"))
        rest = [word for word in words if word not in ("unit", "units", "property", "dict")]
        if not {"unit", "units"} & set(words):
            continue
        if text.lstrip().startswith("{"):
            try:
                inner = json.loads(text.replace("'", '"'))
            except ValueError as error:
                raise DataError(f"{where}: {name} is {text!r}, which is not understood") from error
            yield from statements(where, {f"{key}_unit": str(value) for key, value in inner.items()})
        elif rest:
            kinds = {kind for kind, known in _WORDS.items() if set(known) & set(rest)}
            kinds = {"forces"} if "forces" in kinds else kinds  # "energy_gradient_unit"
            if len(kinds) == 1 and text.strip():
                yield kinds.pop(), Statement(name, text)
        else:
            yield from _listed(where, name, text)


def _listed(where: str, name: str, text: str) -> Iterator[tuple[str, Statement]]:
    """Parse a list such as "eV, Å"; the dimension of each unit tells its quantity."""
    quantities: tuple[Quantity, ...] = ("energy", "length", "forces")
    for unit in re.split(r"[,;]", text):
        kinds = []
        for quantity in quantities:
            try:
                factor_of(unit, quantity)
            except DataError:
                continue
            kinds.append(quantity)
        if not kinds:
            raise DataError(f"{where}: {name} is {text!r}; {unit.strip()!r} is not a unit of energy, length or forces")
        for kind in kinds:
            yield kind, Statement(name, unit.strip())
