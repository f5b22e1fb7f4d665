"""The parts of a search space that apply to all trials: training, resources, caps and MLflow."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from raysweep.core.trial import ACCUMULATE_UNCOMPILED, OptimizerSpec
from raysweep.sweep.space.parts import PLACE, Part

EXPERIMENT = r"^[^\x00-\x1f\x7f<>]{1,250}$"
"""Names of MLflow experiments; groups organise theirs with slashes and blanks."""


class Training(Part):
    """Training settings shared by all trials, so that families differ only in their architecture."""

    batch_atoms: int = Field(
        default=128, gt=0, description="atoms per batch; the structure that reaches this number is included whole"
    )
    accumulate: int = Field(
        default=1,
        gt=0,
        description="parts of each batch whose gradients are summed before a step, where a whole batch does not fit in "
        "memory; the same training up to rounding",
    )
    optimizer: OptimizerSpec = Field(default_factory=OptimizerSpec, description="the optimizer and its settings")
    energy_weight: float = Field(default=1.0, ge=0, description="weight of the scaled per-atom energy error")
    force_weight: float = Field(default=1.0, ge=0, description="weight of the scaled force error")
    precision: Literal["float32", "float64", "tf32", "bf16"] = Field(
        default="float32",
        description="numerical precision of a training step; tf32 and bf16 apply to its matrix products, with weights "
        "kept in float32",
    )
    compile: bool = Field(
        default=False, description="compile training steps with torch's inductor; pays off for long trials"
    )

    @model_validator(mode="after")
    def _accumulates(self) -> "Training":
        if self.accumulate > 1 and self.compile:
            raise ValueError(ACCUMULATE_UNCOMPILED)
        return self


class Resources(Part):
    """The resources that Ray reserves for one trial, and its limits."""

    cpu: float = Field(default=1, gt=0, description="CPU cores per trial, and its number of threads")
    gpu: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        default=0.0, description="GPUs per trial: a whole number, a fraction 1/n, or auto (1/n by measured memory)"
    )
    parallel: int | None = Field(
        default=None, gt=0, description="largest number of concurrent trials; default: as many as fit on the cluster"
    )
    max_failures: int = Field(
        default=3,
        ge=0,
        description="how often a trial whose worker died is resumed from its checkpoint; lost nodes do not count",
    )
    inference: bool = Field(
        default=True,
        description="measure what inference costs: FLOPs of an atom-step, and milliseconds of an MD step of 100 and of "
        "1,000 atoms; a few tenths of a second for each size and worker (docs/training.md)",
    )
    price_per_device_hour: float | None = Field(
        default=None, gt=0, description="price for the estimate of `raysweep plan`, in any currency"
    )
    timeout_seconds: float | None = Field(
        default=None, gt=0, description="wall-clock time after which a trial is ended as `timed_out`; default: none"
    )
    stall_seconds: float | None = Field(
        default=None,
        gt=0,
        description="wall-clock time without a new point after which a trial is ended as `timed_out`; default: none",
    )

    @property
    def most(self) -> dict[str, float]:
        """The most that a trial may request from Ray."""
        return {"CPU": self.cpu, "GPU": 1.0 if self.gpu == "auto" else self.gpu}

    @model_validator(mode="after")
    def _whole_or_fraction(self) -> "Resources":
        if self.gpu == "auto":
            return self
        share = self.gpu if self.gpu >= 1 or self.gpu == 0 else 1 / self.gpu
        if abs(share - round(share)) > 1e-6:
            raise ValueError(f"gpu ({self.gpu:g}) must be a whole number or 1/n (0.5, 0.25, ...)")
        return self


class Caps(Part):
    """What the sweep may spend. It stops at a cap and can be resumed. None: no cap."""

    flops: float | None = Field(default=None, gt=0, description="training FLOPs of the sweep, summed over all runs")
    device_hours: float | None = Field(default=None, gt=0, description="device hours of training, summed over all runs")
    hours: float | None = Field(
        default=None, gt=0, description="wall-clock hours of one run, counted from its first trial"
    )
    trials: int | None = Field(default=None, gt=0, description="trials started in both stages, summed over all runs")
    disk_gigabytes: float | None = Field(
        default=None, gt=0, description="total size of the files in the storage, in units of 1e9 bytes"
    )


class Tracking(Part):
    """Where MLflow tracks the sweep."""

    uri: str | None = Field(
        default=None, pattern=PLACE, description="MLflow tracking URI; default: a SQLite file in the sweep's storage"
    )
    experiment: str | None = Field(
        default=None, pattern=EXPERIMENT, description="experiment name; default: the sweep's name"
    )
    enabled: bool = Field(
        default=True, description="false: do not write to MLflow; the trial store has everything anyway"
    )
