"""Conformers by RDKit, with their bonds and the gradient of a classical force field.

ETKDG (Riniker and Landrum 2015, 10.1021/acs.jcim.5b00654; Wang et al. 2020, 10.1021/acs.jcim.0c00025), then MMFF94
(Halgren 1996) or, where that has no parameters and it is allowed, UFF (Rappé et al. 1992, 10.1021/ja00051a040).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from raysweep.data.reasons import NO_PARAMETERS, NOT_EMBEDDED

EMBEDDING_ATTEMPTS = 10
FIELD_ITERATIONS = 200
KCAL_EV = 4184.0 / (6.02214076e23 * 1.602176634e-19)
"""eV per kcal/mol: the thermochemical calorie, Avogadro's number and the elementary charge are exact."""

Vectors = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Bond:
    """A bond between two atoms, either of which may be a hydrogen."""

    first: int
    second: int
    single: bool
    in_ring: bool


@dataclass(frozen=True, kw_only=True)
class Conformers:
    """A molecule in space.

    Attributes:
        numbers: [n] uint8.
        positions: [c, n, 3] float64, Å: relaxed conformers, at least one.
        charge: elementary charges.
        bonds: all of them.
        force_field: gives the gradient of the field's energy: of [n, 3] positions in Å, [n, 3] in eV/Å.
    """

    numbers: npt.NDArray[np.uint8]
    positions: Vectors
    charge: int
    bonds: tuple[Bond, ...]
    force_field: Callable[[], Callable[[Vectors], Vectors]]


def conformers(smiles: str, count: int, seed: int, *, any_field: bool = False) -> Conformers | str:
    """Embed and relax up to `count` conformers of a molecule with its hydrogens; the reason if there are none.

    Relaxation may stop before it has converged: the geometries are displaced afterwards anyway.

    Args:
        smiles: the molecule.
        count: how many conformers to embed.
        seed: of the embedding, 0 to 2**31 - 1.
        any_field: take UFF where MMFF94 has no parameters.
    """
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    settings = rdDistGeom.ETKDGv3()
    # RDKit's own type stubs give these properties the type of their class, hence the marks.
    settings.randomSeed = seed  # type: ignore[assignment]
    settings.maxIterations = EMBEDDING_ATTEMPTS  # type: ignore[assignment]
    settings.numThreads = 1  # type: ignore[assignment]
    if not list(rdDistGeom.EmbedMultipleConfs(molecule, count, settings)):
        return NOT_EMBEDDED
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule, numThreads=1, maxIters=FIELD_ITERATIONS)
    elif any_field and rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.UFFOptimizeMoleculeConfs(molecule, numThreads=1, maxIters=FIELD_ITERATIONS)
    else:
        return NO_PARAMETERS
    return Conformers(
        numbers=np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], dtype=np.uint8),
        positions=np.stack([conformer.GetPositions() for conformer in molecule.GetConformers()]),
        charge=Chem.GetFormalCharge(molecule),
        bonds=tuple(
            Bond(
                first=bond.GetBeginAtomIdx(),
                second=bond.GetEndAtomIdx(),
                single=bond.GetBondType() == Chem.BondType.SINGLE,
                in_ring=bond.IsInRing(),
            )
            for bond in molecule.GetBonds()
        ),
        force_field=lambda: _field(molecule),
    )


def _field(molecule: Chem.Mol) -> Callable[[Vectors], Vectors]:
    properties = rdForceFieldHelpers.MMFFGetMoleculeProperties(molecule)
    if properties is not None:
        field = rdForceFieldHelpers.MMFFGetMoleculeForceField(molecule, properties)
    else:
        field = rdForceFieldHelpers.UFFGetMoleculeForceField(molecule)
    field.Initialize()

    def gradient(positions: Vectors) -> Vectors:
        flat = positions.reshape(-1).tolist()
        field.CalcEnergy(flat)  # resets the distances of the last call, which CalcGrad alone would reuse
        return np.array(field.CalcGrad(flat)).reshape(-1, 3) * KCAL_EV

    return gradient
