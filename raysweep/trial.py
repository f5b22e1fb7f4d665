"""A trajectory as a pure value: all that determines one training run, and the hash that is its identity."""

import enum
import hashlib
import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SPEC_VERSION = 1
"""Raised whenever the same fields would train differently, so that old trials are not taken for new ones."""

SizeValue = int | float | bool | str


class TrialState(enum.StrEnum):
    """Where a trial stands. Only `DONE` trials count as complete; `DIVERGED` ones keep the points before the end."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"  # ended early by ASHA, in the learning-rate stage only
    DIVERGED = "diverged"
    FAILED = "failed"


class OptimizerSpec(BaseModel):
    """The optimizer of a trajectory; the same for every architecture of a sweep."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["schedulefree_adamw"] = Field(
        default="schedulefree_adamw",
        description="schedulefree_adamw: AdamW whose every evaluation is a valid point (Defazio et al. 2024)",
    )
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="averaging constants of AdamW")
    weight_decay: float = Field(default=0.0, ge=0, description="decoupled weight decay, per unit of learning rate")
    warmup_steps: int = Field(default=50, ge=0, description="steps over which the learning rate rises from 0")
    clip_norm: float = Field(default=10.0, gt=0, description="gradients with a larger norm are scaled down to it")


class TrialSpec(BaseModel):
    """All that determines a trajectory. Equal specs are the same work: see `trial_id`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str = Field(description="name in the model registry: mpnn, egnn, tensor, or a plug-in's")
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
    epochs: float = Field(default=1.0, gt=0, description="passes over the subset; 1 keeps every atom seen unique")
    validation_structures: int = Field(default=256, gt=0, description="size of the fixed validation set, structures")
    data_budgets: tuple[float, ...] = Field(default=(), description="evaluate when so many atoms were seen (D)")
    flops_budgets: tuple[float, ...] = Field(default=(), description="evaluate when so many FLOPs were spent (C)")
    batch_atoms: int = Field(default=128, gt=0, description="atoms per batch, the last structure taken whole")
    learning_rate: float = Field(gt=0, description="learning rate at base_size (at `size` where base_size is None)")
    optimizer: OptimizerSpec = Field(default_factory=OptimizerSpec)
    energy_weight: float = Field(default=1.0, ge=0, description="weight of the scaled per-atom energy error")
    force_weight: float = Field(default=1.0, ge=0, description="weight of the scaled force error")
    precision: Literal["float32", "float64"] = Field(default="float32", description="of weights and activations")
    seed: int = Field(default=0, ge=0, description="of the weights and of the order of the structures")

    @property
    def trial_id(self) -> str:
        """Sixteen hexadecimal digits: the content hash of every field, the same on every machine and Python."""
        content = json.dumps(
            {"version": SPEC_VERSION, **self.model_dump(mode="json")}, sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(content.encode()).hexdigest()[:16]
