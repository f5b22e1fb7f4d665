"""A crystal is the same in every cell that repeats it: small ones, where atoms see their own images, and large.

The neighbours are ASE's.
"""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

from raysweep.data.graphs.batches import Batch
from tests.models.molecules import SIZES, force_field, relative

CELL = [[2.6, 0.0, 0.0], [0.5, 2.9, 0.0], [-0.3, 0.4, 3.3]]


def crystal(repeats):
    atoms = Atoms([6, 1], positions=[[0.1, 0.2, 0.3], [1.4, 1.2, 1.9]], cell=CELL, pbc=True).repeat(repeats)
    receivers, senders, shifts = neighbor_list("ijS", atoms, 5.0)
    order = np.argsort(receivers, kind="stable")
    return Batch(
        numbers=torch.tensor(atoms.numbers),
        positions=torch.tensor(atoms.positions),
        structure=torch.zeros(len(atoms), dtype=torch.int64),
        n_atoms=torch.tensor([len(atoms)], dtype=torch.float64),
        senders=torch.tensor(senders[order]),
        receivers=torch.tensor(receivers[order]),
        shifts=torch.tensor(shifts[order] @ atoms.cell.array),
        energy=torch.zeros(1, dtype=torch.float64),
        forces=torch.zeros(len(atoms), 3, dtype=torch.float64),
    )


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize("name", SIZES)
def test_a_repeated_cell_has_the_same_forces_and_so_many_times_the_energy(name, forces):
    model = force_field(name, forces)
    small, large = crystal((1, 1, 1)), crystal((2, 2, 1))
    assert (small.senders == small.receivers).any()
    once, four = model(small), model(large)
    assert relative(4 * once.energy, four.energy) < 1e-10
    assert relative(once.forces.repeat(4, 1), four.forces) < 1e-10
