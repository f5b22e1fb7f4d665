"""Isolated atoms, which give the reference energies of their elements and are excluded from training.

One among molecules would set the scale of the loss by the energy that binds all the others.
"""

from collections import Counter

import numpy as np
import numpy.typing as npt

from raysweep.core.errors import DataError
from raysweep.data.formats.fields.blocks import Block
from raysweep.data.graphs.closeness import nearest_images
from raysweep.data.reasons import ISOLATED_ATOM, ISOLATED_ION

APART_ANGSTROM = 8.0
"""An atom by itself in a periodic cell is isolated where its own images are further away: cells that are meant to hold
one isolated atom have 10 to 20 Å, crystals of one atom a cell at most 6."""


class References:
    """Collects the energies of isolated atoms: of each element the lowest of a neutral atom, its ground state's.

    Attributes:
        energies: eV by atomic number.
    """

    def __init__(self) -> None:
        self.energies: dict[int, float] = {}

    def without_isolated(self, part: Block, rejected: Counter[str]) -> Block | None:
        """Record the isolated atoms of a block; the other structures, or None if there are none."""
        alone = isolated(part)
        if not alone.any():
            return part
        found = part.structures.take(np.flatnonzero(alone))
        ions = np.zeros(len(found), dtype=bool) if found.charge is None else found.charge != 0
        for z, energy in zip(found.numbers[~ions].tolist(), found.energy[~ions].tolist(), strict=True):
            self.energies[z] = min(energy, self.energies.get(z, energy))
        for reason, count in ((ISOLATED_ATOM, int((~ions).sum())), (ISOLATED_ION, int(ions.sum()))):
            if count:
                rejected[reason] += count
        rows = np.flatnonzero(~alone)
        return part.take(rows) if len(rows) else None

    def add(self, energies: dict[int, float]) -> None:
        """Merge the energies of other isolated atoms."""
        for z, energy in energies.items():
            self.energies[z] = min(energy, self.energies.get(z, energy))


def isolated(part: Block) -> npt.NDArray[np.bool_]:
    """Whether each structure [S] is a single atom without near images, or labelled as isolated by the file."""
    alone: npt.NDArray[np.bool_] = part.structures.n_atoms == 1
    if part.structures.pbc is None:
        return alone
    periodic = np.flatnonzero(alone & part.structures.pbc.any(axis=1))
    if not len(periodic):
        return alone
    apart = nearest_images(part.structures.take(periodic)) > APART_ANGSTROM
    alone[periodic] = apart if part.isolated is None else apart | part.isolated[periodic]
    return alone


def refuse_only_isolated(sources: str, rejected: Counter[str]) -> None:
    """Refuse files that hold isolated atoms and nothing else.

    Raises:
        DataError: they did.
    """
    alone = rejected[ISOLATED_ATOM] + rejected[ISOLATED_ION]
    if alone and alone == sum(rejected.values()):
        raise DataError(
            f"{sources}: only isolated atoms ({alone}), whose energies are reference energies: there is nothing to "
            "train on. Import them together with the structures that they belong to"
        )
