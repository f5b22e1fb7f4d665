"""The choice of the trajectories of a grid that are worth their compute, in rounds, each by the points before it.

The first round spreads over all sizes at equal compute. Each later one fits the law to what is there, takes the
interval of the answer in question, and lets `frontier.next_runs` choose among the remaining trajectories, at every
length that the grid allows, until the interval is as narrow as requested, or the budget is spent.

A family's rounds depend on its own points and on nothing else, so more workers, or other families, never change them.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from raysweep.core.errors import FrontierError
from raysweep.frontier import fit, next_runs
from raysweep.frontier.points.findings import Kind
from raysweep.frontier.result import Fit
from raysweep.sweep.space.parts import Adaptive

ENLARGED = 2.0
"""While no fit is possible, a round's trajectories cost up to this multiple of the dearest one before."""
AT_ONCE = 16
"""Most trajectories of a round: each is charged this share of the round's budget on top of its cost, so that
one informative trajectory is preferred to many that cost next to nothing."""
MARGIN = 0.95
"""A round aims below the requested width by this factor, since its prediction is an estimate."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A trajectory of one family that could be run, to one of the ends that the grid allows."""

    trial_id: str
    size: str
    """As text, to group candidates by."""
    seed: int
    run: str
    """Candidates that are one run, trained for longer or shorter, share it: at most one of them is chosen."""
    params: int
    atoms: tuple[float, ...]
    """Seen at each of its points."""
    flops: float
    """Its total cost."""
    flops_per_atom: float | None = None
    """None: that of its total, which is more where each point costs a decay of its own (wsd)."""

    @property
    def per_atom(self) -> float:
        """The cost of an atom on the way to its points."""
        return self.flops_per_atom or self.flops / max(self.atoms)


@dataclass(frozen=True, kw_only=True)
class Round:
    """The next round of a family."""

    chosen: tuple[Candidate, ...]
    """Empty where there is nothing more to do."""
    interval: tuple[float, float] | None
    """Of the answer, from the points before this round; None where there was no usable fit."""
    ended: str | None
    """Why nothing was chosen: width, flops (the budget), grid (nothing is left), points (no trial gave any), bracketed
    (each N* has two sizes on either side, and no more was asked for), unbracketed (nothing left would bracket one),
    transition (runs that are long enough to show a law are not affordable, or the grid has none)."""
    told: str = ""
    """What else is known after the rounds before, in words."""


def first_round(candidates: Sequence[Candidate], settings: Adaptive) -> Round:
    """Choose the first round: each size once, for as much compute as the smallest size can take.

    So the points span both N and D at a small part of the grid's cost: a large size is trained for short at first.
    """
    smallest = min(candidate.params for candidate in candidates)
    limit = max(candidate.flops for candidate in candidates if candidate.params == smallest)
    return within_budget(spread(candidates, limit), 0.0, settings, None)


def next_round(
    candidates: Sequence[Candidate], taken: Collection[str], points: pa.Table | None, settings: Adaptive
) -> Round:
    """Choose the next round by the points so far.

    Args:
        candidates: all trajectories of the family at all lengths.
        taken: trial ids of the rounds before.
        points: on them, as in `frontier.fit`; None: no trial gave any.
        settings: what is asked for.
    """
    if points is None:
        return Round(chosen=(), interval=None, ended="points")
    points = points.drop_columns([name for name in ("architecture",) if name in points.column_names])
    before = [candidate for candidate in candidates if candidate.trial_id in taken]
    spent = math.fsum(candidate.flops for candidate in before)
    begun = {candidate.run for candidate in before}
    left = [candidate for candidate in candidates if candidate.run not in begun]
    found = usable_fit(points)
    interval = interval_asked(found, settings)
    # Without runs that show how trajectories differ, the interval is too narrow to stop on.
    told = found is not None and interval is not None and not found.status.found(Kind.TOO_FEW_TRAJECTORIES)
    if told and interval is not None and settings.width is not None and width_of(interval, settings) <= settings.width:
        return Round(chosen=(), interval=interval, ended="width")
    if not left:
        return Round(chosen=(), interval=interval, ended="grid")
    if not told or interval is None:
        dearest = max(candidate.flops for candidate in before)
        return within_budget(spread(left, ENLARGED * dearest), spent, settings, interval)
    return within_budget(most_telling(left, points, interval, spent, settings), spent, settings, interval)


def usable_fit(points: pa.Table, bootstraps: int = 1000) -> Fit | None:
    """Fit the points so far; None where they determine no law."""
    found = any_fit(points, bootstraps)
    return found if found is not None and found.status.usable else None


def any_fit(points: pa.Table, bootstraps: int) -> Fit | None:
    """Fit the points so far, even if the fit has no law to give; None where they are too few for that."""
    try:
        return fit(points, bootstraps=bootstraps)
    except FrontierError:
        return None


def interval_asked(found: Fit | None, settings: Adaptive) -> tuple[float, float] | None:
    """Return the interval of the answer in question, None where there is none."""
    if found is None:
        return None
    interval = found.interval(settings.target, flops=settings.at_flops)
    known = math.isfinite(interval.low) and math.isfinite(interval.high)
    return (interval.low, interval.high) if known else None


def width_of(interval: tuple[float, float], settings: Adaptive) -> float:
    """Return the width of an interval, in ln for the optimum."""
    low, high = interval
    return math.log(high / low) if settings.relative else high - low


def spread(candidates: Sequence[Candidate], limit: float) -> list[Candidate]:
    """Choose for each size its first seed, as long as the cost limit allows; sizes beyond the limit come last."""
    by_size: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda c: (c.params, c.size)):
        by_size.setdefault(candidate.size, []).append(candidate)
    chosen = []
    for of_size in by_size.values():
        seed = min(candidate.seed for candidate in of_size)
        ends = sorted((c for c in of_size if c.seed == seed), key=lambda c: (c.flops, c.trial_id))
        within = [candidate for candidate in ends if candidate.flops <= limit]
        chosen.append(within[-1] if within else ends[0])
    return sorted(chosen, key=lambda c: (c.flops > limit, c.params))


def most_telling(
    left: Sequence[Candidate], points: pa.Table, interval: tuple[float, float], spent: float, settings: Adaptive
) -> list[Candidate]:
    """Choose the trajectories that narrow the interval most per FLOP: one round, and no more than are needed."""
    costs = np.array([candidate.flops for candidate in left])
    budget = max(settings.growth * spent, float(costs.min()))
    table = {
        "params": np.array([float(candidate.params) for candidate in left]),
        "data": np.array([max(candidate.atoms) for candidate in left]),
        "flops": costs + budget / AT_ONCE,
        "trajectory": [candidate.run for candidate in left],
    }
    found = next_runs(points, table, (1 + 1 / AT_ONCE) * budget, target=settings.target, flops=settings.at_flops)
    width, error = width_of(interval, settings), found.standard_errors[None]
    chosen = []
    for run in found.runs:
        chosen.append(left[run.row])
        if settings.width is not None and width * run.standard_error / error <= MARGIN * settings.width:
            break
    return chosen


def within_budget(
    wanted: Sequence[Candidate], spent: float, settings: Adaptive, interval: tuple[float, float] | None
) -> Round:
    """Keep the trajectories that fit into the budget."""
    chosen = []
    for candidate in wanted:
        if settings.flops is None or spent + candidate.flops <= settings.flops:
            chosen.append(candidate)
            spent += candidate.flops
    return Round(chosen=tuple(chosen), interval=interval, ended=None if chosen else "flops")
