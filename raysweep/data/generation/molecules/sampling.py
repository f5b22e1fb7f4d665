"""The kinds of structures sampled from a molecule's conformers: near equilibrium, far from it, and in pairs.

| kind | structures |
|---|---|
| thermal | each atom moved as a classical harmonic oscillator of one frequency, independently |
| md | frames of Langevin dynamics under the molecule's force field: motions of atoms belong together |
| torsion | a scan: one bond that turns freely, in even steps over the circle, then thermal motion |
| stretch | a bond that is in no ring, at 0.75 to 1.8 times its length, then thermal motion |
| pair | the molecule and a small partner, in random orientations, pushed together to 0.6 to 1.3 of their radii's sums |
| transfer | a proton on its way from the molecule to a partner in line, or back: a reaction |

All return float32 positions, and all are functions of a random generator. Charge is conserved: partners are neutral.
"""

from collections.abc import Callable, Mapping

import numpy as np

from raysweep.data.generation.molecules.conformers import Conformers
from raysweep.data.generation.molecules.deform import scan, stretch
from raysweep.data.generation.molecules.motion import Ensemble, dynamics, thermal
from raysweep.data.generation.molecules.pairs import pair, transfer
from raysweep.data.generation.presets import Displacing, Kind

_MAKERS: dict[Kind, Callable[[Conformers, int, Displacing, np.random.Generator], Ensemble | None]] = {
    "thermal": thermal,
    "md": dynamics,
    "torsion": scan,
    "stretch": stretch,
    "pair": pair,
    "transfer": transfer,
}


def sample(
    kinds: Mapping[Kind, float], molecule: Conformers, displacing: Displacing, rng: np.random.Generator
) -> list[Ensemble]:
    """Sample the structures of a molecule; a kind that needs a bond or proton it lacks gives thermal ones instead."""
    wanted = displacing.structures_per_molecule
    if list(kinds) == ["thermal"]:
        return [thermal(molecule, wanted, displacing, rng)]
    counts = dict(zip(kinds, rng.multinomial(wanted, list(kinds.values())).tolist(), strict=True))
    found: list[Ensemble] = []
    for kind, make in _MAKERS.items():
        if counts.get(kind):
            ensemble = make(molecule, counts[kind], displacing, rng)
            found.append(thermal(molecule, counts[kind], displacing, rng) if ensemble is None else ensemble)
    return found
