"""Physical constants and atomic data of the embedded source."""

HARTREE_EV = 27.211386245988
"""eV per hartree, CODATA 2018 (Tiesinga et al. 2021, 10.1103/RevModPhys.93.025010)."""
BOHR_ANGSTROM = 0.529177210903
"""Å per bohr, CODATA 2018."""
BOLTZMANN = 1.380649e-23
"""J/K, exact."""
ELEMENTARY_CHARGE = 1.602176634e-19
"""C, exact; also J per eV."""
ATOMIC_MASS = 1.66053906660e-27
"""kg per unified atomic mass unit, CODATA 2018."""
LIGHT_SPEED_CM = 2.99792458e10
"""cm/s, exact."""
MASSES = {
    1: 1.008,
    5: 10.81,
    6: 12.011,
    7: 14.007,
    8: 15.999,
    9: 18.998,
    14: 28.085,
    15: 30.974,
    16: 32.06,
    17: 35.45,
    35: 79.904,
}
"""Atomic masses in u, IUPAC 2021 abridged standard weights (Prohaska et al. 2022, 10.1515/pac-2019-0603)."""
RADII = {
    1: 1.20,
    5: 1.92,
    6: 1.70,
    7: 1.55,
    8: 1.52,
    9: 1.47,
    14: 2.10,
    15: 1.80,
    16: 1.80,
    17: 1.75,
    35: 1.85,
}
"""Van der Waals radii in Å: Bondi 1964 (10.1021/j100785a001), hydrogen's and boron's from Mantina et al. 2009
(10.1021/jp8111556); the latter gives hydrogen 1.10, Bondi's 1.20 is kept."""
