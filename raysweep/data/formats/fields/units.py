"""Units of data sets as multiples of eV and Å, in the spellings found in files."""

import re
from collections import Counter
from typing import Literal

from raysweep.core.errors import DataError
from raysweep.data.physics import BOHR_ANGSTROM, HARTREE_EV

Quantity = Literal["energy", "length", "forces"]

KCAL_PER_MOL_EV = 4184.0 / 6.02214076e23 / 1.602176634e-19
"""eV per kcal/mol: the thermochemical calorie, Avogadro's number and the elementary charge are exact (SI 2019)."""

ENERGY_EV = {
    "eV": 1.0,
    "meV": 1e-3,
    "hartree": HARTREE_EV,
    "rydberg": HARTREE_EV / 2,
    "kcal/mol": KCAL_PER_MOL_EV,
    "kJ/mol": KCAL_PER_MOL_EV / 4.184,
}
LENGTH_ANGSTROM = {"Å": 1.0, "angstrom": 1.0, "bohr": BOHR_ANGSTROM, "nm": 10.0, "pm": 0.01}

_ENERGIES = {
    "ev": 1.0, "electronvolt": 1.0, "electronvolts": 1.0, "mev": 1e-3, "hartree": HARTREE_EV, "hartrees": HARTREE_EV,
    "ha": HARTREE_EV, "eh": HARTREE_EV, "e_h": HARTREE_EV, "ry": HARTREE_EV / 2, "rydberg": HARTREE_EV / 2,
    "rydbergs": HARTREE_EV / 2, "mha": HARTREE_EV / 1e3, "mhartree": HARTREE_EV / 1e3, "mry": HARTREE_EV / 2e3,
}  # fmt: skip
_MOLAR = {"kcal": KCAL_PER_MOL_EV, "cal": KCAL_PER_MOL_EV / 1e3, "kj": KCAL_PER_MOL_EV / 4.184,
          "j": KCAL_PER_MOL_EV / 4184}  # fmt: skip
"""eV per unit and mole."""
_LENGTHS = {
    "angstrom": 1.0, "angstroms": 1.0, "angström": 1.0, "ang": 1.0, "angs": 1.0, "a": 1.0, "bohr": BOHR_ANGSTROM,
    "bohrs": BOHR_ANGSTROM, "a0": BOHR_ANGSTROM, "a_0": BOHR_ANGSTROM, "au": BOHR_ANGSTROM, "nm": 10.0,
    "nanometer": 10.0, "nanometre": 10.0, "nanometers": 10.0, "pm": 0.01,
}  # fmt: skip
_ATOMIC = {"au", "a.u.", "a.u", "atomic", "atomic units", "atomic unit", "atomic_units"}
_ATOMIC_FACTORS = {"energy": HARTREE_EV, "length": BOHR_ANGSTROM, "forces": HARTREE_EV / BOHR_ANGSTROM}
_SPELLINGS = {"a\u030a": "å", "ångström": "å", "ångstrom": "å", "å": "angstrom", "mole": "mol",
              "electron volt": "electronvolt", "a.u.": "au", "₀": "0",
              "⁻": "-", "\u2212": "-", "¹": "1", "²": "2", "**": "^", "·": "*",
              "⋅": "*", "_per_": "/", " per ": "/", "[": "", "]": ""}  # fmt: skip
_TOKEN = re.compile(r"\s*(?:(?P<name>[^\W\d](?:[^\W]|_)*)(?:\^?(?P<power>-?\d+|\(-\d+\)))?|(?P<mark>[/*()]))\s*")


def factor_of(unit: str, quantity: Quantity) -> tuple[float, bool]:
    """The size of `unit` in eV, Å or eV/Å, and whether it is a unit of energy per atom.

    Raises:
        DataError: the unit is unknown, or one of another quantity.
    """
    text = unit.strip().lower()
    if text in _ATOMIC:
        return _ATOMIC_FACTORS[quantity], False
    for spelling, plain in _SPELLINGS.items():
        text = text.replace(spelling, plain)
    powers = None if "MeV" in unit else _powers(re.sub(r"(?<=[a-z])\.(?=[a-z])", "*", text).strip())
    per_atom = quantity == "energy" and powers is not None and powers.pop("atom", 0) == -1
    factor = None if powers is None else _factor(powers, quantity)
    if factor is None:
        known = [*ENERGY_EV] if quantity == "energy" else [*LENGTH_ANGSTROM] if quantity == "length" else [
            "eV/Å", "hartree/bohr", "kcal/mol/Å", "kJ/mol/nm"
        ]  # fmt: skip
        raise DataError(f"unknown unit of {quantity} {unit!r}; known are {', '.join(known)}")
    return factor, per_atom


def unit_in_name(name: str, quantity: Quantity) -> str | None:
    """The unit that a key states, as in "energy_hartree", "E (kcal/mol)" or "forces_eV_A", if any."""
    bracketed = re.search(r"[\[(]\s*([^\[\]()]+(?:\([^()]*\))?)\s*[\])]\s*$", name)
    words = name.split("_")
    candidates = [bracketed[1]] if bracketed else []
    candidates += ["/".join(words[-n:]) for n in (3, 2, 1) if n < len(words)]
    candidates += ["/".join(w for w in words[-n:] if w != "per") for n in (4, 3) if n < len(words) and "per" in words]
    for candidate in candidates:
        if len(candidate) > 1 and candidate != "atomic":
            try:
                factor_of(candidate, quantity)
            except DataError:
                continue
            return candidate
    return None


def _factor(powers: Counter[str], quantity: Quantity) -> float | None:
    """The factor of a product of powers; None if its dimension is not the quantity's."""
    wanted_energy, wanted_length = {"energy": (1, 0), "length": (0, 1), "forces": (1, -1)}[quantity]
    factor, energy, length, moles = 1.0, 0, 0, 0
    for name, power in powers.items():
        if name in _ENERGIES or name in _MOLAR:
            factor *= (_ENERGIES.get(name) or _MOLAR[name]) ** power
            energy += power
            moles += power if name in _MOLAR else 0
        elif name in _LENGTHS:
            factor *= _LENGTHS[name] ** power
            length += power
        elif name == "mol":
            moles += power
        elif power:
            return None
    return factor if (energy, length, moles) == (wanted_energy, wanted_length, 0) else None


def _powers(text: str) -> Counter[str] | None:
    """Parse the power of each name in units such as "kcal/(mol*a)" or "kj mol^-1 nm^-1"; None if it is not a unit."""
    powers: Counter[str] = Counter()
    place, sign, signs = 0, 1, [1]
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            return None
        place = token.end()
        if name := token["name"]:
            powers[name] += signs[-1] * sign * int((token["power"] or "1").strip("()"))
            sign = 1
        elif token["mark"] == "(":
            signs.append(signs[-1] * sign)
            sign = 1
        elif token["mark"] == ")":
            if len(signs) == 1:
                return None
            signs.pop()
        else:
            sign = -1 if token["mark"] == "/" else 1
    return powers if powers and len(signs) == 1 else None
