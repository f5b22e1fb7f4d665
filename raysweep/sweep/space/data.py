"""The structures of a search space: their store, and the recipe to make it."""

from pydantic import Field

from raysweep.core.trial import Seed
from raysweep.data.generation.presets import DEFAULT_PRESET, PresetName
from raysweep.sweep.space.parts import PLACE, Part


class MakeData(Part):
    """How the built-in GFN2-xTB source makes the store if it does not exist yet (see docs/data.md)."""

    structures: int = Field(gt=0, description="number of structures to label, for training and validation together")
    preset: PresetName = Field(
        default=DEFAULT_PRESET,
        description="which molecules to generate, and how to sample structures (docs/data.md)",
    )
    seed: Seed = Field(default=0, description="random seed of the molecules and displacements")


class Data(Part):
    """The structures that every trial trains on."""

    store: str = Field(pattern=PLACE, description="the structure store: a folder or a URI")
    make: MakeData | None = Field(default=None, description="recipe for making the store if it does not exist yet")
    validation_structures: int = Field(default=256, gt=0, description="size of the fixed validation set, in structures")
