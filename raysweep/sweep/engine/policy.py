"""What happens to a trial whose worker ended: it resumes, is retried alone on a node, or has ended.

A pure function of what is known about the worker; `dispatch` carries out the decision.
"""

import enum
from dataclasses import dataclass

from raysweep.core.trial import TrialState
from raysweep.sweep.engine.failures import Failure


class Then(enum.Enum):
    """The next step of a trial."""

    RESUME = "resume"
    """It resumes from its last checkpoint."""
    ALONE = "alone"
    """It is retried once, alone on a node."""
    END = "end"
    """It has ended."""


@dataclass(frozen=True, kw_only=True)
class WorkerEnd:
    """What is known about a worker that ended, and about its trial."""

    error: str
    """Ray's error, as text."""
    failure: Failure | None
    """Cause of the failure; None if the worker recorded the end itself."""
    written: TrialState
    """State that the worker wrote to the trial store; open if it had no time to record the end."""
    overrun: str | None = None
    """The time limit that the trial has exceeded, in words."""
    failures: int = 0
    """Workers that the trial has lost before, by its own fault."""
    was_alone: bool = False
    """Whether the trial was tried alone on a node before."""
    entrypoint: str | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What happens to the trial."""

    then: Then
    state: TrialState
    """Final state of a trial whose worker did not record one."""
    reason: str
    """Why it ends."""
    counted: bool = False
    """Whether the failure counts towards `resources.max_failures`."""


def decide(end: WorkerEnd, max_failures: int) -> Decision:
    """Decide what happens to a trial.

    A trial whose end the worker wrote has ended. Otherwise one that overran its time has ended; one whose node is lost
    resumes; any other failure is retried `max_failures` times. In both cases a trial that ran out of memory is retried
    once, alone.
    """
    is_open = end.written.is_open
    if is_open and end.overrun is not None:
        reason = f"{end.overrun}; Python itself did not respond"
        return Decision(then=Then.END, state=TrialState.TIMED_OUT, reason=reason)
    if is_open and end.failure is Failure.NODE:
        return Decision(then=Then.RESUME, state=TrialState.FAILED, reason=end.error)
    if end.written == TrialState.OUT_OF_MEMORY or (is_open and end.failure is Failure.MEMORY):
        reason = f"its worker was killed for memory:\n{end.error}"
        then = Then.END if end.was_alone else Then.ALONE
        return Decision(then=then, state=TrialState.OUT_OF_MEMORY, reason=reason)
    if not is_open:
        return Decision(then=Then.END, state=TrialState.FAILED, reason=end.error)
    failures = end.failures + 1
    own = f" in entrypoint {end.entrypoint} (os._exit, a crash or a kill)" if end.entrypoint else ""
    reason = f"its worker died {failures} times{own}, most recently:\n{end.error}"
    then = Then.RESUME if failures <= max_failures else Then.END
    return Decision(then=then, state=TrialState.FAILED, reason=reason, counted=True)
