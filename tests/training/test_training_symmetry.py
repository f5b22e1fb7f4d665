"""Augmentation, symmetry loss and frames, for families that are not equivariant by construction."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from raysweep.core.errors import SpaceError
from raysweep.core.points import TIMED
from raysweep.core.trial import SymmetrySpec
from raysweep.training.cost.flops import FlopMeter
from raysweep.training.loop import measure, train
from raysweep.training.objective import Objective
from raysweep.training.symmetry import (
    check_symmetry,
    epoch_rotations,
    equivariance_error,
    frame_averaged,
    rotated,
    step_objective,
)
from raysweep.training.trajectory import Trajectory
from tests.models.molecules import force_field, moved, random_batch, relative, rotation

OBJECTIVE = Objective(rms_energy=1.0, rms_force=1.0)
MODES = ["direct", "conservative"]


def mpnn(spec, **symmetry):
    update = {"architecture": "mpnn", "size": {"width": 8, "depth": 1}, "base_size": None, "forces": "direct"}
    update |= {"data_budgets": (300.0, 900.0), "flops_budgets": (), "symmetry": SymmetrySpec(**symmetry)}
    return spec.model_copy(update=update)


def test_rotations_are_proper_and_depend_on_seed_epoch_and_place_alone():
    few, many = epoch_rotations(5, 3, 1), epoch_rotations(9, 3, 1)
    assert np.array_equal(few, many[:5])
    assert np.allclose(many @ many.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(many), 1)
    assert not np.allclose(few, epoch_rotations(5, 3, 2))
    assert not np.allclose(few, epoch_rotations(5, 4, 1))
    # Uniform on SO(3): the mean of a uniform rotation is 0, and its trace has variance 1 and mean 0.
    traces = np.trace(epoch_rotations(20_000, 0, 0), axis1=1, axis2=2)
    assert abs(traces.mean()) < 0.03
    assert traces.var() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("forces", MODES)
@pytest.mark.parametrize("name", ["egnn", "tensor-l2"])
def test_an_equivariant_network_sees_neither_turned_structures_nor_frames(name, forces):
    model, batch = force_field(name, forces), random_batch()
    matrices = torch.from_numpy(epoch_rotations(3, 0, 0))
    plain, after, framed = model(batch), model(rotated(batch, matrices)), frame_averaged(model)(batch)
    assert relative(after.energy, plain.energy) < 1e-10
    assert relative(after.forces, (matrices[batch.structure] @ plain.forces.unsqueeze(2)).squeeze(2)) < 1e-10
    assert relative(framed.energy, plain.energy) < 1e-10
    assert relative(framed.forces, plain.forces) < 1e-10
    assert equivariance_error(model, batch) < 1e-10
    loss = OBJECTIVE.loss(turned_prediction := model(rotated(batch, matrices)), rotated(batch, matrices))
    assert loss.item() == pytest.approx(OBJECTIVE.loss(plain, batch).item(), rel=1e-10)
    assert turned_prediction.energy.shape == (3,)


def line(batch, n=4):
    """The first n atoms of a batch as a chain along one direction."""
    along = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    i, j = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    apart = i != j
    return replace(
        batch,
        numbers=batch.numbers[:n],
        positions=torch.tensor([0.0, 1.1, 2.3, 3.2], dtype=torch.float64)[:n, None] * along,
        structure=torch.zeros(n, dtype=torch.int64),
        n_atoms=torch.tensor([float(n)], dtype=torch.float64),
        receivers=i[apart],
        senders=j[apart],
        energy=batch.energy[:1],
        forces=batch.forces[:n],
    )


@pytest.mark.parametrize("forces", MODES)
@pytest.mark.parametrize("shape", ["molecules", "line", "plane"])
def test_frames_make_mpnn_invariant_and_equivariant(forces, shape):
    model, batch, matrix = force_field("mpnn", forces), random_batch(), rotation(5, reflect=False)
    if shape == "line":
        batch = line(batch)
    if shape == "plane":
        batch = replace(batch, positions=batch.positions * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    framed = frame_averaged(model)
    before, after = framed(batch), framed(moved(batch, matrix))
    assert relative(after.energy, before.energy) < 1e-8
    assert relative(after.forces, before.forces @ matrix.T) < 1e-8
    assert equivariance_error(framed, batch) < 1e-8
    assert equivariance_error(model, batch) > 1e-3


@pytest.mark.parametrize("forces", MODES)
def test_the_symmetry_loss_is_nought_for_egnn_and_the_turned_deviation_for_mpnn(forces):
    batch, symmetry = random_batch(), SymmetrySpec(loss_rotations=2, loss_weight=0.5)
    for name in ("egnn", "mpnn"):
        model = force_field(name, forces)
        objective = step_objective(OBJECTIVE, symmetry, model, 0, 7, batch.positions)
        prediction = model(batch)
        extra = (objective.loss(prediction, batch) - OBJECTIVE.loss(prediction, batch)).item()
        by_hand = []
        for matrix in objective.rotations:
            other = model(moved(batch, matrix))
            energy = ((other.energy - prediction.energy).abs() / batch.n_atoms).mean()
            by_hand.append((energy + (other.forces - prediction.forces @ matrix.T).norm(dim=1).mean()).item())
        assert extra == pytest.approx(0.5 * np.mean(by_hand), abs=1e-10)
        assert extra < 1e-9 if name == "egnn" else extra > 1e-2


def test_the_symmetry_loss_is_paid_for(spec, store):
    plain, extra = (measure(mpnn(spec, **s), store) for s in ({}, {"loss_rotations": 2}))
    assert 2.7 < extra.flops_per_edge / plain.flops_per_edge < 3.3
    run = Trajectory(mpnn(spec, loss_rotations=2), store, torch.device("cpu"))
    batch = run.graphs.batch(np.arange(40, 52))
    with FlopMeter() as meter:
        step_objective(
            run.objective, run.spec.symmetry, run.model, 1, 0, batch.positions
        ).loss(run.model(batch), batch).backward()  # fmt: skip
    assert run.cost.flops(1, 12, len(batch.numbers), len(batch.senders)) == pytest.approx(meter.total, rel=1e-3)


@pytest.mark.parametrize("symmetry", [{"augment": True}, {"loss_rotations": 1}, {"frames": True}])
def test_each_knob_trains_with_the_same_bits_when_stopped_and_changes_what_is_measured(spec, store, symmetry, tmp_path):
    def but_timed(points):
        return [replace(point, **dict.fromkeys(TIMED)) for point in points]

    trial = mpnn(spec, **symmetry)
    whole = but_timed(train(trial, store, device="cpu"))
    first = train(trial, store, device="cpu", checkpoints=str(tmp_path))
    next(first)
    first.close()
    assert but_timed(train(trial, store, device="cpu", checkpoints=str(tmp_path))) == whole
    plain = list(train(mpnn(spec), store, device="cpu"))
    assert plain[-1].loss != whole[-1].loss
    assert plain[-1].equivariance_error > 1e-3
    if "frames" in symmetry:
        assert whole[-1].equivariance_error < 1e-4
        assert whole[-1].train_loss == plain[-1].train_loss


def test_symmetry_for_an_equivariant_architecture_is_refused(spec, store):
    with pytest.raises(SpaceError, match=r"'egnn' is equivariant .* \(frames\)"):
        check_symmetry("egnn", {"width": 8}, SymmetrySpec(frames=True))
    with pytest.raises(SpaceError, match="'tensor' is equivariant"):
        next(train(spec.model_copy(update={"symmetry": SymmetrySpec(augment=True)}), store, device="cpu"))
    check_symmetry("egnn", {"width": 8}, SymmetrySpec())
    with pytest.raises(ValidationError, match="loss_rotations is 0"):
        SymmetrySpec(loss_weight=2.0)
