from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st
from invented import invent

from raysweep.core.errors import DataError
from raysweep.data.graphs.neighbours import DENSE_ATOMS, build_graphs
from raysweep.data.structures import Structures

CUTOFF = 3.0
NO_CELL = np.zeros((3, 3))


def from_ase(many: list[Atoms]) -> Structures:
    count, atoms = len(many), sum(len(a) for a in many)
    return Structures(
        numbers=np.concatenate([a.numbers for a in many]).astype(np.uint8),
        positions=np.concatenate([a.positions for a in many]).astype(np.float32),
        forces=np.zeros((atoms, 3), dtype=np.float32),
        n_atoms=np.array([len(a) for a in many], dtype=np.int64),
        energy=np.zeros(count),
        residual=np.zeros(count, dtype=np.float32),
        group=np.array(["g"] * count, dtype=object),
        cell=np.stack([a.cell.array for a in many]).astype(np.float32),
        pbc=np.stack([a.pbc for a in many]),
    )


def expected_edges(atoms: Atoms, cutoff: float) -> list[tuple[int, int, tuple[float, ...]]]:
    """Return (receiver, sender, vector from receiver to sender) of ASE's neighbour list, sorted."""
    receivers, senders, vectors = neighbor_list("ijD", atoms, cutoff)
    return _sorted(receivers, senders, vectors)


def found_edges(structures: Structures, cutoff: float) -> list[list[tuple[int, int, tuple[float, ...]]]]:
    graphs = build_graphs(structures, cutoff)
    edges = np.concatenate([[0], np.cumsum(graphs.n_edges)])
    result = []
    for i in range(len(structures)):
        mine = slice(edges[i], edges[i + 1])
        positions = structures.positions[structures.offsets[i] : structures.offsets[i + 1]].astype(np.float64)
        receivers, senders = graphs.receivers[mine], graphs.senders[mine]
        vectors = positions[senders] - positions[receivers]
        if graphs.shifts is not None:
            vectors = vectors + graphs.shifts[mine]
        assert (np.diff(receivers) >= 0).all()
        result.append(_sorted(receivers, senders, vectors))
    return result


def _sorted(
    receivers: np.ndarray, senders: np.ndarray, vectors: np.ndarray
) -> list[tuple[int, int, tuple[float, ...]]]:
    rounded = np.round(vectors + 1e-5, 3) + 0.0  # off the ties: multiples of 1/256 fall on them
    return sorted(zip(receivers.tolist(), senders.tolist(), map(tuple, rounded.tolist()), strict=True))


def _on_grid(atoms: Atoms, seed: int) -> Atoms:
    """Displace, and round to multiples of 1/256 Å, so that float32 holds positions and cell exactly."""
    atoms.rattle(0.1, seed=seed)
    atoms.set_cell(np.round(atoms.cell.array * 256) / 256)
    atoms.set_positions(np.round(atoms.positions * 256) / 256)
    return atoms


def test_isolated_molecules_have_the_edges_that_ase_finds() -> None:
    many = [_on_grid(molecule(name), seed) for seed, name in enumerate(["H2O", "C6H6", "CH3CH2OH", "isobutane"])]
    structures = replace(from_ase(many), cell=None, pbc=None)
    found = found_edges(structures, CUTOFF)
    assert found == [expected_edges(atoms, CUTOFF) for atoms in many]
    assert len(found[0]) == 6
    assert build_graphs(structures, CUTOFF).shifts is None


def test_periodic_crystals_have_the_edges_that_ase_finds() -> None:
    """Cells smaller than the cutoff, so that atoms see several images of one another and of themselves."""
    many = [
        _on_grid(bulk("Al", "fcc", a=4.05), 0),
        _on_grid(bulk("NaCl", "rocksalt", a=5.64), 1),
        _on_grid(bulk("Ti", "hcp", a=2.95, c=4.68), 2),
        _on_grid(bulk("Si", "diamond", a=5.43, cubic=True), 3),
    ]
    for cutoff in (3.5, 6.0):
        found = found_edges(from_ase(many), cutoff)
        assert found == [expected_edges(atoms, cutoff) for atoms in many]
        assert all(len(edges) > 4 for edges in found)


def test_isolated_and_periodic_structures_may_stand_together() -> None:
    many = [_on_grid(molecule("CH4"), 0), _on_grid(bulk("Cu", "fcc", a=3.6), 1), _on_grid(molecule("NH3"), 2)]
    assert found_edges(from_ase(many), 4.0) == [expected_edges(atoms, 4.0) for atoms in many]


@pytest.mark.parametrize("pbc", list(product([True, False], repeat=3)))
def test_structures_periodic_along_some_vectors_have_the_edges_that_ase_finds(pbc: tuple[bool, bool, bool]) -> None:
    """Skewed cells, atoms outside of them, and vectors of no length along which nothing is repeated."""
    rng = np.random.default_rng(1)
    many = []
    for without in (False, False, True):
        cell = np.round((4 * np.eye(3) + 0.6 * rng.normal(size=(3, 3))) * 256) / 256
        if without:
            cell[~np.array(pbc)] = 0
        many.append(Atoms("Cu6", np.round(6 * rng.random((6, 3)) * 256) / 256, cell=cell, pbc=pbc))
    for cutoff in (2.5, 5.0):
        found = found_edges(from_ase(many), cutoff)
        assert found == [expected_edges(atoms, cutoff) for atoms in many]
        assert sum(map(len, found)) > 4


def test_a_structure_periodic_along_a_vector_of_no_length_is_refused_with_its_number() -> None:
    chain = Atoms("Cu", cell=[0, 0, 0])
    chain.pbc = [True, False, False]
    with pytest.raises(DataError, match=r"structure 1: periodic along \[True, False, False\] .* no length"):
        build_graphs(from_ase([molecule("CH4"), chain]), CUTOFF)


def test_large_isolated_structures_have_the_edges_of_small_ones() -> None:
    """Above `DENSE_ATOMS` another way is taken."""
    rng = np.random.default_rng(2)
    many = [Atoms(f"C{n}", rng.random((n, 3)) * (8.0 * n) ** (1 / 3)) for n in (40, DENSE_ATOMS + 1, 3)]
    structures = replace(from_ase(many), cell=None, pbc=None)
    assert found_edges(structures, 4.0) == [
        expected_edges(Atoms(a.numbers, p), 4.0) for a, p in _rounded(structures, many)
    ]


def _rounded(structures: Structures, many: list[Atoms]) -> list[tuple[Atoms, np.ndarray]]:
    parts = np.split(structures.positions.astype(np.float64), structures.offsets[1:-1])
    return list(zip(many, parts, strict=True))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cutoff=st.floats(0.3, 4.0))
def test_edges_are_all_ordered_pairs_below_the_cutoff(seed: int, cutoff: float) -> None:
    structures = invent(8, groups=2, seed=seed)
    graphs = build_graphs(structures, cutoff)
    edges = np.concatenate([[0], np.cumsum(graphs.n_edges)])
    for i in range(8):
        positions = structures.positions[structures.offsets[i] : structures.offsets[i + 1]].astype(np.float64)
        distances = np.linalg.norm(positions[:, None] - positions, axis=-1)
        near = (distances < cutoff) & ~np.eye(len(positions), dtype=bool)
        receivers, senders = np.nonzero(near)
        assert graphs.receivers[edges[i] : edges[i + 1]].tolist() == receivers.tolist()
        assert graphs.senders[edges[i] : edges[i + 1]].tolist() == senders.tolist()
