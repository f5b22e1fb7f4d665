"""Thermal displacements and their GFN2-xTB energies and forces (Bannwarth et al. 2019, 10.1021/acs.jctc.8b01176).

This is what a worker process runs, so it imports neither Arrow nor torch. Every label starts from the same initial
guess, never from a neighbour's solution, so that labels do not depend on the order in which they are made.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysweep.data.structures import Structures, concatenate
from raysweep.errors import DataError

HARTREE_EV = 27.211386245988
"""eV per hartree, CODATA 2018 (Tiesinga et al. 2021, 10.1103/RevModPhys.93.025010)."""
BOHR_ANGSTROM = 0.529177210903
"""Å per bohr, CODATA 2018."""
BOLTZMANN = 1.380649e-23
"""J/K, exact."""
ATOMIC_MASS = 1.66053906660e-27
"""kg per unified atomic mass unit, CODATA 2018."""
LIGHT_SPEED_CM = 2.99792458e10
"""cm/s, exact."""
MASSES = {1: 1.008, 6: 12.011, 7: 14.007, 8: 15.999, 9: 18.998}
"""Atomic masses in u, IUPAC 2021 abridged standard weights."""

NOT_GROWN = "molecule: growth ended unsound"
DUPLICATE = "molecule: duplicate"
NOT_EMBEDDED = "molecule: no conformer embedded"
NO_PARAMETERS = "molecule: no MMFF94 parameters"
NOT_CONVERGED = "structure: SCF not converged"
FORCE_ABOVE_LIMIT = "structure: force above limit"


@dataclass(frozen=True, kw_only=True)
class Displacing:
    """How conformers are displaced and which labels are kept.

    Attributes:
        structures_per_molecule: displaced structures of each molecule.
        conformers_per_molecule: conformers among which they are shared in turn.
        temperatures: K, range from which each structure's temperature is drawn evenly.
        wavenumber: 1/cm, frequency of the harmonic oscillator that each atom is taken for.
        force_limit: eV/Å, structures with a longer force on any atom are left out.

    Raises:
        DataError: a value is out of range.
    """

    structures_per_molecule: int = 10
    conformers_per_molecule: int = 2
    temperatures: tuple[float, float] = (100.0, 1000.0)
    wavenumber: float = 2000.0
    force_limit: float = 25.0

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        counts = (self.structures_per_molecule, self.conformers_per_molecule)
        low, high = self.temperatures
        if min(counts) < 1 or not 0 < low <= high or self.wavenumber <= 0 or self.force_limit <= 0:
            raise DataError(f"{self}: counts must be at least 1, temperatures above 0 and rising, the others above 0")


@dataclass(frozen=True, kw_only=True)
class Made:
    """What became of one molecule.

    Attributes:
        candidate: its number.
        smiles: the molecule.
        kept: structures that were kept.
        rejected: counts of what was left out since the molecule before, by reason.
    """

    candidate: int
    smiles: str
    kept: int
    rejected: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """The labelled structures of some molecules, in the molecules' order; `residual` is NaN."""

    structures: Structures
    molecules: tuple[Made, ...]


def grow_range(task: tuple[int, range]) -> list[str | None]:
    """Return the SMILES of the candidates in a range, None for unsound ones; the task is (seed, candidates)."""
    from raysweep.data.molecules import grow  # RDKit is imported by workers only

    seed, candidates = task
    return [grow(_generator(seed, k, 0)) for k in candidates]


def label_all(task: tuple[list[tuple[int, str, dict[str, int]]], int, Displacing]) -> Labelled:
    """Return the labelled structures of some molecules; the task is ((k, SMILES, counts to carry along), seed, how)."""
    molecules, seed, displacing = task
    parts = [label_molecule(smiles, seed, k, displacing, left_out) for k, smiles, left_out in molecules]
    return Labelled(
        structures=concatenate([part.structures for part in parts]),
        molecules=tuple(made for part in parts for made in part.molecules),
    )


def _generator(seed: int, molecule: int, stage: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, molecule), spawn_key=(stage,)))


def displace(
    numbers: npt.NDArray[np.uint8],
    positions: npt.NDArray[np.float64],
    temperature: float,
    wavenumber: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Return [n, 3] float32, Å: positions with a thermal displacement in the Einstein picture.

    Each atom is a classical harmonic oscillator of angular frequency w = 2 pi c * wavenumber; equipartition gives
    each of its coordinates a Gaussian displacement with standard deviation sqrt(k T / m) / w. At 550 K and 2000/cm
    that is 0.057 Å for H and 0.016 Å for C. Atoms move independently, which real vibrations do not.
    """
    masses = np.array([MASSES[int(z)] for z in numbers]) * ATOMIC_MASS
    angular_frequency = 2 * np.pi * LIGHT_SPEED_CM * wavenumber
    deviation = np.sqrt(BOLTZMANN * temperature / masses) / angular_frequency * 1e10  # m to Å
    moved: npt.NDArray[np.float32] = (positions + deviation[:, None] * rng.normal(size=positions.shape)).astype(
        np.float32
    )
    return moved


def label_molecule(
    smiles: str, seed: int, molecule: int, displacing: Displacing, left_out: Mapping[str, int] | None = None
) -> Labelled:
    """Return the labelled structures of candidate number `molecule`; a function of its arguments alone.

    Counts of `left_out` are added to its own, so that they are taken in the order of the molecules.
    """
    from raysweep.data.molecules import conformers  # RDKit is imported by workers only

    rejected = Counter(left_out or {})
    rng = _generator(seed, molecule, 1)
    found = conformers(smiles, displacing.conformers_per_molecule, int(rng.integers(2**31)))
    if isinstance(found, str):
        structures = concatenate([])
        rejected[found] += 1
    else:
        numbers, bases = found
        moved = np.stack(
            [
                displace(
                    numbers, bases[i % len(bases)], rng.uniform(*displacing.temperatures), displacing.wavenumber, rng
                )
                for i in range(displacing.structures_per_molecule)
            ]
        )
        structures = _labelled(smiles, numbers, moved, displacing.force_limit, rejected)
    made = Made(candidate=molecule, smiles=smiles, kept=len(structures), rejected=dict(+rejected))
    return Labelled(structures=structures, molecules=(made,))


def _labelled(
    group: str,
    numbers: npt.NDArray[np.uint8],
    positions: npt.NDArray[np.float32],
    force_limit: float,
    rejected: Counter[str],
) -> Structures:
    """Return those structures whose SCF converged to forces below the limit, and count the others."""
    energy, forces = label(numbers, positions)
    converged = np.isfinite(energy)
    gentle = np.linalg.norm(forces, axis=2).max(axis=1) <= force_limit  # False for NaN
    kept = converged & gentle
    rejected[NOT_CONVERGED] += int((~converged).sum())
    rejected[FORCE_ABOVE_LIMIT] += int((converged & ~gentle).sum())
    count = int(kept.sum())
    return Structures(
        numbers=np.tile(numbers, count),
        positions=positions[kept].reshape(-1, 3),
        forces=forces[kept].reshape(-1, 3),
        n_atoms=np.full(count, len(numbers), dtype=np.int64),
        energy=energy[kept],
        residual=np.full(count, np.nan, dtype=np.float32),
        group=np.full(count, group, dtype=object),
    )


def label(
    numbers: npt.NDArray[np.uint8], positions: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Return GFN2-xTB energies [m] float64 in eV and forces [m, n, 3] float32 in eV/Å; NaN where the SCF failed.

    Args:
        numbers: [n] uint8, a neutral closed-shell molecule.
        positions: [m, n, 3] float32, Å; labelled exactly as given.
    """
    from tblite.exceptions import TBLiteRuntimeError
    from tblite.interface import Calculator

    bohr = positions.astype(np.float64) / BOHR_ANGSTROM
    energy = np.full(len(positions), np.nan)
    forces = np.full(positions.shape, np.nan, dtype=np.float32)
    if not len(positions):
        return energy, forces
    calculator = Calculator("GFN2-xTB", numbers.astype(np.int64), bohr[0])
    calculator.set("verbosity", 0)
    for i, geometry in enumerate(bohr):
        calculator.update(geometry)
        try:
            result = calculator.singlepoint()
        except TBLiteRuntimeError:  # not converged in 250 iterations: stays NaN, the caller counts it
            continue
        energy[i] = result["energy"] * HARTREE_EV
        forces[i] = -result["gradient"] * (HARTREE_EV / BOHR_ANGSTROM)
    return energy, forces
