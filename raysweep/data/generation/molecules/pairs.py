"""Structures of a molecule with a partner: pushed together, or sharing a proton."""

from functools import cache

import numpy as np

from raysweep.data.generation.molecules.conformers import Conformers, Vectors, conformers
from raysweep.data.generation.molecules.deform import rotation
from raysweep.data.generation.molecules.motion import COLD, Ensemble, displace
from raysweep.data.generation.presets import Displacing
from raysweep.data.physics import RADII

CLOSENESS = (0.6, 1.3)
"""Range of the distance of the nearest atoms over the sum of their van der Waals radii."""
PARTNERS = ("O", "N", "C", "F", "C#N", "C=O", "CO", "O=C=O", "S", "Cl")
"""Closed shells, neutral, and too small to be grown, so that no pair puts a molecule on both sides of a split."""
ACCEPTORS = ("O", "N", "CO", "C=O", "C#N", "CN")
ACCEPTED_LENGTHS = {7: 1.02, 8: 0.97}
"""Å: of a hydrogen's new bond to nitrogen and oxygen."""
DONOR_ACCEPTOR = (2.4, 2.9)
"""Å: between the two heavy atoms of a transfer; SULPHUR_LONGER more from sulphur."""
SULPHUR_LONGER = 0.4
ORIENTATIONS = 16


def pair(molecule: Conformers, count: int, displacing: Displacing, rng: np.random.Generator) -> Ensemble:
    """Pair the molecule with one of PARTNERS, from random sides, at random orientations and distances.

    Distance: the nearest atoms are CLOSENESS times the sum of their van der Waals radii apart.
    """
    partner = _partner(PARTNERS[int(rng.integers(len(PARTNERS)))])
    numbers = np.concatenate([molecule.numbers, partner.numbers])
    reach = np.array([RADII[int(z)] for z in molecule.numbers])[:, None] + [RADII[int(z)] for z in partner.numbers]
    paired = []
    for _ in range(count):
        base = molecule.positions[int(rng.integers(len(molecule.positions)))]
        base = base - base[int(rng.integers(len(base)))]  # the atom that the partner approaches
        rotated = (partner.positions[0] - partner.positions[0].mean(axis=0)) @ rotation(
            rng.normal(size=3), rng.uniform(0, 2 * np.pi)
        ).T
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        distance = _contact(base, rotated, direction, rng.uniform(*CLOSENESS) * reach)
        both = np.concatenate([base, rotated + distance * direction])
        paired.append(displace(numbers, both, rng.uniform(*COLD), displacing.wavenumber, rng))
    return numbers, np.stack(paired)


def transfer(molecule: Conformers, count: int, displacing: Displacing, rng: np.random.Generator) -> Ensemble | None:
    """Move a proton from an oxygen, nitrogen or sulphur of the molecule towards an acceptor in line with it.

    Of 16 orientations of the acceptor about the line, the one with the largest distance between the molecules is taken.
    """
    ends = [(b.first, b.second) for b in molecule.bonds] + [(b.second, b.first) for b in molecule.bonds]
    donors = [(x, h) for x, h in ends if molecule.numbers[h] == 1 and molecule.numbers[x] in (7, 8, 16)]
    if not donors:
        return None
    partner = _partner(ACCEPTORS[int(rng.integers(len(ACCEPTORS)))])
    places = np.flatnonzero(np.isin(partner.numbers, list(ACCEPTED_LENGTHS)))
    numbers = np.concatenate([molecule.numbers, partner.numbers])
    moved = []
    for _ in range(count):
        base = molecule.positions[int(rng.integers(len(molecule.positions)))].copy()
        donor, proton = donors[int(rng.integers(len(donors)))]
        acceptor = int(places[int(rng.integers(len(places)))])
        line = base[proton] - base[donor]
        length = float(np.linalg.norm(line))
        line /= length
        apart = rng.uniform(*DONOR_ACCEPTOR) + (SULPHUR_LONGER if molecule.numbers[donor] == 16 else 0.0)
        others = _roomiest(base, partner.positions[0], acceptor, base[donor] + apart * line, rng)
        last = apart - ACCEPTED_LENGTHS[int(partner.numbers[acceptor])]
        base[proton] = base[donor] + (length + rng.uniform(0, 1) * (last - length)) * line
        both = np.concatenate([base, others])
        moved.append(displace(numbers, both, rng.uniform(*COLD), displacing.wavenumber, rng))
    return numbers, np.stack(moved)


@cache
def _partner(smiles: str) -> Conformers:
    found = conformers(smiles, 1, 0, any_field=True)
    assert not isinstance(found, str), smiles
    return found


def _contact(fixed: Vectors, moving: Vectors, direction: Vectors, apart: Vectors) -> float:
    """Distance of `moving` from `fixed` along a direction at which the first pair of atoms is `apart`.

    For a pair at difference d, |d + t u| = r has its larger root at t = -d.u + sqrt(r² - |d|² + (d.u)²).
    """
    difference = moving[None] - fixed[:, None]  # [n, m, 3]
    along = difference @ direction
    inside = apart**2 - (difference**2).sum(axis=2) + along**2
    return float(np.where(inside >= 0, np.sqrt(np.maximum(inside, 0)) - along, -np.inf).max())


def _roomiest(fixed: Vectors, partner: Vectors, atom: int, place: Vectors, rng: np.random.Generator) -> Vectors:
    """Place one atom of the partner, rotated so that its other atoms stay far from the fixed ones."""
    best, room = partner, -np.inf
    for _ in range(ORIENTATIONS):
        rotated = (partner - partner[atom]) @ rotation(rng.normal(size=3), rng.uniform(0, 2 * np.pi)).T + place
        others = np.delete(rotated, atom, axis=0)
        nearest = float(np.linalg.norm(others[:, None] - fixed[None], axis=2).min())
        if nearest > room:
            best, room = rotated, nearest
    return best
