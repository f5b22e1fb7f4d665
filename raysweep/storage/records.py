"""Values that a trial store keeps about trials besides specifications and points."""

from dataclasses import dataclass

from raysweep.core.trial import TrialState


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """The content of `state.json`: a trial's state, and the attempt that may write it."""

    state: TrialState = TrialState.PLANNED
    attempt: int = 0
    """Number of times it was started."""
    writer: str | None = None
    """Token of the attempt that owns the directory; a writer that finds a different token stops writing."""
    message: str | None = None
    """Why it ended badly."""
    points_sha256: str | None = None
    started: float | None = None
    """Start of this attempt, in seconds since 1970."""
    ended: float | None = None
    code: str | None = None
    """Name and digest of the code that trained it, where that is not raysweep's own (see `code.code_of`)."""


@dataclass(frozen=True)
class Claim:
    """The right to write a trial's files, until another attempt begins."""

    trial_id: str
    attempt: int
    writer: str
    started: float
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """A family and stage that a trial serves: it may serve several, and is run once."""

    trial_id: str
    family: str
    stage: str
    seed: int
    size: str
    """Knobs as JSON with sorted keys."""
    learning_rate: float
