from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from invented import invent

from raysweep.data.graphs import batches as batches_module
from raysweep.data.graphs.batches import Batch, GraphSet, epoch_order, load_graphs, neighbourhood, split_batches
from raysweep.data.graphs.neighbours import build_graphs
from raysweep.data.store.store import Store
from raysweep.data.structures import Structures

CUTOFF = 2.0
STRUCTURES = replace(invent(30, groups=3), residual=np.linspace(-1, 1, 30, dtype=np.float32))
GRAPHS = GraphSet(source=STRUCTURES, cutoff=CUTOFF)


@settings(max_examples=50, deadline=None)
@given(counts=st.lists(st.integers(1, 40), min_size=1, max_size=60), batch_atoms=st.integers(1, 200))
def test_batches_cover_the_order_and_hold_enough_atoms(counts: list[int], batch_atoms: int) -> None:
    n_atoms = np.array(counts, dtype=np.int64)
    order = np.random.default_rng(len(counts)).permutation(len(counts))
    batches = list(split_batches(n_atoms, order, batch_atoms))
    assert np.concatenate(batches).tolist() == order.tolist()
    for rows in batches[:-1]:
        assert n_atoms[rows].sum() >= batch_atoms
    for rows in batches:  # without its last structure, a batch is not full
        assert n_atoms[rows[:-1]].sum() < batch_atoms


def test_an_order_cut_in_pieces_is_cut_into_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    n_atoms = np.random.default_rng(0).integers(1, 40, size=500)
    order = np.random.default_rng(1).permutation(500)
    whole = [rows.tolist() for rows in split_batches(n_atoms, order, 60)]
    for at_once in (1, 7, 64, 499):
        monkeypatch.setattr(batches_module, "ORDER_AT_ONCE", at_once)
        assert [rows.tolist() for rows in split_batches(n_atoms, order, 60)] == whole


def test_batches_do_not_depend_on_how_many_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def made() -> list[Batch]:
        return [batch for _, batch in GRAPHS.batches(np.arange(30), 9, torch.device("cpu"), torch.float32)]

    expected = made()
    monkeypatch.setattr(batches_module, "ATOMS_AT_ONCE", 1)
    for one, other in zip(made(), expected, strict=True):
        assert torch.equal(one.senders, other.senders)
        assert torch.equal(one.structure, other.structure)


def test_an_epoch_is_a_permutation_that_seed_and_epoch_set() -> None:
    first = epoch_order(50, 3, 0)
    assert sorted(first.tolist()) == list(range(50))
    assert first.tolist() == epoch_order(50, 3, 0).tolist()
    assert len({tuple(epoch_order(50, seed, epoch).tolist()) for seed in (3, 4) for epoch in (0, 1)}) == 4


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 29), min_size=1, max_size=10))
def test_a_batch_is_its_structures_one_after_the_other(rows: list[int]) -> None:
    batch = GRAPHS.batch(np.array(rows, dtype=np.int64))
    alone = [GRAPHS.batch(np.array([row], dtype=np.int64)) for row in rows]
    for name in ("numbers", "positions", "forces", "n_atoms", "energy"):
        assert torch.equal(getattr(batch, name), torch.cat([getattr(part, name) for part in alone]))
    assert batch.structure.tolist() == [i for i, part in enumerate(alone) for _ in part.numbers]
    first = np.concatenate([[0], np.cumsum([len(part.numbers) for part in alone])])
    assert batch.senders.tolist() == [int(s) + int(first[i]) for i, part in enumerate(alone) for s in part.senders]
    assert torch.equal(batch.vectors(), torch.cat([part.vectors() for part in alone]))
    assert (batch.receivers.diff() >= 0).all()


@settings(max_examples=30, deadline=None)
@given(begin=st.integers(0, 29), batch_atoms=st.integers(1, 60))
def test_batches_gathered_together_are_those_gathered_one_by_one(begin: int, batch_atoms: int) -> None:
    order = epoch_order(30, 1, 0)[begin:]
    cuts = list(split_batches(STRUCTURES.n_atoms, order, batch_atoms))
    for (rows, batch), expected in zip(
        GRAPHS.batches(order, batch_atoms, torch.device("cpu"), torch.float64), cuts, strict=True
    ):
        assert rows.tolist() == expected.tolist()
        alone = GRAPHS.batch(expected).to(torch.device("cpu"), torch.float64)
        for name in ("numbers", "positions", "structure", "n_atoms", "senders", "receivers", "energy", "forces"):
            assert torch.equal(getattr(batch, name), getattr(alone, name)), name


def test_triplets_are_the_pairs_of_neighbours_of_each_atom() -> None:
    for row in range(30):
        receivers = GRAPHS.batch(np.array([row])).receivers.tolist()
        pairs = sum(a == b for i, a in enumerate(receivers) for j, b in enumerate(receivers) if i != j)
        assert GRAPHS.n_triplets[row] == GRAPHS.batch(np.array([row])).n_triplets == pairs


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 29), min_size=1, max_size=10))
def test_edges_stay_within_their_structure_and_below_the_cutoff(rows: list[int]) -> None:
    batch = GRAPHS.batch(np.array(rows, dtype=np.int64))
    assert torch.equal(batch.structure[batch.senders], batch.structure[batch.receivers])
    lengths = batch.vectors().norm(dim=1)
    assert len(lengths) == 0 or float(lengths.max()) < CUTOFF
    assert not (batch.senders == batch.receivers).any()


def test_a_periodic_batch_carries_the_shifts_of_its_edges() -> None:
    one = Structures(
        numbers=np.array([29], dtype=np.uint8),
        positions=np.zeros((1, 3), dtype=np.float32),
        forces=np.zeros((1, 3), dtype=np.float32),
        n_atoms=np.array([1], dtype=np.int64),
        energy=np.zeros(1),
        residual=np.zeros(1, dtype=np.float32),
        group=np.array(["cubic"], dtype=object),
        cell=(2.5 * np.eye(3, dtype=np.float32))[None],
        pbc=np.ones((1, 3), dtype=bool),
    )
    batch = GraphSet(source=one, cutoff=3.0).batch(np.zeros(2, dtype=np.int64))
    assert batch.shifts is not None
    assert batch.receivers.tolist() == batch.senders.tolist() == [0] * 6 + [1] * 6
    assert batch.vectors().norm(dim=1).tolist() == [2.5] * 12


def test_batches_of_a_store_hold_residuals_and_forces(real_store: Store) -> None:
    rows = real_store.subset(10)
    graphs = load_graphs(real_store, rows, 5.0)
    batch = graphs.batch(np.arange(10))
    structures = real_store.read(rows)
    assert len(graphs) == 10
    assert torch.equal(batch.energy, torch.from_numpy(structures.residual))
    assert torch.equal(batch.forces, torch.from_numpy(structures.forces))
    assert batch.n_atoms.tolist() == structures.n_atoms.tolist()
    assert float(batch.energy.abs().max()) < 20


def test_edges_per_atom_are_those_of_the_training_structures(real_store: Store) -> None:
    found = neighbourhood(real_store, 3.0)
    structures = real_store.read(real_store.subset(real_store.manifest.train_structures))
    edges = build_graphs(structures, 3.0)
    assert found["edges_counted_in"] == len(structures)
    assert found["edges_per_atom"] == pytest.approx(len(edges.senders) / len(structures.numbers))
    degree = np.bincount(edges.receivers + np.repeat(structures.offsets[:-1], edges.n_edges))
    assert found["triplets_per_atom"] == pytest.approx((degree * (degree - 1)).sum() / len(structures.numbers))


def test_moving_a_batch_keeps_integers_and_converts_floats() -> None:
    batch = GRAPHS.batch(np.arange(5)).to(torch.device("cpu"), torch.float64)
    assert isinstance(batch, Batch)
    assert batch.positions.dtype == batch.forces.dtype == batch.energy.dtype == torch.float64
    assert batch.numbers.dtype == batch.senders.dtype == torch.int64
    assert batch.shifts is None
    np.testing.assert_array_equal(batch.positions.numpy(), STRUCTURES.positions[: STRUCTURES.n_atoms[:5].sum()])


def test_an_empty_selection_is_an_empty_batch() -> None:
    batch = GRAPHS.batch(np.zeros(0, dtype=np.int64))
    assert batch.numbers.shape == (0,)
    assert batch.vectors().shape == (0, 3)
    assert pytest.approx(0.0) == float(batch.energy.sum())
