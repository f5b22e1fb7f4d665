"""The interface between a stage, which is a source of trials, the engine that runs them, and its listeners."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Protocol

from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.core.version import __version__
from raysweep.storage.trial_store import TrialRecord
from raysweep.sweep.cluster.driver.signals import Interrupted
from raysweep.sweep.cluster.watch import ClusterLostError

CLOSING_SECONDS = 3.0
"""Time limit for a mirror to write the rest when the sweep is stopped; a later run catches up."""


class Stage(Protocol):
    """A source of trials. Its methods are called by one thread, in the driver."""

    name: str
    """As in `core.stages`, or "sweep" for a pipeline of stages."""

    def next_trial(self) -> TrialSpec | None:
        """Return the next trial to run; None if there is none at the moment."""

    @property
    def finished(self) -> bool:
        """Whether no further trials will come."""

    def started(self, trial_id: str) -> None:
        """Called when a worker has begun a trial."""

    def point(self, trial_id: str, point: Point) -> bool:
        """Called once for each point; returns whether the trial is to stop here."""

    def ended(self, trial_id: str, record: TrialRecord) -> None:
        """Called when a trial ends."""

    def cancelled(self, trial_id: str, record: TrialRecord) -> None:
        """Called when a trial is cancelled with its sweep; a later run resumes it, so it decides nothing."""


class Listener(Protocol):
    """A follower of a sweep's trials: MLflow's mirror, the progress line. Calls must be quick and must not raise."""

    def trial_started(
        self, trial_id: str, family: str, stage: str, params: dict[str, str], tags: dict[str, str]
    ) -> None:
        """Called when a trial begins or resumes."""

    def point(self, trial_id: str, point: Point) -> None:
        """Called for each point; a resumed trial reports its earlier points again."""

    def trial_ended(self, trial_id: str, state: TrialState, message: str | None) -> None:
        """Called when a trial ends."""

    def close(self) -> None:
        """Called once, after the last call."""


class Listeners:
    """Forwards every call to several listeners."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)

    def trial_started(
        self, trial_id: str, family: str, stage: str, params: dict[str, str], tags: dict[str, str]
    ) -> None:
        """Call all of them."""
        for listener in self._listeners:
            listener.trial_started(trial_id, family, stage, params, tags)

    def point(self, trial_id: str, point: Point) -> None:
        """Call all of them."""
        for listener in self._listeners:
            listener.point(trial_id, point)

    def trial_ended(self, trial_id: str, state: TrialState, message: str | None) -> None:
        """Call all of them."""
        for listener in self._listeners:
            listener.trial_ended(trial_id, state, message)

    def close(self) -> None:
        """Call all of them."""
        for listener in self._listeners:
            listener.close()


@contextlib.contextmanager
def closing(listener: Listener) -> Iterator[None]:
    """Close a listener after the block; does not wait for a slow one when the sweep is stopped."""
    try:
        yield
    except (Interrupted, ClusterLostError):
        closer = threading.Thread(target=listener.close, daemon=True)
        closer.start()
        closer.join(CLOSING_SECONDS)
        raise
    except BaseException:
        listener.close()
        raise
    listener.close()


def describe(spec: TrialSpec, family: str, stage: str) -> tuple[dict[str, str], dict[str, str]]:
    """Describe a trial by parameters and tags, as text."""
    params = {key: str(value) for key, value in _flat(spec.model_dump(mode="json")).items()}
    tags = {
        "raysweep.trial_id": spec.trial_id,
        "raysweep.family": family,
        "raysweep.stage": stage,
        "raysweep.fingerprint": spec.fingerprint,
        "raysweep.core.version": __version__,
    }
    return params, tags


def announce(listener: Listener, spec: TrialSpec, family: str, stage: str) -> None:
    """Tell a listener that a trial has begun."""
    params, tags = describe(spec, family, stage)
    listener.trial_started(spec.trial_id, family, stage, params, tags)


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
