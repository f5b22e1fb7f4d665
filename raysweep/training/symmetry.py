"""Rotational symmetry for families that are not equivariant by construction: augmentation, a loss, frames; its error.

Rotations are proper: they never mirror a structure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
import torch

from raysweep.core.errors import SpaceError
from raysweep.core.trial import SizeValue, SymmetrySpec
from raysweep.data.graphs.batches import Batch
from raysweep.models.base import Prediction
from raysweep.models.layers.blocks import scatter_sum
from raysweep.models.registry import architecture, check_size
from raysweep.training.objective import Objective, Predictor

_AUGMENT, _LOSS, _PROBE = 1, 2, 3
"""Random streams, so that no two uses of a seed draw the same numbers."""
FRAMES = 4
"""Passes of the network in an evaluation that averages over frames."""


def check_symmetry(name: str, size: Mapping[str, SizeValue], symmetry: SymmetrySpec) -> None:
    """Refuse augmentation, a symmetry loss or frames for a network that is equivariant by construction."""
    wanted = [key for key, value in symmetry.model_dump().items() if value and key != "loss_weight"]
    if wanted and architecture(name).is_equivariant(check_size(name, size)):
        raise SpaceError(
            f"architecture {name!r} is equivariant by construction: symmetry ({', '.join(wanted)}) would change "
            "nothing but the cost; leave it out."
        )


def epoch_rotations(n_structures: int, seed: int, epoch: int) -> npt.NDArray[np.float64]:
    """Draw a rotation for each structure of a subset in an epoch, [n_structures, 3, 3].

    It depends only on the seed, the epoch and the position in the subset, not on batches or on the size of the subset.
    """
    return _rotations([seed, epoch, _AUGMENT], n_structures)


def step_rotations(count: int, seed: int, step: int) -> npt.NDArray[np.float64]:
    """Draw the rotations [count, 3, 3] of a step's symmetry loss."""
    return _rotations([seed, step, _LOSS], count)


def _rotations(key: list[int], count: int) -> npt.NDArray[np.float64]:
    """Draw rotations uniformly on SO(3): normal quaternions, normalised (Shoemake 1992)."""
    q = np.random.default_rng(key).normal(size=(count, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def rotated(batch: Batch, rotations: torch.Tensor) -> Batch:
    """Rotate every structure of a batch: positions, shifts and labelled forces.

    Args:
        batch: S structures.
        rotations: [S, 3, 3], of each structure, or [3, 3], of all.
    """
    shifts = batch.shifts
    if shifts is not None:
        shifts = _rotate(shifts, rotations, batch.structure.index_select(0, batch.receivers))
    return replace(
        batch,
        positions=_rotate(batch.positions, rotations, batch.structure),
        shifts=shifts,
        forces=_rotate(batch.forces, rotations, batch.structure),
    )


def _rotate(vectors: torch.Tensor, rotations: torch.Tensor, structure: torch.Tensor) -> torch.Tensor:
    """Rotate vectors [n, 3] of the structures [n]. No matrix product: lower precisions would round the geometry."""
    matrices = rotations if rotations.dim() == 2 else rotations.index_select(0, structure)
    return (matrices * vectors.unsqueeze(1)).sum(dim=2)


@dataclass(frozen=True, kw_only=True)
class SymmetryObjective(Objective):
    """The loss plus `weight` times the deviation of predictions from equivariance.

    Attributes:
        predict: the network.
        rotations: [k, 3, 3]; each is a further forward pass over the batch.
        weight: of the mean deviation over the rotations, in the scales of the loss.
    """

    predict: Predictor
    rotations: torch.Tensor
    weight: float

    def loss(self, prediction: Prediction, batch: Batch) -> torch.Tensor:
        """The loss of a batch, given the prediction for it unrotated."""
        deviation = torch.stack([self.deviation(prediction, batch, r) for r in self.rotations]).mean()
        return super().loss(prediction, batch) + self.weight * deviation

    def deviation(self, prediction: Prediction, batch: Batch, rotation: torch.Tensor) -> torch.Tensor:
        """The loss if the prediction, rotated, were the label."""
        other = self.predict(rotated(batch, rotation))
        energy_mae = ((other.energy - prediction.energy).abs() / batch.n_atoms).mean()
        difference = _rotate(other.forces, rotation.T, batch.structure) - prediction.forces
        return self.total(energy_mae, torch.linalg.vector_norm(difference, dim=1).mean())


def step_objective(
    objective: Objective, symmetry: SymmetrySpec, predict: Predictor, seed: int, step: int, like: torch.Tensor
) -> Objective:
    """The objective of a step; its rotations have the device and type of `like`."""
    if not symmetry.loss_rotations:
        return objective
    rotations = torch.from_numpy(step_rotations(symmetry.loss_rotations, seed, step)).to(like)
    weight = symmetry.loss_weight
    return SymmetryObjective(**objective.__dict__, predict=predict, rotations=rotations, weight=weight)


def frame_averaged(predict: Predictor) -> Predictor:
    """Make a predictor that averages over the four proper frames of each structure's principal axes.

    Frame averaging, Puny et al., arXiv 2110.03336. The axes are those of the vectors between neighbours, which are all
    that a network sees: the same as those of the positions where all atoms are neighbours, and defined for periodic
    structures. Energies become invariant under rotation and forces equivariant, in linear and planar structures too.
    Frames are constants where forces are gradients. Where two moments other than 0 are equal (an exactly symmetric
    top), the axes in their plane are arbitrary, and the average is not invariant.
    """

    def averaged(batch: Batch) -> Prediction:
        axes = principal_axes(batch)
        predictions = []
        for signs in product((1.0, -1.0), repeat=2):
            frame = axes * axes.new_tensor([signs[0], signs[1], signs[0] * signs[1]])
            out = predict(rotated(batch, frame.transpose(1, 2)))
            predictions.append((out.energy, _rotate(out.forces, frame, batch.structure)))
        energies, forces = zip(*predictions, strict=True)
        return Prediction(energy=torch.stack(energies).mean(dim=0), forces=torch.stack(forces).mean(dim=0))

    return averaged


def principal_axes(batch: Batch) -> torch.Tensor:
    """The principal axes of each structure as the columns of a rotation [S, 3, 3], moments ascending."""
    vectors = batch.vectors().detach().double()
    outer = (vectors.unsqueeze(2) * vectors.unsqueeze(1)).flatten(1)
    edge_structure = batch.structure.index_select(0, batch.receivers)
    covariance = scatter_sum(outer, edge_structure, len(batch.n_atoms)).view(-1, 3, 3)
    axes = torch.linalg.eigh(covariance).eigenvectors
    last = torch.linalg.cross(axes[:, :, 0], axes[:, :, 1], dim=1)
    return torch.stack([axes[:, :, 0], axes[:, :, 1], last], dim=2).to(batch.positions)


def equivariance_error(predict: Predictor, batch: Batch) -> float | None:
    """Compute ‖F(R x) - R F(x)‖ / ‖F(x)‖ over all atoms of a batch for one rotation; None if all forces are 0."""
    rotation = torch.from_numpy(_rotations([_PROBE], 1)[0]).to(batch.positions)
    with torch.no_grad():
        expected = _rotate(predict(batch).forces.detach(), rotation, batch.structure).double()
        found = predict(rotated(batch, rotation)).forces.detach().double()
    scale = float(torch.linalg.vector_norm(expected))
    return float(torch.linalg.vector_norm(found - expected)) / scale if scale else None
