"""Symbols of the elements by atomic number."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# fmt: off
SYMBOLS = (
    "X", "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar", "K",
    "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr",
    "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La",
    "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os",
    "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am",
    "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl",
    "Mc", "Lv", "Ts", "Og",
)
# fmt: on
"""Symbols by atomic number; "X" stands for none."""
NUMBER = {symbol: number for number, symbol in enumerate(SYMBOLS) if number}
HEAVIEST = len(SYMBOLS) - 1


def numbers_of(symbols: Sequence[str]) -> npt.NDArray[np.int64]:
    """Atomic numbers [n] of symbols, 0 for anything that is not the symbol of an element."""
    return np.array([NUMBER.get(symbol.capitalize(), 0) for symbol in symbols], dtype=np.int64)


def formulas(numbers: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    """Chemical formulas [S], such as "C2H6O": carbon, hydrogen, then by symbol.

    Args:
        numbers: [A] atomic numbers.
        offsets: [S + 1], the atoms of structure i are `offsets[i]:offsets[i + 1]`.
    """
    count = len(offsets) - 1
    elements, columns = np.unique(numbers, return_inverse=True)
    owner = np.repeat(np.arange(count), np.diff(offsets))
    table = np.bincount(owner * len(elements) + columns, minlength=count * len(elements)).reshape(count, -1)
    symbols = [SYMBOLS[z] for z in elements]
    order = sorted(range(len(symbols)), key=lambda i: ({"C": 0, "H": 1}.get(symbols[i], 2), symbols[i]))
    distinct, which = np.unique(table, axis=0, return_inverse=True)
    names = [
        "".join(symbols[i] + (str(row[i]) if row[i] > 1 else "") for i in order if row[i]) for row in distinct.tolist()
    ]
    return np.array(names, dtype=object)[which.reshape(-1)]
