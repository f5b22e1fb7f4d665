"""The description of a trained force field in its model file: a value that determines the network but its weights."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from raysweep.core.trial import SizeValue
from raysweep.data.elements import HEAVIEST
from raysweep.models.base import ForceMode

UNITS = {"positions": "Å", "energy": "eV", "forces": "eV/Å", "stress": "eV/Å³", "cutoff": "Å", "scale": "eV/Å"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ModelOrigin(_Part):
    """Where a model comes from. Nothing of it is needed to use the model."""

    sweep: str | None = Field(default=None, description="name of the sweep")
    family: str | None = Field(default=None, description="family in the search space")
    trial_id: str = Field(description="content hash of the trajectory")
    spec: dict[str, JsonValue] = Field(description="the trajectory's specification, whose hash is trial_id")
    point: dict[str, JsonValue] = Field(description="the measurement that belongs to the weights, by column")
    data: dict[str, JsonValue] = Field(
        default_factory=dict, description="of the structures: fingerprint, source, licence, counts, RMS"
    )
    frontier: dict[str, JsonValue] = Field(
        default_factory=dict, description="the point against the law of its family, when the file was written"
    )
    versions: dict[str, str] = Field(default_factory=dict, description="software that wrote the file")


class ModelRecord(_Part):
    """Everything but the weights that determines a trained network and its outputs."""

    architecture: str = Field(min_length=1, max_length=200, description="name in the model registry")
    plug_in: str | None = Field(
        default=None, description="package and entry point that add the architecture; None: raysweep's own"
    )
    size: dict[str, SizeValue] = Field(description="knobs, completed by their defaults")
    forces: ForceMode = Field(description="direct: a head; conservative: minus the energy's gradient")
    frames: bool = Field(description="whether predictions are averaged over the frames of the principal axes")
    precision: Literal["float32", "float64"] = Field(description="type of the weights")
    elements: list[int] = Field(min_length=1, max_length=HEAVIEST, description="atomic numbers that the network knows")
    scale: float = Field(gt=0, description="eV/Å, factor on the network's outputs")
    reference_energies: dict[str, float] = Field(
        description="eV by atomic number, added for each atom; isolated atoms' include the mean binding energy"
    )
    cutoff: float = Field(gt=0, description="Å, radius of the neighbour graph")
    units: dict[str, str] = Field(default_factory=lambda: dict(UNITS), description="of inputs and outputs")
    numbers: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="plain numbers that training has changed in the network's modules"
    )
    origin: ModelOrigin = Field(description="provenance")

    @model_validator(mode="after")
    def _meets(self) -> "ModelRecord":
        wrong = [z for z in self.elements if not 1 <= z <= HEAVIEST]
        if wrong or self.elements != sorted(set(self.elements)):
            raise ValueError(f"elements {self.elements} must be ascending atomic numbers from 1 to {HEAVIEST}")
        if sorted(self.reference_energies, key=str) != sorted(map(str, self.elements)):
            raise ValueError("reference_energies and elements name different elements")
        if self.units != UNITS:
            raise ValueError(f"units are {self.units}; this raysweep reads {UNITS}")
        return self

    @property
    def energies(self) -> Mapping[int, float]:
        """Reference energies in eV by atomic number."""
        return {int(z): energy for z, energy in self.reference_energies.items()}
