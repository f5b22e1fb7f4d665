"""Structures of molecules and their GFN2-xTB energies and forces (Bannwarth et al. 2019, 10.1021/acs.jctc.8b01176).

Worker processes run this, so it imports neither Arrow nor torch. Every label starts from the same initial
guess, never from a neighbour's solution, so that labels do not depend on the order in which they are made.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from raysweep.data.generation.presets import Preset
from raysweep.data.physics import BOHR_ANGSTROM, HARTREE_EV
from raysweep.data.reasons import FORCE_ABOVE_LIMIT, NOT_CONVERGED
from raysweep.data.structures import Structures, concatenate


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A distinct molecule to label.

    Attributes:
        candidate: its number.
        smiles: the molecule or ion.
        group: its neutral form, which keeps ions of one molecule on one side of the split.
        left_out: counts of the candidates rejected since the previous molecule, by reason.
    """

    candidate: int
    smiles: str
    group: str
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Made:
    """The outcome of labelling one molecule.

    Attributes:
        candidate: its number.
        smiles: the molecule.
        kept: structures that were kept.
        rejected: counts of candidates and structures rejected since the previous molecule, by reason.
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


def grow_range(task: tuple[int, range, Preset]) -> list[tuple[str, str] | None]:
    """Grow a range of candidates: their SMILES and those of their neutral forms, None for unsound ones.

    The task is (seed, candidates, preset).
    """
    from raysweep.data.generation.molecules.growth import grow  # RDKit is imported by workers only

    seed, candidates, preset = task
    return [grow(_generator(seed, k, 0), preset.growing) for k in candidates]


def label_all(task: tuple[list[Grown], int, Preset]) -> Labelled:
    """Label the structures of some molecules; the task is (molecules, seed, preset)."""
    molecules, seed, preset = task
    parts = [label_molecule(grown, seed, preset) for grown in molecules]
    return Labelled(
        structures=concatenate([part.structures for part in parts]),
        molecules=tuple(made for part in parts for made in part.molecules),
    )


def _generator(seed: int, molecule: int, stage: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, molecule), spawn_key=(stage,)))


def label_molecule(grown: Grown, seed: int, preset: Preset) -> Labelled:
    """Label the structures of a molecule; deterministic in its arguments."""
    from raysweep.data.generation.molecules.conformers import conformers  # RDKit is imported by workers only
    from raysweep.data.generation.molecules.sampling import sample

    rejected = Counter(grown.left_out)
    rng = _generator(seed, grown.candidate, 1)
    displacing = preset.displacing
    found = conformers(
        grown.smiles, displacing.conformers_per_molecule, int(rng.integers(2**31)), any_field=preset.any_field
    )
    parts: list[Structures] = []
    if isinstance(found, str):
        rejected[found] += 1
    else:
        for numbers, positions in sample(preset.kinds, found, displacing, rng):
            parts.append(_kept(grown.group, numbers, positions, found.charge, preset, rejected))
    structures = concatenate(parts) if parts else _none(preset)
    made = Made(candidate=grown.candidate, smiles=grown.smiles, kept=len(structures), rejected=dict(+rejected))
    return Labelled(structures=structures, molecules=(made,))


def _kept(
    group: str,
    numbers: npt.NDArray[np.uint8],
    positions: npt.NDArray[np.float32],
    charge: int,
    preset: Preset,
    rejected: Counter[str],
) -> Structures:
    """Label structures; keep those whose SCF converged to forces below the limit, and count the others."""
    energy, forces = label(numbers, positions, charge)
    converged = np.isfinite(energy)
    gentle = np.linalg.norm(forces, axis=2).max(axis=1) <= preset.displacing.force_limit  # False for NaN
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
        charge=np.full(count, charge, dtype=np.int8) if preset.columns else None,
        spin=np.full(count, 1, dtype=np.int8) if preset.columns else None,
    )


def _none(preset: Preset) -> Structures:
    """An empty set of structures with the preset's columns."""
    columns = np.zeros(0, dtype=np.int8) if preset.columns else None
    return replace(concatenate([]), cell=None, pbc=None, charge=columns, spin=columns)


def label(
    numbers: npt.NDArray[np.uint8], positions: npt.NDArray[np.float32], charge: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Compute GFN2-xTB energies [m] float64 in eV and forces [m, n, 3] float32 in eV/Å; NaN where the SCF failed.

    Args:
        numbers: [n] uint8, of a closed-shell molecule or ion.
        positions: [m, n, 3] float32, Å; labelled exactly as given.
        charge: elementary charges.
    """
    from tblite.exceptions import TBLiteRuntimeError
    from tblite.interface import Calculator

    bohr = positions.astype(np.float64) / BOHR_ANGSTROM
    energy = np.full(len(positions), np.nan)
    forces = np.full(positions.shape, np.nan, dtype=np.float32)
    if not len(positions):
        return energy, forces
    assert (int(numbers.sum(dtype=np.int64)) - charge) % 2 == 0, "an open shell"
    calculator = Calculator("GFN2-xTB", numbers.astype(np.int64), bohr[0], charge=float(charge))
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
