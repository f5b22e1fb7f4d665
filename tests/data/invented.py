"""Structures without chemistry, for tests of the store, the graphs and the batches."""

import numpy as np

from raysweep.data.structures import Structures


def invent(count: int, *, groups: int, seed: int = 0, periodic: bool = False) -> Structures:
    """Return `count` structures of 1 to 6 atoms with random content, dealt out to `groups` groups."""
    rng = np.random.default_rng(seed)
    n_atoms = rng.integers(1, 7, size=count)
    atoms = int(n_atoms.sum())
    return Structures(
        numbers=rng.choice(np.array([1, 6, 8], dtype=np.uint8), size=atoms),
        positions=rng.normal(size=(atoms, 3)).astype(np.float32),
        forces=rng.normal(size=(atoms, 3)).astype(np.float32),
        n_atoms=n_atoms,
        energy=rng.normal(size=count) * 100,
        residual=np.full(count, np.nan, dtype=np.float32),
        group=np.array([f"group {i % groups}" for i in range(count)], dtype=object),
        cell=rng.normal(size=(count, 3, 3)).astype(np.float32) if periodic else None,
        pbc=rng.random((count, 3)) < 0.5 if periodic else None,
        charge=rng.integers(-2, 3, size=count).astype(np.int8) if periodic else None,
        spin=rng.integers(1, 4, size=count).astype(np.int8) if periodic else None,
    )
