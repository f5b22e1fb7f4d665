"""Gradients that are accumulated over parts of a batch are those of the whole batch."""

import numpy as np
import pytest
import torch

from raysweep.core.trial import SymmetrySpec, TrialSpec
from raysweep.training.cost.measure import Stopwatch
from raysweep.training.loop import train
from raysweep.training.trajectory import Trajectory

CPU = torch.device("cpu")


def with_parts(spec: TrialSpec, parts: int, **changes: object) -> TrialSpec:
    return TrialSpec(**{**dict(spec), "accumulate": parts, "precision": "float64", **changes})


def test_parts_are_batches_of_their_own_that_make_up_the_whole(spec, store):
    run = Trajectory(spec, store, CPU)
    rows, batch = run._cursor.read(0, 0)
    parts = batch.parts(3)
    assert len(parts) == 3
    assert sum(len(part.n_atoms) for part in parts) == len(rows)
    assert torch.equal(torch.cat([part.vectors() for part in parts]), batch.vectors())
    for part in parts:
        assert torch.equal(torch.bincount(part.structure).double(), part.n_atoms.double())
        assert int(part.receivers.max()) < len(part.numbers)
    atoms = [len(part.numbers) for part in parts]
    assert max(atoms) - min(atoms) <= 2 * int(batch.n_atoms.max())
    assert sum(part.n_triplets for part in parts) == batch.n_triplets
    assert len(batch.parts(10**4)) == len(rows)  # none is empty
    assert len(batch.parts(1)) == 1


@pytest.mark.parametrize("symmetry", [False, True])
def test_accumulated_gradients_are_those_of_the_whole_batch(spec, store, symmetry):
    changes = {"architecture": "mpnn", "size": {"width": 8}, "base_size": None, "forces": "direct"} if symmetry else {}
    if symmetry:
        changes["symmetry"] = SymmetrySpec(augment=True, loss_rotations=2)
    runs = [Trajectory(with_parts(spec, parts, **changes), store, CPU) for parts in (1, 3)]
    for run in runs:
        run.resume_training()
        for _ in range(3):
            run.step(Stopwatch(CPU, 0.0))
    one, three = runs
    assert three.progress.loss_sum == pytest.approx(one.progress.loss_sum, rel=1e-12)
    assert three.progress.norm_sum == pytest.approx(one.progress.norm_sum, rel=1e-12)
    for left, right in zip(one.model.parameters(), three.model.parameters(), strict=True):
        np.testing.assert_allclose(left.detach(), right.detach(), rtol=0, atol=1e-9)


def test_points_agree_and_ids_without_accumulation_are_as_before(spec, store):
    short = {"structures": 60, "data_budgets": (300.0,), "flops_budgets": ()}
    (whole,) = train(with_parts(spec, 1, **short), store, device="cpu")
    (parted,) = train(with_parts(spec, 4, **short), store, device="cpu")
    assert parted.loss == pytest.approx(whole.loss, rel=1e-9)
    assert (parted.data, parted.step) == (whole.data, whole.step)
    assert parted.flops == pytest.approx(whole.flops, rel=0.01)
    assert "accumulate" not in spec.model_dump(mode="json")
    assert with_parts(spec, 4).trial_id != with_parts(spec, 1).trial_id
    with pytest.raises(ValueError, match="compiled steps take whole batches"):
        with_parts(spec, 2, compile=True)
