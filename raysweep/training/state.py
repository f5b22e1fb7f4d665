"""The state of a trajectory: its progress, and snapshots from which it continues bit for bit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn

from raysweep.training.hidden_state import HiddenState
from raysweep.training.optimizers import Optimizer


@dataclass(kw_only=True)
class TrainingProgress:
    """Counts and sums over the steps so far, on the current path.

    Attributes:
        epoch: completed passes over the subset.
        visited: structures visited in the current epoch.
        step: optimizer steps.
        structures, atoms, edges, triplets: seen in training; floats, since totals exceed int64.
        seconds: of the device.
        loss_sum, norm_sum: losses and gradient norms since the last point.
        steps_since_point: steps since the last point.
        atoms_at_point, seconds_at_point: as they were at the last point.
    """

    epoch: int = 0
    visited: int = 0
    step: int = 0
    structures: float = 0.0
    atoms: float = 0.0
    edges: float = 0.0
    triplets: float = 0.0
    seconds: float = 0.0
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    steps_since_point: int = 0
    atoms_at_point: float = 0.0
    seconds_at_point: float = 0.0

    def since_here(self) -> "TrainingProgress":
        """A copy whose sums since the last point restart here."""
        return replace(
            self,
            loss_sum=0.0,
            norm_sum=0.0,
            steps_since_point=0,
            atoms_at_point=self.atoms,
            seconds_at_point=self.seconds,
        )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A path of a trajectory at some step: tensors by name, and plain numbers."""

    tensors: Mapping[str, torch.Tensor]
    numbers: Mapping[str, object]


class ModelState:
    """Takes and restores snapshots of a trajectory's network and optimizer."""

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self._model, self._optimizer, self._hidden = model, optimizer, HiddenState(model)

    def snapshot(self, progress: TrainingProgress) -> Snapshot:
        """Copy weights and optimizer state, with `progress` as the position that they belong to."""
        state = self._optimizer.state()
        tensors = {f"model.{name}": value.clone() for name, value in self._model.state_dict().items()}
        tensors |= {f"optimizer.{name}": value.clone() for name, value in state["tensors"].items()}
        tensors |= {f"kept.{name}": value for name, value in self._hidden.tensors().items()}
        numbers = {"progress": asdict(progress), "groups": state["groups"], "train_mode": state["train_mode"]}
        return Snapshot(tensors=tensors, numbers={**numbers, "kept": self._hidden.numbers()})

    def restore(self, snapshot: Snapshot) -> TrainingProgress:
        """Load a snapshot of this trajectory, and return the progress that it was taken with."""
        parts: dict[str, dict[str, torch.Tensor]] = {"model": {}, "optimizer": {}, "kept": {}}
        for name, value in snapshot.tensors.items():
            part, key = name.split(".", 1)
            parts[part][key] = value
        numbers = dict(snapshot.numbers)
        self._model.load_state_dict(parts["model"])
        self._hidden.load(parts["kept"], numbers.get("kept", {}))  # type: ignore[arg-type]
        self._optimizer.load(
            {"tensors": parts["optimizer"], "groups": numbers["groups"], "train_mode": bool(numbers["train_mode"])}  # type: ignore[typeddict-item]
        )
        return TrainingProgress(**numbers["progress"])  # type: ignore[arg-type]
