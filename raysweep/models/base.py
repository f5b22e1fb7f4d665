"""The one interface of all force fields: a batch goes in, energies and forces come out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from raysweep.core.errors import SpaceError
from raysweep.data.graphs.batches import Batch
from raysweep.models.layers.blocks import NormKind, scatter_sum

ForceMode = Literal["direct", "conservative"]


class Size(BaseModel):
    """Knobs of every architecture; each architecture adds its own."""

    # Strict: otherwise 8, 8.0, "8" and true would be one network under four trial ids.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    width: int = Field(gt=0, le=2**16, description="channels per node; the knob that a ladder of sizes usually grows")
    depth: int = Field(default=3, gt=0, le=1000, description="message-passing layers")
    cutoff: float = Field(default=5.0, gt=0, description="atoms nearer than this exchange messages, Å")
    radial: int = Field(default=8, gt=0, le=10_000, description="radial basis functions")
    basis: Literal["bessel", "gaussian"] = Field(default="bessel", description="kind of the radial basis functions")
    norm: NormKind = Field(
        default="none",
        description="normalisation at the start of layers and readout: none, layer or rms",
    )
    neighbours: float = Field(
        default=12.0, gt=0, description="typical neighbours of an atom; sums over them are divided by its square root"
    )

    @property
    def equivariant(self) -> bool | None:
        """Whether this member is equivariant by construction; None where that does not depend on the knobs."""
        return None


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """The properties of the data that a network may use before training.

    Attributes:
        elements: atomic numbers that occur, ascending.
        scale: eV/Å, RMS force of the training split: the network's outputs times `scale` are forces in eV/Å, and
            energies in eV (for a length of 1 Å), so that one scale serves direct and conservative forces.
    """

    elements: tuple[int, ...]
    scale: float


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Energies [S] in eV, less reference energies, and forces [A, 3] in eV/Å."""

    energy: torch.Tensor
    forces: torch.Tensor


class ForceField(nn.Module, ABC):
    """A force field. An architecture implements `atoms`; this class makes energies, forces and units of it.

    It sees edge vectors only, so every architecture is invariant under translation and extensive by construction.

    Attributes:
        triplets: whether its cost grows with the pairs of edges that share an atom, not only with edges and atoms.
        compiles: whether `training.compile` can be true: its operations depend only on the shapes of a batch, never on
            its values, and torch's compiler compiles them correctly.
    """

    triplets: ClassVar[bool] = False
    compiles: ClassVar[bool] = True

    def __init__(self, size: Size, forces: ForceMode, dataset: DatasetInfo) -> None:
        super().__init__()
        self.size = size
        self.forces = forces
        self.dataset = dataset

    @abstractmethod
    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute each atom's energy [A] and, for direct forces, its force [A, 3], both dimensionless.

        Args:
            batch: the structures; their `positions` must not be used.
            vectors: [E, 3] in Å, from receiver to sender.
        """

    def rate_multipliers(self, base: Self) -> Mapping[str, float]:
        """Learning-rate multipliers, by name, of parameters whose shapes do not show their fan-in.

        Under muP a parameter's rate is multiplied by the base's fan-in over its own, read off their shapes. Those named
        here get the given multiplier. A network whose weights are stored as flat vectors has to name them.

        Args:
            base: the member of the family at which the rate was tuned.
        """
        return {}

    def forward(self, batch: Batch) -> Prediction:
        """Compute energies [S] (eV, less reference energies) and forces [A, 3] (eV/Å) of a batch."""
        if self.forces == "direct":
            atom_energies, forces = self.atoms(batch, batch.vectors())
            if forces is None or forces.dim() != 2 or forces.shape[1] != 3:
                raise self._shapes("direct forces", "[atoms, 3]", forces)
        else:
            atom_energies, forces = self._conservative(batch)
        if atom_energies.dim() != 1:  # [atoms, 1] would silently broadcast against the labels
            raise self._shapes("energies", "[atoms]", atom_energies)
        energy = scatter_sum(atom_energies.to(batch.energy.dtype), batch.structure, batch.n_atoms.shape[0])
        return Prediction(energy=energy * self.dataset.scale, forces=forces * self.dataset.scale)

    def _shapes(self, what: str, wanted: str, found: torch.Tensor | None) -> SpaceError:
        shape = "None" if found is None else list(found.shape)
        return SpaceError(f"{type(self).__name__}.atoms returned {shape} as {what}; expected shape {wanted}.")

    def _conservative(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        atom_energies, pull, _ = self._pulls(batch)
        return atom_energies, _forces_of(pull, batch)

    def with_virial(self, batch: Batch) -> tuple[Prediction, torch.Tensor]:
        """Compute the prediction of conservative forces, and virials [S, 3, 3] in eV.

        The virial is the derivative of the energy with respect to a homogeneous strain of positions and cell: the sum
        over edges of the vector times the energy's gradient in it, symmetric for energies that rotation leaves
        unchanged and symmetrised for all. Over the volume it is the stress.
        """
        assert self.forces == "conservative", "direct forces come with no strain derivative"
        atom_energies, pull, vectors = self._pulls(batch)
        n_structures = batch.n_atoms.shape[0]
        of_edges = (vectors.detach().unsqueeze(2) * pull.unsqueeze(1)).flatten(1).to(batch.energy.dtype)
        structure = batch.structure.index_select(0, batch.receivers)
        virial = scatter_sum(of_edges, structure, n_structures).view(-1, 3, 3)
        energy = scatter_sum(atom_energies.to(batch.energy.dtype), batch.structure, n_structures)
        scale = self.dataset.scale
        prediction = Prediction(energy=energy * scale, forces=_forces_of(pull, batch) * scale)
        return prediction, (virial + virial.transpose(1, 2)) * (0.5 * scale)

    def _pulls(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compute atoms' energies [A], the gradient of their sum in each edge vector [E, 3], and the vectors."""
        # The only one of torch's attention kernels with a second derivative.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            # `* 1.0` keeps the leaf out of the network: FlopCounterMode fails on leaves that need gradients.
            vectors = batch.vectors().detach().requires_grad_(True)
            atom_energies, _ = self.atoms(batch, vectors * 1.0)
            (pull,) = torch.autograd.grad(atom_energies.sum(), vectors, create_graph=self.training)
        if not self.training:
            atom_energies = atom_energies.detach()
        return atom_energies, pull, vectors


def _forces_of(pull: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Sum the energy's gradients in edge vectors [E, 3] to forces [A, 3]."""
    # The energy depends on x_sender - x_receiver: the sender feels minus the gradient, the receiver plus.
    n_atoms = batch.numbers.shape[0]
    return scatter_sum(pull, batch.receivers, n_atoms) - scatter_sum(pull, batch.senders, n_atoms)


@dataclass(frozen=True)
class Architecture:
    """An entry of the registry: a family of force fields.

    Attributes:
        network: the class, called as `network(size, forces, dataset)`.
        size: its knobs.
        equivariant: whether all members have invariant energies and equivariant forces under rotation and reflection
            by construction.
    """

    network: type[ForceField]
    size: type[Size]
    equivariant: bool

    def is_equivariant(self, size: Size) -> bool:
        """Whether the member of that size is equivariant by construction."""
        return self.equivariant if size.equivariant is None else size.equivariant
