"""Runs a stage without Ray, one event at a time, in an order that a test chooses, up to a moment that it chooses."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec, TrialState
from raysweep.storage.trial_store import Claim, TrialStore
from raysweep.sweep.guests.entrypoint import entrypoint_points
from raysweep.sweep.stages.stage import Stage


class KilledError(Exception):
    """The driver and its workers are gone."""


@dataclass
class _Worker:
    spec: TrialSpec
    claim: Claim
    source: Iterator[Point]
    points: list[Point] = field(default_factory=list)


def run_serially(stage: Stage, store: TrialStore, *, workers: int, draw: random.Random, events: int = 10**9) -> int:
    """Run a stage on so many pretended workers; return how many points were worked out.

    Raises:
        KilledError: after `events` events, between two of them.
    """
    busy: list[_Worker] = []
    points = 0
    while True:
        while len(busy) < workers and not stage.finished:
            spec = stage.next_trial()
            if spec is None:
                break
            claim = store.begin(spec)
            source = entrypoint_points(spec, None, store.take_checkpoints(claim), "cpu")
            busy.append(_Worker(spec, claim, source))
            stage.started(spec.trial_id)
        if not busy:
            assert stage.finished, "nothing runs, and nothing is left: the stage must be finished"
            return points
        events -= 1
        if events < 0:
            raise KilledError
        worker = draw.choice(busy)
        point = next(worker.source, None)
        if point is None:
            busy.remove(worker)
            store.end(worker.claim, TrialState.DONE, worker.points)
        elif store.holds(worker.claim):
            points += 1
            worker.points.append(point)
            if not stage.point(worker.spec.trial_id, point):
                continue
            busy.remove(worker)
        else:
            busy.remove(worker)
        stage.ended(worker.spec.trial_id, store.record(worker.spec.trial_id))
