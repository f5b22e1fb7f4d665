"""A small search space around the toy training, and a listener that writes down what it hears."""

from collections.abc import Callable
from pathlib import Path

import yaml

from raysweep.core.points import Point
from raysweep.core.trial import TrialState
from raysweep.sweep.space.space import Space, parse_space

SpaceMaker = Callable[..., Space]


def toy_content(folder: Path) -> dict[str, object]:
    return {
        "name": "toy",
        "storage": str(folder),
        "entrypoint": "toy_trials:train",
        "families": {
            "a": {"architecture": "toy-a", "sizes": {"width": [8, 16]}},
            "b": {"architecture": "toy-b", "sizes": {"width": [8, 12]}},
        },
        "grid": {"structures": [100, 200, 400], "seeds": [0]},
        "learning_rate": {"low": 2e-3, "high": 2e-1, "structures": 90, "trials": 6},
        "resources": {"cpu": 1, "max_failures": 1},
    }


def toy_space(folder: Path, /, **changes: object) -> Space:
    return parse_space(yaml.safe_dump({**toy_content(folder), **changes}), "toy.yaml")


class Recorder:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str, str]] = []
        self.tags: dict[str, dict[str, str]] = {}
        self.points: dict[str, list[Point]] = {}
        self.ended: dict[str, tuple[TrialState, str | None]] = {}
        self.closed = 0

    def trial_started(
        self, trial_id: str, family: str, stage: str, params: dict[str, str], tags: dict[str, str]
    ) -> None:
        self.started.append((trial_id, family, stage))
        self.tags[trial_id] = tags

    def point(self, trial_id: str, point: Point) -> None:
        self.points.setdefault(trial_id, []).append(point)

    def trial_ended(self, trial_id: str, state: TrialState, message: str | None) -> None:
        assert trial_id not in self.ended, "a trial ends once"
        self.ended[trial_id] = (state, message)

    def close(self) -> None:
        self.closed += 1
