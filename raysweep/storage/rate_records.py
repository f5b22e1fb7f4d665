"""Finished learning-rate searches as plain values, and the content of the file that keeps them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter

from raysweep.core.hashing import content_id, size_json
from raysweep.core.stages import LEARNING_RATE
from raysweep.core.trial import SizeValue
from raysweep.storage.records import Assignment

HORIZONS = "-horizons"
"""End of the key of a record whose trials show the same rates at several horizons."""


@dataclass(frozen=True, kw_only=True)
class RateTrial:
    """One trial of a learning-rate search."""

    trial_id: str
    learning_rate: float
    state: str
    data: tuple[float, ...]
    """Atoms seen at the rungs that it reached."""
    losses: tuple[float, ...]
    """Validation losses at these rungs."""


@dataclass(frozen=True, kw_only=True)
class RateRecord:
    """The search of one learning rate, and the rate that was chosen."""

    key: str
    """Family, and hash of all that determines the search."""
    family: str
    size: Mapping[str, SizeValue]
    """Knobs of the size at which the rate was searched."""
    seed: int
    rate: float | None
    """None: no trial reached the last rung."""
    method: str | None
    """How it was chosen (see `rate_choice.Choice`)."""
    edge: str | None
    """"low" or "high" where the best rate is the lowest or highest tried, so that a better one may be beyond."""
    widened: int
    """How often the range of rates was widened."""
    on_plateau: bool = False
    """Whether no trial left the starting plateau, so that the rate is a guess."""
    trials: tuple[RateTrial, ...] = ()

    @property
    def of_horizons(self) -> bool:
        """Whether its trials show the same rates at several horizons, rather than choose one."""
        return self.key.endswith(HORIZONS)

    def assignments(self) -> list[Assignment]:
        """List the trials that the rate is based on."""
        return [
            Assignment(
                trial_id=trial.trial_id,
                family=self.family,
                stage=LEARNING_RATE,
                seed=self.seed,
                size=size_json(self.size),
                learning_rate=trial.learning_rate,
            )
            for trial in self.trials
        ]


def encode(records: Iterable[RateRecord]) -> dict[str, object]:
    """Build the content of the file."""
    cells = [asdict(record) for record in records]
    return {"sha256": content_id(cells), "cells": cells}


def decode(content: object) -> list[RateRecord]:
    """Parse the content of the file.

    Raises:
        ValueError: it was altered.
    """
    if not isinstance(content, dict) or content.get("sha256") != content_id(content.get("cells")):
        raise ValueError("the checksum does not match")
    return TypeAdapter(list[RateRecord]).validate_python(content["cells"])
