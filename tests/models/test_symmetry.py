"""What each architecture promises under rotation, reflection, translation and permutation, in float64."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.molecules import EQUIVARIANT, SIZES, force_field, moved, random_batch, relative, rotation

MODES = ("direct", "conservative")


@pytest.mark.parametrize("forces", MODES)
@pytest.mark.parametrize("name", EQUIVARIANT)
@given(seed=st.integers(0, 10_000), reflect=st.booleans())
@settings(max_examples=5, deadline=None)
def test_energies_are_invariant_and_forces_turn_with_the_structure(name, forces, seed, reflect):
    model, batch, matrix = force_field(name, forces), random_batch(seed=seed), rotation(seed, reflect)
    before, after = model(batch), model(moved(batch, matrix))
    assert relative(after.energy, before.energy) < 1e-10
    assert relative(after.forces, before.forces @ matrix.T) < 1e-10
    assert before.forces.abs().max() > 1e-5


@pytest.mark.parametrize("forces", MODES)
@pytest.mark.parametrize("name", ["mpnn", "hybrid-mixed", "hybrid-free"])
def test_unconstrained_networks_break_rotation_measurably(name, forces):
    assert name not in EQUIVARIANT
    model, batch, matrix = force_field(name, forces), random_batch(), rotation(3, reflect=False)
    before, after = model(batch), model(moved(batch, matrix))
    assert relative(after.energy, before.energy) > 1e-3
    assert relative(after.forces, before.forces @ matrix.T) > 1e-3


@pytest.mark.parametrize("forces", MODES)
@pytest.mark.parametrize("name", SIZES)
def test_translation_changes_nothing(name, forces):
    model, batch = force_field(name, forces), random_batch()
    before = model(batch)
    after = model(moved(batch, torch.eye(3, dtype=torch.float64), torch.tensor([3.0, -7.0, 11.0], dtype=torch.float64)))
    assert relative(after.energy, before.energy) < 1e-10
    assert relative(after.forces, before.forces) < 1e-10


@pytest.mark.parametrize("forces", MODES)
@pytest.mark.parametrize("name", SIZES)
def test_the_order_of_atoms_does_not_matter(name, forces):
    model, batch = force_field(name, forces), random_batch(n_structures=1)
    order = torch.randperm(len(batch.numbers), generator=torch.Generator().manual_seed(1))
    place = torch.argsort(order)
    shuffled = replace(
        batch,
        numbers=batch.numbers[order],
        positions=batch.positions[order],
        senders=place[batch.senders],
        receivers=place[batch.receivers],
    )
    before, after = model(batch), model(shuffled)
    assert relative(after.energy, before.energy) < 1e-10
    assert relative(after.forces, before.forces[order]) < 1e-10


@pytest.mark.parametrize("name", SIZES)
def test_structures_of_a_batch_do_not_see_each_other(name):
    model, both, one = force_field(name, "conservative"), random_batch(n_structures=2), random_batch(n_structures=1)
    n = len(one.numbers)
    assert torch.equal(both.positions[:n], one.positions)
    assert relative(model(both).energy[:1], model(one).energy) < 1e-10
    assert relative(model(both).forces[:n], model(one).forces) < 1e-10
