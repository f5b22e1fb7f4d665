"""Asynchronous successive halving (Li et al. 2018, arXiv 1810.05934) whose outcome does not depend on timing.

ASHA compares a trial at each rung with those that reached the rung before it, so which trials survive depends on which
worker was faster, and a resumed stage has other survivors than an uninterrupted one. Here "before" means the order in
which the learning rates were asked: a trial is compared with the trials asked before it, whenever they arrive. While
one of them has not arrived the decision is open and the trial continues; it is made as soon as possible, and what
the trial did after the rung at which it is then stopped is dropped. Same losses, same survivors, on any number of
workers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RungLosses:
    """Losses of one trial at the rungs that it has reached so far (inf where it diverged), and whether it has ended."""

    losses: tuple[float, ...]
    ended: bool


@dataclass(frozen=True)
class RungVerdict:
    """The known facts about one trial."""

    length: int
    """Rungs that certainly count: it reached them after every earlier decision was in its favour."""
    stopped: bool
    """Whether it is stopped after `length` rungs."""
    settled: bool
    """Whether nothing about it can change any more."""


def judge(curves: Sequence[RungLosses], rungs: int, reduction_factor: float) -> list[RungVerdict]:
    """Return the verdict on each trial, in the order in which they were suggested.

    A trial continues past a rung if it is among the best ⌈n / reduction_factor⌉ of the n trials asked up to it that
    reached the rung. The last rung is the end of the trial: nothing is decided there.

    Args:
        curves: of all trials asked so far, in the order of asking.
        rungs: number of rungs, the last one included.
        reduction_factor: η of the paper: one in this many continues.
    """
    recorded: list[list[float]] = [[] for _ in range(rungs)]
    known = [True] * rungs  # whether all trials asked so far have shown whether, and with what, they reach the rung
    verdicts = []
    for curve in curves:
        verdict = _judge_one(curve, rungs, reduction_factor, recorded, known)
        verdicts.append(verdict)
        if not verdict.settled:
            open_from = verdict.length
            known[open_from:] = [False] * (rungs - open_from)
    return verdicts


def _judge_one(
    curve: RungLosses, rungs: int, reduction_factor: float, recorded: list[list[float]], known: list[bool]
) -> RungVerdict:
    for rung in range(rungs):
        if len(curve.losses) <= rung:
            return RungVerdict(rung, stopped=False, settled=curve.ended)
        recorded[rung].append(curve.losses[rung])
        if rung == rungs - 1:
            break
        if not known[rung]:
            return RungVerdict(rung + 1, stopped=False, settled=False)
        places = math.ceil(len(recorded[rung]) / reduction_factor)
        better = sum(loss < curve.losses[rung] for loss in recorded[rung])
        if better >= places or not math.isfinite(curve.losses[rung]):
            return RungVerdict(rung + 1, stopped=True, settled=True)
    return RungVerdict(rungs, stopped=False, settled=curve.ended)
