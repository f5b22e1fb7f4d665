"""Batches without an edge: lone atoms, and atoms too far apart to see each other."""

from dataclasses import replace

import pytest
import torch

from raysweep.data.graphs.batches import Batch
from tests.models.molecules import EQUIVARIANT, SIZES, force_field, random_batch


def apart(n_structures, n_atoms):
    """Atoms that are fifty Å apart."""
    n, none = n_structures * n_atoms, torch.zeros(0, dtype=torch.int64)
    return Batch(
        numbers=torch.full((n,), 6), positions=50.0 * torch.arange(3.0 * n, dtype=torch.float64).reshape(n, 3),
        structure=torch.arange(n_structures).repeat_interleave(n_atoms), senders=none, receivers=none, shifts=None,
        n_atoms=torch.full((n_structures,), float(n_atoms), dtype=torch.float64),
        energy=torch.zeros(n_structures, dtype=torch.float64), forces=torch.zeros(n, 3, dtype=torch.float64),
    )  # fmt: skip


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize("label", sorted(SIZES))
def test_atoms_that_see_nobody_have_energies_and_no_forces(label, forces, training):
    model = force_field(label, forces).train(training)
    one = model(apart(1, 1)).energy.detach()
    periodic = replace(apart(2, 1), shifts=torch.zeros(0, 3, dtype=torch.float64))
    for batch in (apart(1, 1), apart(3, 1), apart(1, 2), periodic):
        prediction = model(batch)
        assert torch.allclose(prediction.energy, one * batch.n_atoms)
        if forces == "conservative" or label in EQUIVARIANT:  # a direct head that is free may push a lone atom
            assert not prediction.forces.any()
        if training:
            (prediction.energy.sum() + prediction.forces.square().sum()).backward()
            gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
            assert gradients
            assert all(gradient.isfinite().all() for gradient in gradients)


def joined(*batches):
    """One batch of several."""
    starts = [0, *torch.tensor([len(batch.numbers) for batch in batches]).cumsum(0).tolist()]
    counts = [0, *torch.tensor([len(batch.n_atoms) for batch in batches]).cumsum(0).tolist()]
    cat = {
        name: torch.cat([getattr(batch, name) for batch in batches])
        for name in ("numbers", "positions", "n_atoms", "energy", "forces")
    }
    for name, shifts in (("senders", starts), ("receivers", starts), ("structure", counts)):
        cat[name] = torch.cat([getattr(b, name) + shift for b, shift in zip(batches, shifts, strict=False)])
    return Batch(shifts=None, **cat)


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize("label", sorted(SIZES))
def test_a_mixed_batch_is_what_its_parts_are(label, forces):
    model = force_field(label, forces).eval()
    parts = [apart(1, 1), random_batch(1, seed=4), apart(1, 2), random_batch(2, seed=5), apart(1, 1)]
    whole, alone = model(joined(*parts)), [model(part) for part in parts]
    scale = float(whole.forces.detach().abs().max())
    for name in ("energy", "forces"):
        expected = torch.cat([getattr(prediction, name) for prediction in alone])
        assert torch.allclose(getattr(whole, name), expected, rtol=1e-10, atol=1e-10 * max(scale, 1.0))
    if forces == "conservative" or label in EQUIVARIANT:
        assert not whole.forces[0].any()
        assert not whole.forces[-1].any()
