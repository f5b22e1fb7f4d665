"""The specification of a trajectory as a pure value, the hash that identifies it, and the states of its trial."""

import enum
import math
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    model_serializer,
    model_validator,
)

from raysweep.core.hashing import content_id

SPEC_VERSION = 6
"""Raised whenever the same fields would train differently, so that old trials are not reused."""

SizeValue = int | float | bool | str
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""Range of seeds that every generator accepts: NumPy's legacy one, which Optuna seeds, takes 32 bits."""

NO_DATA = "none"
"""Fingerprint in the specification of a trial without a structure store: then a structure is one atom."""


class TrialState(enum.StrEnum):
    """Where a trial stands. Only `DONE` trials count as complete; `DIVERGED` ones keep the points before the end."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"  # ended early by ASHA, in the learning-rate stage only
    DIVERGED = "diverged"
    FAILED = "failed"
    OUT_OF_MEMORY = "out_of_memory"  # alone on its node, too
    TIMED_OUT = "timed_out"  # ended by a limit of the search space
    CANCELLED = "cancelled"  # ended with its sweep, by the user or a cap; goes on from its checkpoint

    @property
    def is_open(self) -> bool:
        """Whether the trial has not ended."""
        return self in (TrialState.PLANNED, TrialState.RUNNING)

    @property
    def is_final(self) -> bool:
        """Whether the trial is not run again: done, diverged, or stopped by ASHA."""
        return self in (TrialState.DONE, TrialState.STOPPED, TrialState.DIVERGED)

    @property
    def ends_trajectory(self) -> bool:
        """Whether a trajectory of the grid ends so: it is done, or diverged; where ASHA stopped one, it would go on."""
        return self in (TrialState.DONE, TrialState.DIVERGED)

    @property
    def is_failed(self) -> bool:
        """Whether the trial ended before its trajectory did, by an error or a limit; the next run tries again."""
        return self in (TrialState.FAILED, TrialState.OUT_OF_MEMORY, TrialState.TIMED_OUT)

    @property
    def ended_badly(self) -> bool:
        """Whether the trial ended otherwise than planned, so that a user wants to know why."""
        return self.is_failed or self in (TrialState.DIVERGED, TrialState.CANCELLED)


INTERRUPTED = "interrupted"
"""Shown in place of `RUNNING` where no driver runs the sweep: the next run goes on with such a trial."""


_LATER: dict[str, tuple[object, ...]] = {"nested": ((), []), "accumulate": (1,)}
"""Fields of a specification that older versions did not have, and the defaults that stand for what these did."""


ACCUMULATE_UNCOMPILED = "accumulate: compiled steps take whole batches; leave out accumulate, or compile"


class OptimizerSpec(BaseModel):
    """The optimizer of a trajectory; the same for every architecture of a sweep."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["schedulefree_adamw", "wsd", "cosine"] = Field(
        default="schedulefree_adamw",
        description="schedulefree_adamw: AdamW whose every evaluation is a valid point (Defazio et al. 2024); wsd: "
        "AdamW at a constant rate, decayed to 0 on a branch of its own for each budget; cosine: AdamW whose rate falls "
        "to 0 over the trajectory, one for each budget",
    )
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="averaging constants of AdamW")
    weight_decay: float = Field(default=0.0, ge=0, description="decoupled weight decay, per unit of learning rate")
    warmup_steps: int = Field(default=50, ge=0, description="steps over which the learning rate rises from 0")
    clip_norm: float = Field(
        default=10.0, gt=0, description="gradients with a larger norm are scaled down to it; .inf: none is"
    )
    decay_share: float = Field(
        default=0.2, gt=0, lt=1, description="wsd: last share of a budget, where the rate decays"
    )
    decay: Literal["linear", "sqrt"] = Field(
        default="linear", description="wsd: linear, or sqrt: 1 - sqrt(share of the decay that has passed)"
    )

    @field_serializer("clip_norm", when_used="json")
    def _text_of_infinity(self, value: float) -> float | str:
        """Write infinity as a text, which is read back: JSON has no such number."""
        return value if math.isfinite(value) else "inf"

    @model_validator(mode="after")
    def _applies(self) -> "OptimizerSpec":
        """Refuse settings that the optimizer ignores: equal trainings must have equal ids."""
        _refuse_unread(self, ("decay_share", "decay"), self.name != "wsd", f"optimizer {self.name} has no decay phase")
        return self


class SymmetrySpec(BaseModel):
    """How a family that is not equivariant by construction is brought near to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    augment: bool = Field(default=False, description="turn each structure by a random rotation whenever it is visited")
    loss_rotations: int = Field(
        default=0, ge=0, description="rotations for which a step asks whether predictions turn along; 0: no such loss"
    )
    loss_weight: float = Field(default=1.0, gt=0, description="weight of that loss")
    frames: bool = Field(
        default=False, description="evaluate as the mean over the four frames of the principal axes (arXiv 2110.03336)"
    )

    @model_validator(mode="after")
    def _applies(self) -> "SymmetrySpec":
        _refuse_unread(
            self, ("loss_weight",), self.loss_rotations == 0, "loss_rotations is 0, so there is no such loss"
        )
        return self


def _refuse_unread(part: BaseModel, keys: tuple[str, ...], unread: bool, reason: str) -> None:
    for key in keys:
        value, default = getattr(part, key), type(part).model_fields[key].default
        if unread and value != default:
            raise ValueError(f"{key} ({value}) would not be read: {reason}; leave it out")


class TrialSpec(BaseModel):
    """Everything that determines a trajectory; equal specifications are the same trial (see `trial_id`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    architecture: str = Field(description="name in the model registry (docs/models.md): egnn, gemnet, tensor, ...")
    size: dict[str, SizeValue] = Field(description="knobs of the architecture: width, depth, l_max, cutoff, ...")
    base_size: dict[str, SizeValue] | None = Field(
        default=None, description="the member at which learning_rate was tuned; muP carries it to `size`. None: no muP"
    )
    entrypoint: str | None = Field(
        default=None, description="package.module:function, a generator of points that replaces raysweep's own training"
    )
    forces: Literal["direct", "conservative"] = Field(
        default="direct", description="direct: a head predicts forces; conservative: minus the energy's gradient"
    )
    fingerprint: str = Field(description="content fingerprint of the structure store")
    structures: int = Field(gt=0, description="size of the training subset, in structures")
    nested: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        default=(),
        description="sizes of smaller subsets that the first pass visits first, each as a whole, one after the other: "
        "the run goes on from one on such a subset. Empty: one order over the whole subset",
    )
    epochs: float = Field(default=1.0, gt=0, description="passes over the subset; 1 keeps every atom seen unique")
    validation_structures: int = Field(default=256, gt=0, description="size of the fixed validation set, structures")
    data_budgets: tuple[float, ...] = Field(default=(), description="evaluate when so many atoms were seen (D)")
    flops_budgets: tuple[float, ...] = Field(default=(), description="evaluate when so many FLOPs were spent (C)")
    batch_atoms: int = Field(default=128, gt=0, description="atoms per batch, the last structure taken whole")
    accumulate: int = Field(
        default=1, gt=0, description="parts of each batch whose gradients are summed, so that a part fits in memory"
    )
    learning_rate: float = Field(gt=0, description="learning rate at base_size (at `size` where base_size is None)")
    optimizer: OptimizerSpec = Field(default_factory=OptimizerSpec)
    energy_weight: float = Field(default=1.0, ge=0, description="weight of the scaled per-atom energy error")
    force_weight: float = Field(default=1.0, ge=0, description="weight of the scaled force error")
    precision: Literal["float32", "float64", "tf32", "bf16"] = Field(
        default="float32",
        description="of a training step; tf32 and bf16: of its products alone, over weights in float32",
    )
    compile: bool = Field(default=False, description="training steps compiled by torch's inductor")
    symmetry: SymmetrySpec = Field(default_factory=SymmetrySpec, description="of a family that is not equivariant")
    seed: Seed = Field(default=0, description="of the weights and of the order of the structures")

    @model_validator(mode="after")
    def _possible(self) -> "TrialSpec":
        if self.optimizer.name == "cosine" and len(self.flops_budgets) > (0 if self.data_budgets else 1):
            raise ValueError(
                f"flops_budgets {list(self.flops_budgets)} beside data_budgets {list(self.data_budgets)}: the rate of "
                "optimizer cosine falls to 0 at one budget; give one flops budget alone, or data budgets alone (the "
                "last is where it falls to 0, those before it are rungs)"
            )
        return self

    @model_validator(mode="after")
    def _accumulates(self) -> "TrialSpec":
        if self.accumulate > 1 and self.compile:
            raise ValueError(ACCUMULATE_UNCOMPILED)
        return self

    @model_validator(mode="after")
    def _nested(self) -> "TrialSpec":
        if list((*self.nested, self.structures)) != sorted({*self.nested, self.structures}):
            raise ValueError(f"nested {list(self.nested)}: give ascending numbers below structures ({self.structures})")
        return self

    @model_serializer(mode="wrap")
    def _without_later_fields(self, default: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out fields that came later where they say nothing, so that older trials keep their ids."""
        values: dict[str, object] = default(self)
        return {name: value for name, value in values.items() if value not in _LATER.get(name, ())}

    @property
    def first_subset(self) -> int:
        """Structures of the subset that is visited first, on which the cost of a step is measured."""
        return (*self.nested, self.structures)[0]

    @property
    def trial_id(self) -> str:
        """The content hash of all fields, sixteen hexadecimal digits, the same on every machine and Python."""
        return content_id({"version": SPEC_VERSION, **self.model_dump(mode="json")}, 16, allow_nan=False)
