"""Conservative forces are minus the slope of the energy; everything vanishes smoothly at the cutoff."""

from dataclasses import replace

import pytest
import torch

from tests.models.molecules import SIZES, force_field, random_batch


@pytest.mark.parametrize("name", SIZES)
def test_conservative_forces_equal_finite_differences(name):
    model, batch, h = force_field(name, "conservative"), random_batch(n_structures=2, seed=4), 1e-4
    forces = model(batch).forces.detach()
    worst = 0.0
    for atom, axis in ((0, 0), (2, 1), (len(batch.numbers) - 1, 2)):
        energies = []
        # Fourth-order central difference: error h⁴, far under the bar.
        for step in (-2 * h, -h, h, 2 * h):
            positions = batch.positions.clone()
            positions[atom, axis] += step
            energies.append(float(model(replace(batch, positions=positions)).energy.sum()))
        slope = (energies[0] - 8 * energies[1] + 8 * energies[2] - energies[3]) / (12 * h)
        worst = max(worst, abs(float(forces[atom, axis]) + slope))
    assert worst / float(forces.abs().max()) < 1e-6


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize("name", SIZES)
def test_an_atom_that_passes_the_cutoff_is_not_felt_as_a_jump(name, forces):
    model, batch = force_field(name, forces), random_batch(n_structures=1, seed=2)
    outcomes = []
    # So near that forces whose slope has a kink at the cutoff, as those of cosine cutoffs, do not differ either.
    for distance in (5.0 - 1e-7, 5.0 + 1e-7):
        positions = torch.tensor([[0.0, 0, 0], [1.1, 0, 0], [1.1, distance, 0]], dtype=torch.float64)
        gap = torch.cdist(positions, positions)
        i, j = torch.nonzero((gap < 5.2) & (gap > 0), as_tuple=True)
        three = replace(
            batch, numbers=torch.tensor([6, 1, 8]), positions=positions, structure=torch.zeros(3, dtype=torch.int64),
            n_atoms=torch.tensor([3.0], dtype=torch.float64), senders=j, receivers=i,
        )  # fmt: skip
        outcomes.append(model(three))
    assert torch.allclose(outcomes[0].energy, outcomes[1].energy, atol=1e-9)
    assert torch.allclose(outcomes[0].forces, outcomes[1].forces, atol=1e-7)


@pytest.mark.parametrize("forces", ["direct", "conservative"])
@pytest.mark.parametrize("name", SIZES)
def test_every_parameter_learns(name, forces):
    model, batch = force_field(name, forces).train(), random_batch()
    prediction = model(batch)
    (prediction.energy.square().sum() + prediction.forces.square().sum()).backward()
    idle = [key for key, weight in model.named_parameters() if weight.grad is None or not weight.grad.abs().max() > 0]
    assert idle == []


@pytest.mark.parametrize("name", SIZES)
def test_an_atom_without_neighbours_does_not_spoil_the_gradient(name):
    model, batch = force_field(name, "conservative").train(), random_batch(1)
    near, far = batch.positions, torch.full((1, 3), 50.0, dtype=torch.float64)
    lonely = replace(
        batch, numbers=torch.cat([batch.numbers, torch.tensor([6])]), positions=torch.cat([near, far]),
        structure=torch.cat([batch.structure, torch.tensor([1])]), n_atoms=torch.tensor([len(near), 1.0]),
    )  # fmt: skip
    prediction = model(lonely)
    (prediction.energy.square().sum() + prediction.forces.square().sum()).backward()
    assert torch.equal(prediction.forces[-1], torch.zeros(3, dtype=torch.float64))
    assert all(weight.grad.isfinite().all() for weight in model.parameters())
