"""A trained force field as a function of batches: network, reference energies, elements."""

import copy
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from raysweep.core.errors import ModelError
from raysweep.data.elements import SYMBOLS
from raysweep.data.store.store import composition_energies
from raysweep.models.base import ForceField
from raysweep.trained.batches import WideBatch
from raysweep.trained.record import ModelRecord
from raysweep.training.device.precision import weight_dtype
from raysweep.training.symmetry import frame_averaged

Precision = Literal["float32", "float64"]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The network's outputs for S structures with A atoms.

    Attributes:
        energy: [S] float64, eV, reference energies included.
        forces: [A, 3], eV/Å.
        virial: [S, 3, 3] float64, eV, the energy's derivative with respect to strain; None where it was not asked for
            or the forces are direct.
    """

    energy: torch.Tensor
    forces: torch.Tensor
    virial: torch.Tensor | None = None


class Evaluator:
    """A trained force field as a function of batches.

    Attributes:
        record: its description: architecture, knobs, elements, units, reference energies, origin.
        network: the network, in evaluation mode; its outputs lack the reference energies.
        name: the file that it was read from, for messages.
    """

    def __init__(self, record: ModelRecord, network: ForceField, name: str) -> None:
        self.record, self.network, self.name = record, network, name
        self._predict = frame_averaged(network) if record.frames else network
        weight = next(network.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self._known = np.isin(np.arange(len(SYMBOLS) + 1), record.elements)
        self._references = torch.from_numpy(composition_energies(record.energies, {})).to(self.device)

    @property
    def conservative(self) -> bool:
        """Whether forces are minus the gradient of the energy."""
        return self.record.forces == "conservative"

    @property
    def has_stress(self) -> bool:
        """Whether it predicts stress: forces and stress are then derivatives of one energy."""
        return self.conservative and not self.record.frames

    def check_elements(self, numbers: npt.NDArray[np.integer]) -> None:
        """Refuse atoms that the model was not trained on.

        Args:
            numbers: atomic numbers.

        Raises:
            ModelError: an element is none of the model's.
        """
        if not self._known.take(numbers, mode="clip").all():
            unknown = sorted(set(np.unique(numbers).tolist()) - set(self.record.elements))
            names = ", ".join(SYMBOLS[z] if 0 < z < len(SYMBOLS) else f"number {z}" for z in unknown)
            known = ", ".join(SYMBOLS[z] for z in self.record.elements)
            raise ModelError(
                f"{self.name}: the model knows {known}, and not {names}: it was trained without; leave such structures "
                "out, or train on data that has these elements"
            )

    def outputs(self, batch: WideBatch, *, virial: bool = False) -> Outputs:
        """Compute energies, forces and, on request, virials of a batch on the model's device.

        Args:
            batch: of known elements (`check_elements`), in the model's precision.
            virial: whether to compute it; only for models that have stress.
        """
        strain = None
        with torch.no_grad():
            if virial:
                prediction, strain = self.network.with_virial(batch)
            else:
                prediction = self._predict(batch)
            atoms = self._references.index_select(0, batch.numbers)
            references = torch.zeros_like(batch.energy).index_add_(0, batch.structure, atoms)
        return Outputs(energy=prediction.energy.double() + references, forces=prediction.forces, virial=strain)

    def to(self, device: str | torch.device | None = None, precision: Precision | None = None) -> Self:
        """Copy the model to a device, or to another precision."""
        dtype = self.dtype if precision is None else weight_dtype(precision)
        network = copy.deepcopy(self.network).to(device=device or self.device, dtype=dtype)
        return type(self)(self.record, network, self.name)
