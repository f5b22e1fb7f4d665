"""The parts of a search space that apply to all trials: training, resources, caps and MLflow."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from raysweep.core.trial import OptimizerSpec
from raysweep.sweep.space.parts import PLACE, Part

EXPERIMENT = r"^[^\x00-\x1f\x7f<>]{1,250}$"
"""Of MLflow's experiments, which may have the slashes and blanks of a group's own order."""


class Training(Part):
    """What all trials share, so that families differ by architecture alone."""

    batch_atoms: int = Field(default=128, gt=0, description="atoms per batch, the last structure taken whole")
    optimizer: OptimizerSpec = Field(default_factory=OptimizerSpec, description="the optimizer and its constants")
    energy_weight: float = Field(default=1.0, ge=0, description="weight of the scaled per-atom energy error")
    force_weight: float = Field(default=1.0, ge=0, description="weight of the scaled force error")
    precision: Literal["float32", "float64", "tf32", "bf16"] = Field(
        default="float32",
        description="of a training step; tf32 and bf16: of its products alone, over weights in float32",
    )
    compile: bool = Field(default=False, description="training steps compiled by torch's inductor, for long trials")


class Resources(Part):
    """What one trial holds, as Ray counts it."""

    cpu: float = Field(default=1, gt=0, description="CPU cores of a trial; also its number of threads")
    gpu: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        default=0.0, description="GPUs of a trial: a whole number, a fraction 1/n, or auto: 1/n by its measured memory"
    )
    parallel: int | None = Field(
        default=None, gt=0, description="trials at once at most; default: what fits the cluster"
    )
    max_failures: int = Field(
        default=3, ge=0, description="restarts of a trial whose worker died, from its checkpoint; a lost node is none"
    )
    price_per_device_hour: float | None = Field(default=None, gt=0, description="for `raysweep plan`, any currency")
    timeout_seconds: float | None = Field(
        default=None, gt=0, description="wall-clock after which a trial is ended, `timed_out`; default: none"
    )
    stall_seconds: float | None = Field(
        default=None, gt=0, description="wall-clock without a point after which a trial is ended, `timed_out`"
    )

    @property
    def most(self) -> dict[str, float]:
        """What a trial asks of Ray, at most."""
        return {"CPU": self.cpu, "GPU": 1.0 if self.gpu == "auto" else self.gpu}

    @model_validator(mode="after")
    def _whole_or_fraction(self) -> "Resources":
        if self.gpu == "auto":
            return self
        share = self.gpu if self.gpu >= 1 or self.gpu == 0 else 1 / self.gpu
        if abs(share - round(share)) > 1e-6:
            raise ValueError(f"gpu ({self.gpu:g}) must be whole or 1/n (0.5, 0.25, ...): other fractions leave gaps")
        return self


class Caps(Part):
    """What the sweep may spend; where a cap is reached it stops so that it can go on. None: no cap."""

    flops: float | None = Field(default=None, gt=0, description="training FLOPs of the sweep, over all its runs")
    device_hours: float | None = Field(default=None, gt=0, description="device hours of training, over all runs")
    hours: float | None = Field(default=None, gt=0, description="wall-clock of one run, from its first trial on")
    trials: int | None = Field(default=None, gt=0, description="trials begun, both stages, over all runs")
    disk_gigabytes: float | None = Field(default=None, gt=0, description="all files in the storage, 1e9 bytes each")


class Tracking(Part):
    """Where MLflow keeps the face of the sweep."""

    uri: str | None = Field(
        default=None, pattern=PLACE, description="tracking URI; default: a SQLite file in the sweep's storage"
    )
    experiment: str | None = Field(
        default=None, pattern=EXPERIMENT, description="experiment name; default: the sweep's name"
    )
    enabled: bool = Field(default=True, description="false: no MLflow; the trial store has everything anyway")
