"""Structures with one bond rotated or stretched."""

import numpy as np
import numpy.typing as npt

from raysweep.data.generation.molecules.conformers import Bond, Conformers, Vectors
from raysweep.data.generation.molecules.motion import COLD, Ensemble, displace
from raysweep.data.generation.presets import Displacing

STRETCHES = (0.75, 1.8)
"""Range of a stretched bond's length over its own."""


def scan(molecule: Conformers, count: int, displacing: Displacing, rng: np.random.Generator) -> Ensemble | None:
    """Scan the full rotation about a single bond that is in no ring and has further atoms at each end."""
    degree = np.bincount([end for bond in molecule.bonds for end in (bond.first, bond.second)])
    turning = [b for b in molecule.bonds if b.single and not b.in_ring and min(degree[b.first], degree[b.second]) > 1]
    if not turning:
        return None
    bond = turning[int(rng.integers(len(turning)))]
    base, side = molecule.positions[int(rng.integers(len(molecule.positions)))], _side(molecule, bond)
    axis = base[bond.second] - base[bond.first]
    start = rng.uniform(0, 2 * np.pi)
    rotated = []
    for angle in start + 2 * np.pi * np.arange(count) / count:
        moved = base.copy()
        moved[side] = (base[side] - base[bond.first]) @ rotation(axis, angle).T + base[bond.first]
        rotated.append(displace(molecule.numbers, moved, rng.uniform(*COLD), displacing.wavenumber, rng))
    return molecule.numbers, np.stack(rotated)


def stretch(molecule: Conformers, count: int, displacing: Displacing, rng: np.random.Generator) -> Ensemble | None:
    """Stretch or compress one bond that is in no ring, in each structure; both sides of it stay rigid."""
    bonds = [bond for bond in molecule.bonds if not bond.in_ring]
    if not bonds:
        return None
    stretched = []
    for _ in range(count):
        bond = bonds[int(rng.integers(len(bonds)))]
        moved = molecule.positions[int(rng.integers(len(molecule.positions)))].copy()
        axis = moved[bond.second] - moved[bond.first]
        moved[_side(molecule, bond)] += (rng.uniform(*STRETCHES) - 1) * axis
        stretched.append(displace(molecule.numbers, moved, rng.uniform(*COLD), displacing.wavenumber, rng))
    return molecule.numbers, np.stack(stretched)


def rotation(axis: Vectors, angle: float) -> Vectors:
    """Rotation matrix about an axis (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix: Vectors = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix


def _side(molecule: Conformers, bond: Bond) -> npt.NDArray[np.int64]:
    """The atoms on the second atom's side of a bond that is in no ring."""
    found, queue = {bond.second}, [bond.second]
    while queue:
        here = queue.pop()
        for other in molecule.bonds:
            ends = (other.first, other.second)
            if here in ends and other != bond:
                there = sum(ends) - here
                if there not in found:
                    found.add(there)
                    queue.append(there)
    return np.array(sorted(found))
