"""A trial as MLflow shows it: the run's name, status, tags, parameters and metrics."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from raysweep.core.hashing import digest
from raysweep.core.points import COLUMNS, Point
from raysweep.core.trial import TrialState

STATE = "raysweep.state"
SERVES = "raysweep.serves"
CURVES = tuple(name for name, column in COLUMNS.items() if column.tracked == "curve")
"""Columns of a point that become metrics over atoms seen; the optimizer's step becomes `optimizer_steps`."""
TOTALS = tuple(name for name, column in COLUMNS.items() if column.tracked == "total")
"""Columns that become metrics of the last point only: over atoms seen they are straight lines, or constant."""

_STATUS: dict[str, str] = {
    TrialState.PLANNED: "RUNNING",
    TrialState.RUNNING: "RUNNING",
    TrialState.DONE: "FINISHED",
    TrialState.STOPPED: "FINISHED",  # by ASHA, in the learning-rate stage: a regular end
    TrialState.DIVERGED: "KILLED",  # neither a success nor a crash
    TrialState.FAILED: "FAILED",
    TrialState.OUT_OF_MEMORY: "FAILED",
    TrialState.TIMED_OUT: "FAILED",
    TrialState.CANCELLED: "KILLED",
}
_ODD = re.compile(r"[^\w\-. ]|[\x80-\U0010ffff]")
_NAME_LENGTH, _KEY_LENGTH, _VALUE_LENGTH = 120, 250, 2000


@dataclass(frozen=True)
class Report:
    """A sweep's report, for the artifacts of its run."""

    files: Mapping[str, bytes]
    """Page and figures by name."""

    @property
    def digest(self) -> str:
        """Content hash of the report."""
        return digest("".join(f"{name} {digest(data)}\n" for name, data in sorted(self.files.items())).encode())


@dataclass(frozen=True, kw_only=True)
class TrialView:
    """One trial as the trial store has it (for `sync`), or as far as the driver has reported it (for the mirror)."""

    trial_id: str
    serves: tuple[tuple[str, str], ...]
    """(stage, family) pairs; its run is nested under the first one's stage. Empty: no longer part of the sweep."""
    state: TrialState
    points: Sequence[Point] = ()
    """All points so far. Those of a trial that has not ended may be fewer than MLflow shows."""
    params: Mapping[str, str] = field(default_factory=dict)
    """The trial's specification as flat texts: `architecture`, `size.width`, `learning_rate`, `seed`, ..."""
    tags: Mapping[str, str] = field(default_factory=dict)
    message: str | None = None
    """Why it ended, if it ended badly."""
    started: float | None = None
    """Seconds since 1970."""
    ended: float | None = None
    """Seconds since 1970."""

    @property
    def over(self) -> bool:
        """Whether the trial has ended in any state."""
        return not self.state.is_open


def status_of(state: str) -> str:
    """Map a trial's state to MLflow's run status; the state itself is in the tag `raysweep.state`."""
    return _STATUS.get(state, "KILLED")


def run_name(family: str, params: Mapping[str, str], trial_id: str) -> str:
    """Build a run's name, which distinguishes it at a glance: `mpnn width=16 lr=0.01 n=800 seed=0 depth=2`.

    MLflow's table shows its first 25 characters, so the most distinctive parts come first.
    """
    size = {key.removeprefix("size."): value for key, value in params.items() if key.startswith("size.")}
    knobs = [f"{key}={size[key]}" for key in sorted(size, key=lambda key: (key != "width", key != "depth"))]
    first = 1 if "width" in size else 0
    short = {"learning_rate": "lr", "structures": "n", "seed": "seed"}
    rest = [f"{word}={_brief(params[key])}" for key, word in short.items() if key in params]
    words = [*knobs[:first], *rest, *knobs[first:]]
    return clean_value(" ".join([family, *(words or [trial_id])]))[:_NAME_LENGTH]


def _brief(value: str) -> str:
    try:
        return f"{float(value):.4g}" if "." in value else value
    except ValueError:
        return value


def metrics_of(point: Point, *, last: bool) -> dict[str, float]:
    """Build a point's metrics, with the totals for a trial's last point; missing measurements are skipped."""
    values = {name: getattr(point, name) for name in (*CURVES, *(TOTALS if last else ()))}
    return {name: float(value) for name, value in values.items() if value is not None} | {
        "optimizer_steps": float(point.step)
    }


def clean_key(key: str) -> str:
    """Replace what MLflow refuses in the name of a parameter or tag (paths, control characters) by `_`."""
    cleaned = _ODD.sub("_", key)[: _KEY_LENGTH - 1]
    return f"_{cleaned}" if not cleaned or cleaned[0] in ". " else cleaned  # "..x" looks like a path out of a folder


def clean_value(value: str) -> str:
    """Replace control characters in a value and truncate it to a length that every MLflow accepts."""
    printable = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in value)
    return printable if len(printable) <= _VALUE_LENGTH else printable[: _VALUE_LENGTH - 1] + "…"
