"""`hybrid`: cheap layers on scalars and high-order layers on tensors, in any order.

Which layers benefit from high order is the open question of arXiv 2510.09768. Layers are those of `mpnn` and `tensor`:
scalars pass through all of them, and the tensors of a `tensor` layer skip the others up to the next `tensor` layer.
"""

from typing import Any, Self

import torch
from pydantic import Field, model_validator
from torch import nn

from raysweep.data.graphs.batches import Batch
from raysweep.models.architectures.edge_forces import PairForces
from raysweep.models.architectures.mpnn import MpnnLayer
from raysweep.models.architectures.tensor import TensorLayer, TensorSize, layers_geometry
from raysweep.models.base import Architecture, DatasetInfo, ForceField, ForceMode
from raysweep.models.layers.blocks import (
    ElementEmbedding,
    Linear,
    Norm,
    NormKind,
    RadialBasis,
    Readout,
    lengths_and_directions,
)
from raysweep.models.layers.harmonics import SphericalHarmonics

KINDS = ("unconstrained", "invariant", "tensor")


class HybridSize(TensorSize):
    """Knobs of `hybrid`: those of `tensor`, and the kind of each layer."""

    layers: str = Field(
        default="invariant invariant tensor",
        description="layers in their order: unconstrained (raw vectors), invariant (distances) or tensor",
    )
    norm: NormKind = Field(
        default="rms",
        description="none, layer or rms; a tensor layer multiplies scalars, which other layers before it let grow",
    )
    depth: int = Field(default=0, gt=0, description="message-passing layers; as many as `layers` names by default")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each layer."""
        return tuple(self.layers.split())

    @property
    def equivariant(self) -> bool:
        """Whether it is equivariant by construction: if no layer is unconstrained."""
        return "unconstrained" not in self.kinds

    @model_validator(mode="before")
    @classmethod
    def _count_layers(cls, knobs: dict[str, Any]) -> dict[str, Any]:
        layers = knobs.get("layers", cls.model_fields["layers"].default)
        return {"depth": len(layers.split()), **knobs} if isinstance(layers, str) else knobs

    @model_validator(mode="after")
    def _layers_are_known(self) -> Self:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise ValueError(f"`layers` {self.layers!r} must be names from {', '.join(KINDS)}, separated by blanks")
        if self.depth != len(self.kinds):
            raise ValueError(
                f"depth {self.depth} differs from the {len(self.kinds)} layers of {self.layers!r}; leave depth out"
            )
        return self


class Hybrid(ForceField):
    """Invariant energies and equivariant direct forces, unless a layer is unconstrained."""

    def __init__(self, size: HybridSize, forces: ForceMode, dataset: DatasetInfo) -> None:
        super().__init__(size, forces, dataset)
        self.kinds = size.kinds
        self.basis = RadialBasis(size.radial, size.cutoff, size.basis)
        self.harmonics = SphericalHarmonics(size.l_max)
        self.embedding = ElementEmbedding(dataset.elements, size.width)
        self.layers = nn.ModuleList()
        n_tensors, l_now = self.kinds.count("tensor"), 0
        for kind in self.kinds:
            if kind == "tensor":
                n_tensors -= 1
                l_out = size.l_max if n_tensors else (1 if forces == "direct" else 0)
                self.layers.append(TensorLayer(size, l_now, l_out))
                l_now = l_out
            else:
                n_edge = size.radial + (6 if kind == "unconstrained" else 0)
                self.layers.append(MpnnLayer(size.width, n_edge, size.neighbours, size.norm))
        self.geometry = layers_geometry(self.layers, size)
        self.norm = Norm(size.norm, size.width)
        self.energy = Readout(size.width, 1)
        self.force = _force_head(size, self.kinds) if forces == "direct" else None

    def atoms(self, batch: Batch, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute energies [A] and forces [A, 3]; see `ForceField.atoms`."""
        lengths, directions = lengths_and_directions(vectors)
        basis, envelope = self.basis(lengths)
        edges = {"invariant": basis, "unconstrained": torch.cat([vectors, directions, basis], dim=1)}
        y = self.harmonics(directions) if "tensor" in self.kinds else None
        aligned = [] if self.geometry is None else self.geometry(directions)
        h = self.embedding(batch.numbers).unsqueeze(0)
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            if kind == "tensor":
                h = layer(h, basis, envelope, y, aligned, batch)
            else:
                scalars = layer(h[0], edges[kind], envelope, batch).unsqueeze(0)
                h = scalars if len(h) == 1 else torch.cat([scalars, h[1:]])
        scalars = self.norm(h[0])
        energies = self.energy(scalars).squeeze(1)
        if self.force is None:
            return energies, None
        if "tensor" in self.kinds:
            return energies, self.force(h[1:4].transpose(0, 1)).squeeze(2)
        if isinstance(self.force, PairForces):
            return energies, self.force(scalars, lengths, directions, batch)
        return energies, self.force(scalars)


def _force_head(size: HybridSize, kinds: tuple[str, ...]) -> nn.Module:
    """Make the head of direct forces: from vectors if a layer has them, else from pairs if scalars are invariant."""
    if "tensor" in kinds:
        out = Linear(size.width, 1, bias=False, gain=size.width**-0.5)
        return nn.Sequential(Norm(size.norm, size.width, tensor=True), out)
    return PairForces(size) if size.equivariant else Readout(size.width, 3)


ARCHITECTURE = Architecture(Hybrid, HybridSize, equivariant=False)
