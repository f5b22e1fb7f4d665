"""The loss: per-atom energy MAE plus mean L2 norm of the force error, each scaled by an RMS.

The loss of arXiv 2510.09768: targets scaled by the RMS of the training split, equal weights by default.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import nn

from raysweep.core.errors import SpaceError
from raysweep.data.graphs.batches import Batch
from raysweep.models.base import Prediction

Predictor = Callable[[Batch], Prediction]
"""A force field, or a wrapper of one."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Scales and weights of the loss.

    Attributes:
        rms_energy: eV/atom, RMS of the training split's energies per atom less reference energies.
        rms_force: eV/Å, RMS over the force components of the training split.
        energy_weight, force_weight: of the two scaled terms.
    """

    rms_energy: float
    rms_force: float
    energy_weight: float = 1.0
    force_weight: float = 1.0

    def total(self, energy_mae: torch.Tensor, force_l2: torch.Tensor) -> torch.Tensor:
        """Combine eV/atom and eV/Å into the dimensionless loss."""
        return self.energy_weight * energy_mae / self.rms_energy + self.force_weight * force_l2 / self.rms_force

    def of_part(self, structures: float, atoms: float) -> Self:
        """Weight the loss of a part of a batch, so that the losses of all parts sum to that of the batch.

        Args:
            structures: share of the batch's structures that are in the part.
            atoms: share of its atoms.
        """
        weights = {"energy_weight": self.energy_weight * structures, "force_weight": self.force_weight * atoms}
        return replace(self, **weights)

    def loss(self, prediction: Prediction, batch: Batch) -> torch.Tensor:
        """The loss of a batch: the mean over its structures (energy) and atoms (forces)."""
        energy_mae = ((prediction.energy - batch.energy).abs() / batch.n_atoms).mean()
        force_l2 = torch.linalg.vector_norm(prediction.forces - batch.forces, dim=1).mean()
        return self.total(energy_mae, force_l2)


def differentiate(loss: torch.Tensor, weights: Sequence[nn.Parameter]) -> None:
    """Accumulate the gradient of a loss in all of a model's weights.

    A plain `backward` also differentiates with respect to the positions, by which conservative forces are derivatives:
    second derivatives that nothing reads, up to a quarter of a step's time. The weights' gradients are the same to the
    bit.

    Raises:
        SpaceError: the loss depends on none of the weights.
    """
    if not loss.requires_grad:
        raise SpaceError("the loss depends on no trainable parameter of the network, so it cannot learn.")
    loss.backward(inputs=weights)  # type: ignore[no-untyped-call]


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Errors on a set of structures: loss (dimensionless), energy_mae (eV/atom), force_l2 (eV/Å)."""

    loss: float
    energy_mae: float
    force_l2: float


def evaluate(model: Predictor | None, batches: Iterable[Batch], objective: Objective) -> Errors:
    """Compute the errors of a model over batches; without a model those of reference energies and zero forces.

    A network must be in evaluation mode. Sums are taken in float64.
    """
    energy_sum = force_sum = 0.0
    n_structures = n_atoms = 0
    for batch in batches:
        energy, forces = batch.energy, batch.forces
        if model is not None:
            with torch.no_grad():
                prediction = model(batch)
            energy, forces = prediction.energy.detach() - energy, prediction.forces.detach() - forces
        energy_sum += float((energy.double().abs() / batch.n_atoms).sum())
        force_sum += float(torch.linalg.vector_norm(forces.double(), dim=1).sum())
        n_structures += len(energy)
        n_atoms += len(forces)
    energy_mae, force_l2 = energy_sum / n_structures, force_sum / n_atoms
    total = objective.total(torch.tensor(energy_mae, dtype=torch.float64), torch.tensor(force_l2, dtype=torch.float64))
    return Errors(loss=float(total), energy_mae=energy_mae, force_l2=force_l2)
