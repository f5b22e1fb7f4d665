"""Units that data sets come in, as multiples of eV and Å."""

from raysweep.data.physics import BOHR_ANGSTROM, HARTREE_EV
from raysweep.errors import DataError

KCAL_PER_MOL_EV = 4184.0 / 6.02214076e23 / 1.602176634e-19
"""eV per kcal/mol: the thermochemical calorie, Avogadro's number and the elementary charge are exact (SI 2019)."""

ENERGY_EV = {
    "eV": 1.0,
    "meV": 1e-3,
    "hartree": HARTREE_EV,
    "kcal/mol": KCAL_PER_MOL_EV,
    "kJ/mol": KCAL_PER_MOL_EV / 4.184,
}
LENGTH_ANGSTROM = {"Å": 1.0, "angstrom": 1.0, "bohr": BOHR_ANGSTROM, "nm": 10.0}


def energy_ev(unit: str) -> float:
    """Return eV per `unit`.

    Raises:
        DataError: the unit is unknown.
    """
    return _factor(unit, ENERGY_EV, "energy")


def length_angstrom(unit: str) -> float:
    """Return Å per `unit`.

    Raises:
        DataError: the unit is unknown.
    """
    return _factor(unit, LENGTH_ANGSTROM, "length")


def _factor(unit: str, table: dict[str, float], kind: str) -> float:
    if unit not in table:
        raise DataError(f"unknown unit of {kind} {unit!r}; known are {', '.join(table)}")
    return table[unit]
