"""Small organic molecules grown by valence rules, and conformers of them by RDKit.

A molecule is a pure function of a random generator. Growth: a carbon, then heavy atoms added one by one to atoms with
a free valence, then perhaps a ring or two, then double and triple bonds where valences are left; hydrogen fills the
rest. Two heteroatoms are never bonded, since peroxides, N-F and the like would make up more of the set than they do
of organic chemistry. Conformers: ETKDG (Riniker and Landrum 2015, 10.1021/acs.jcim.5b00654; Wang et al. 2020,
10.1021/acs.jcim.0c00025), then MMFF94 (Halgren 1996). Only RDKit's workers import this file.
"""

from collections import deque

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from raysweep.data.labels import NO_PARAMETERS, NOT_EMBEDDED

HEAVY_ATOMS = (3, 4, 5, 6, 7, 8, 9)
HEAVY_WEIGHTS = (0.14, 0.40, 0.40, 0.03, 0.01, 0.01, 0.01)
"""Shares of candidates by heavy atoms. Small molecules run out (there are few of them), so the mean number of atoms,
hydrogen included, grows with the set: 10.3 over the first 300 molecules, 11.4 over 1,400 and 14.8 over 10,000."""
ELEMENTS = (6, 7, 8, 9)
ELEMENT_WEIGHTS = (0.54, 0.16, 0.23, 0.07)
"""Chances of a new heavy atom to be C, N, O or F."""
VALENCE = {6: 4, 7: 3, 8: 2, 9: 1}
RING_CHANCE = (0.40, 0.15)
"""Chance of a first and, after a first, of a second ring closure, of 3 to 6 members."""
DOUBLE_CHANCE = 0.50
TRIPLE_CHANCE = 0.30
"""Chance that a bond is raised to a double bond, and that an open-chain double bond is raised to a triple one."""
EMBEDDING_ATTEMPTS = 10
MMFF_ITERATIONS = 200

rdBase.DisableLog("rdApp.*")  # failures are counted by the caller


def grow(rng: np.random.Generator) -> str | None:
    """Return the canonical SMILES (no stereo marks) of a random molecule with 3 to 9 heavy atoms, None if unsound."""
    target = int(rng.choice(HEAVY_ATOMS, p=HEAVY_WEIGHTS))
    molecule = _Growth()
    while len(molecule.elements) < target and molecule.add_atom(int(rng.choice(ELEMENTS, p=ELEMENT_WEIGHTS)), rng):
        pass
    for chance in RING_CHANCE:
        if rng.random() >= chance or not molecule.close_ring(rng):
            break
    molecule.raise_bonds(rng)
    return molecule.smiles()


class _Growth:
    """A molecule that grows: heavy atoms, their free valences, and bonds with their orders."""

    def __init__(self) -> None:
        self.elements = [6]
        self.free = [4]
        self.bonds: dict[tuple[int, int], int] = {}

    def add_atom(self, element: int, rng: np.random.Generator) -> bool:
        """Bond a new atom to a random one that may take it; False where none may."""
        hosts = [i for i, free in enumerate(self.free) if free and self._may_bond(self.elements[i], element)]
        if not hosts:
            return False
        host = hosts[int(rng.integers(len(hosts)))]
        self.elements.append(element)
        self.free.append(VALENCE[element])
        self._bond(host, len(self.elements) - 1)
        return True

    def close_ring(self, rng: np.random.Generator) -> bool:
        """Bond a random pair of atoms that lie two to five bonds apart; False where there is none."""
        pairs = [
            (i, j)
            for i in range(len(self.elements))
            for j, distance in self._distances(i).items()
            if i < j
            and 2 <= distance <= 5
            and self.free[i]
            and self.free[j]
            and self._may_bond(self.elements[i], self.elements[j])
        ]
        if not pairs:
            return False
        self._bond(*pairs[int(rng.integers(len(pairs)))])
        return True

    def raise_bonds(self, rng: np.random.Generator) -> None:
        """Raise random bonds to double and triple ones; no cumulated ones, no triple ones in rings.

        Rings of three keep single bonds: their unsaturated kin fills the set with molecules that hardly exist.
        """
        for i, j in list(self.bonds):
            if rng.random() >= DOUBLE_CHANCE or not (self.free[i] and self.free[j]) or self._unsaturated(i, j):
                continue
            way_round = self._distances(i, without=(i, j)).get(j)
            if way_round == 2:
                continue
            self._raise(i, j)
            if rng.random() < TRIPLE_CHANCE and self.free[i] and self.free[j] and way_round is None:
                self._raise(i, j)

    def smiles(self) -> str | None:
        """Return the canonical SMILES, None where RDKit finds the molecule unsound."""
        molecule = Chem.RWMol()
        for element in self.elements:
            molecule.AddAtom(Chem.Atom(element))
        orders = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
        for (i, j), order in self.bonds.items():
            molecule.AddBond(i, j, orders[order])
        if Chem.SanitizeMol(molecule, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
            return None
        return str(Chem.MolToSmiles(molecule, isomericSmiles=False))

    @staticmethod
    def _may_bond(first: int, second: int) -> bool:
        return first == 6 or second == 6

    def _bond(self, i: int, j: int) -> None:
        self.bonds[min(i, j), max(i, j)] = 0
        self._raise(i, j)

    def _raise(self, i: int, j: int) -> None:
        self.bonds[min(i, j), max(i, j)] += 1
        self.free[i] -= 1
        self.free[j] -= 1

    def _unsaturated(self, i: int, j: int) -> bool:
        return any(order > 1 and {i, j} & set(pair) for pair, order in self.bonds.items())

    def _distances(self, start: int, without: tuple[int, int] | None = None) -> dict[int, int]:
        found, queue = {start: 0}, deque([start])
        while queue:
            here = queue.popleft()
            for pair in self.bonds:
                if here in pair and pair != without:
                    there = pair[0] + pair[1] - here
                    if there not in found:
                        found[there] = found[here] + 1
                        queue.append(there)
        return found


def conformers(smiles: str, count: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]] | str:
    """Return up to `count` conformers, relaxed by MMFF94, of a molecule with its hydrogens.

    Relaxation may stop before it has converged: the geometries are displaced afterwards anyway.

    Args:
        smiles: the molecule.
        count: how many conformers to embed.
        seed: of the embedding, 0 to 2**31 - 1.

    Returns:
        Atomic numbers [n] uint8 and positions [conformers, n, 3] float64 in Å; or the reason why there are none.
    """
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    settings = rdDistGeom.ETKDGv3()
    # RDKit's own type stubs give these properties the type of their class, hence the marks.
    settings.randomSeed = seed  # type: ignore[assignment]
    settings.maxIterations = EMBEDDING_ATTEMPTS  # type: ignore[assignment]
    settings.numThreads = 1  # type: ignore[assignment]
    if not list(rdDistGeom.EmbedMultipleConfs(molecule, count, settings)):
        return NOT_EMBEDDED
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        return NO_PARAMETERS
    rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule, numThreads=1, maxIters=MMFF_ITERATIONS)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], dtype=np.uint8)
    return numbers, np.stack([conformer.GetPositions() for conformer in molecule.GetConformers()])
