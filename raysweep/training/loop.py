"""Training of one trajectory: a spec and a store go in, points come out. No Ray, no MLflow."""

import contextlib
import functools
import time
from collections.abc import Callable, Generator, Iterator

import torch

from raysweep.core.points import Point
from raysweep.core.trial import TrialSpec
from raysweep.data.store.store import Store
from raysweep.models.randomness import IsolatedState
from raysweep.training.budgets import Budget
from raysweep.training.build import measure
from raysweep.training.checkpoint import KeptWeights, newest, save, save_weights
from raysweep.training.cost.measure import Stopwatch
from raysweep.training.trajectory import Trajectory

__all__ = ["measure", "train"]

CHECKPOINT_SECONDS = 60.0


def train(
    spec: TrialSpec,
    store: Store,
    *,
    checkpoints: str | None = None,
    device: str | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    inference: bool = False,
    keep_weights: KeptWeights = "last",
) -> Iterator[Point]:
    """Train one trajectory and yield a point at each of its budgets, in the order in which they are reached.

    On a CPU the points are the same to the last bit (what is timed and `peak_memory` aside), interrupted or
    not, and whatever the process has run before. Random numbers that the network draws are a function of the spec's
    seed and the step. Global generators and settings of the process are restored to the caller's at each point.

    Args:
        spec: the trajectory.
        store: the structures; its fingerprint must be the spec's.
        checkpoints: folder for checkpoints, written after each point, with the weights that it was evaluated with, and
            every `checkpoint_seconds`. If it has an intact one already, its points are yielded first and training
                resumes from it.
        device: `cpu`, `cuda`, ...; by default a GPU where there is one.
        checkpoint_seconds: seconds between checkpoints.
        inference: measure what inference costs, for the points' `inference_flops` and `md_ms_...`, before training:
            a few tenths of a second, once in a process for all trials of a size.
        keep_weights: the points whose weights stay in `checkpoints`: the last, that and the one of the lowest loss, or
            all.

    Raises:
        DivergedError: the loss is no longer finite; points yielded before remain valid.
        DataError: the store is not the one that the spec was made for, or has too few structures.
        SpaceError: the architecture or size is unknown, or it or the device does not support the symmetry or precision.
    """
    isolated = IsolatedState()  # the network's changes to the process must not reach the caller or the next trial
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    begin = functools.partial(Trajectory, spec, store, where, inference=inference)
    with contextlib.closing(_train(begin, checkpoints, checkpoint_seconds, keep_weights)) as points:
        while True:
            with isolated:
                point = next(points, None)
            if point is None:
                return
            yield point


def _train(
    begin: Callable[[], Trajectory], checkpoints: str | None, checkpoint_seconds: float, keep: KeptWeights
) -> Generator[Point]:
    run = begin()
    points = _restore(run, checkpoints)
    yield from points
    done = {Budget(point.budget_kind, point.budget) for point in points}
    pending = [budget for budget in run.schedule.budgets if budget not in done]
    run.leave_branch(done)
    watch = Stopwatch(run.device, run.progress.seconds)
    run.branch_off(pending, watch)
    saved = time.monotonic()
    run.resume_training()
    while pending and (run.reached(pending) or not run.finished):
        if not run.reached(pending):  # a branch may be so short that it begins where it ends
            run.step(watch)
            run.branch_off(pending, watch)
        reached = run.reached(pending)
        due = checkpoints is not None and time.monotonic() - saved > checkpoint_seconds
        if not reached and not due:
            continue
        run.progress.seconds = watch.seconds
        if reached:
            new = run.points(reached)
            points += new
            pending = [budget for budget in pending if budget not in reached]
            done |= set(reached)
            run.progress = run.progress.since_here()
        if checkpoints is not None:  # still on the branch, so that the weights on disk are the point's
            here = run.checkpoint(points)
            if reached:  # first, so that a run that ends between the two takes this point again
                save_weights(checkpoints, here, keep)
            save(checkpoints, here)
            saved = time.monotonic()
        if reached:
            run.leave_branch(done)
            watch = Stopwatch(run.device, run.progress.seconds)
            run.branch_off(pending, watch)
            yield from new
            run.resume_training()


def _restore(run: Trajectory, checkpoints: str | None) -> list[Point]:
    """Resume from the newest intact checkpoint, if there is one, and return its points."""
    found = None if checkpoints is None else newest(checkpoints, run.spec.trial_id)[0]
    if found is None:
        return []
    run.restore(found)
    return list(found.points)
