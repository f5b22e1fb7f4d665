"""Molecules grown by valence rules, and ions of them.

A molecule is a pure function of a random generator. Growth: a carbon, then heavy atoms added one by one to atoms with
a free valence, then perhaps rings, then double and triple bonds where valences are free; hydrogen fills the rest. Two
heteroatoms are bonded only where the preset says so, since peroxides, N-F and the like would make up more of the set
than they do of organic chemistry. All are closed shells. Only RDKit's workers import this file.
"""

from collections import deque

import numpy as np
from rdkit import Chem, rdBase

from raysweep.data.generation.presets import SMALL_ORGANICS, Growing

VALENCE = {5: 3, 6: 4, 7: 3, 8: 2, 9: 1, 14: 4, 15: 3, 16: 2, 17: 1, 35: 1}
"""Of the elements as they are grown; phosphorus and sulphur may be oxidised afterwards."""
MULTIPLY_BONDED = (6, 7, 8, 16)
"""Elements that form double bonds; those of others (silenes, boranes and the like) hardly exist."""
DOUBLE_CHANCE = 0.50
TRIPLE_CHANCE = 0.30
"""Chance that a bond is raised to a double bond, and that an open-chain double bond is raised to a triple one."""

rdBase.DisableLog("rdApp.*")  # failures are counted by the caller


def grow(rng: np.random.Generator, growing: Growing = SMALL_ORGANICS.growing) -> tuple[str, str] | None:
    """Grow a random molecule: its canonical SMILES (no stereo marks) and that of its neutral form, None if unsound."""
    target = int(rng.choice(growing.heavy_atoms, p=growing.heavy_weights))
    molecule = _Growth(growing)
    while len(molecule.elements) < target and molecule.add_atom(
        int(rng.choice(growing.elements, p=growing.element_weights)), rng
    ):
        pass
    for chance in growing.ring_chances:
        if rng.random() >= chance or not molecule.close_ring(rng):
            break
    molecule.raise_bonds(rng)
    if growing.oxidised:
        molecule.oxidise(rng)
    sound = molecule.sound()
    if sound is None:
        return None
    neutral = str(Chem.MolToSmiles(sound, isomericSmiles=False))
    if growing.charged and rng.random() < growing.charged:
        return _ion(neutral, rng), neutral
    return neutral, neutral


def _ion(neutral: str, rng: np.random.Generator) -> str:
    """Add or remove a proton: the SMILES of the ion, or of the molecule itself where no atom can take or give one.

    A proton goes to a nitrogen or phosphorus with three bonds that is no amide's, and comes from an oxygen, sulphur or
    nitrogen.
    """
    molecule = Chem.MolFromSmiles(neutral)
    amide = {found[0] for found in molecule.GetSubstructMatches(_AMIDE)}
    takes = [
        atom.GetIdx()
        for atom in molecule.GetAtoms()
        if atom.GetAtomicNum() in (7, 15)
        and atom.GetTotalValence() == 3
        and atom.GetIdx() not in amide
        and not (atom.GetIsAromatic() and atom.GetTotalDegree() == 3)
    ]
    gives = [
        atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetAtomicNum() in (7, 8, 16) and atom.GetTotalNumHs()
    ]
    change = 1 if (rng.random() < 0.5 and takes) or not gives else -1
    sites = takes if change == 1 else gives
    if not sites:
        return neutral
    atom = molecule.GetAtomWithIdx(sites[int(rng.integers(len(sites)))])
    hydrogens = atom.GetTotalNumHs() + change
    atom.SetFormalCharge(change)
    atom.SetNoImplicit(True)
    atom.SetNumExplicitHs(hydrogens)
    if Chem.SanitizeMol(molecule, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return neutral
    return str(Chem.MolToSmiles(molecule, isomericSmiles=False))


_AMIDE = Chem.MolFromSmarts("[#7][#6,#16]=[#8,#16]")


class _Growth:
    """A growing molecule: heavy atoms, their free valences, and bonds with their orders."""

    def __init__(self, growing: Growing) -> None:
        self.growing = growing
        self.elements = [6]
        self.free = [4]
        self.bonds: dict[tuple[int, int], int] = {}

    def add_atom(self, element: int, rng: np.random.Generator) -> bool:
        """Bond a new atom to a random one with a free valence; False if there is none."""
        hosts = [i for i, free in enumerate(self.free) if free and self._may_bond(self.elements[i], element)]
        if not hosts:
            return False
        host = hosts[int(rng.integers(len(hosts)))]
        self.elements.append(element)
        self.free.append(VALENCE[element])
        self._bond(host, len(self.elements) - 1)
        return True

    def close_ring(self, rng: np.random.Generator) -> bool:
        """Bond a random pair of atoms that are two to five bonds apart; False if there is none."""
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
            if self.elements[i] not in MULTIPLY_BONDED or self.elements[j] not in MULTIPLY_BONDED:
                continue
            if 16 in (self.elements[i], self.elements[j]) and 6 not in (self.elements[i], self.elements[j]):
                continue  # sulphur is doubly bonded to carbon alone, but for its oxides
            way_round = self._distances(i, without=(i, j)).get(j)
            if way_round == 2:
                continue
            self._raise(i, j)
            if rng.random() < TRIPLE_CHANCE and self.free[i] and self.free[j] and way_round is None:
                self._raise(i, j)

    def oxidise(self, rng: np.random.Generator) -> None:
        """Make phosphines their oxides, and sulphides sulphoxides or sulphones, each with the chance of the preset."""
        for i, element in enumerate(list(self.elements)):
            single = all(order == 1 for pair, order in self.bonds.items() if i in pair)
            if element not in (15, 16) or not single or (element == 16 and self.free[i]):
                continue
            if any(self.elements[sum(pair) - i] == 16 for pair in self.bonds if i in pair):
                continue
            draw = rng.random() / self.growing.oxidised
            for _ in range(0 if draw >= 1 else 2 if element == 16 and draw < 0.5 else 1):
                self.elements.append(8)
                self.free.append(0)
                self.bonds[i, len(self.elements) - 1] = 2

    def sound(self) -> Chem.Mol | None:
        """The molecule, or None if RDKit cannot sanitise it."""
        molecule = Chem.RWMol()
        for element, free in zip(self.elements, self.free, strict=True):
            atom = Chem.Atom(element)
            if element == 15:  # otherwise RDKit fills valence three, or leaves oxidised atoms without hydrogen
                atom.SetNoImplicit(True)
                atom.SetNumExplicitHs(free)
            molecule.AddAtom(atom)
        orders = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}
        for (i, j), order in self.bonds.items():
            molecule.AddBond(i, j, orders[order])
        if Chem.SanitizeMol(molecule, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
            return None
        return molecule

    def _may_bond(self, first: int, second: int) -> bool:
        pair = (min(first, second), max(first, second))
        return 6 in pair or pair in self.growing.heteropairs

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
