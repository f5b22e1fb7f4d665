"""The choice of the trajectories of `grid.design: auto`: rounds that bracket N* at each compute budget, then narrow.

A pilot trains each of the smaller sizes to one compute, the lowest budget or less. After each round the law is fitted,
and the next budgets are bracketed: two sizes below the interval of N* and two above it are trained to the budget, one
decade of compute beyond the points at most. A trajectory serves the lower budgets on its way. Where N* is too uncertain
for that, small runs that narrow it come first. Once every budget is bracketed, what is left is spent as `--adaptive`
does, on the trajectories that narrow the answer in question most per FLOP, which are of many D/N.

Points before the transition that the fit finds count for nothing here either. Where all runs end on the starting
plateau or in the transition, longer ones come next (`lengthening`).
"""

import math
from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa

from raysweep.frontier.design.beginning import law_begins
from raysweep.frontier.design.planned import REACHES, SIDES
from raysweep.frontier.points.findings import Kind
from raysweep.sweep.space.parts import Adaptive
from raysweep.sweep.stages.adaptive import (
    ENLARGED,
    Candidate,
    Round,
    any_fit,
    interval_asked,
    most_telling,
    spread,
    width_of,
    within_budget,
)
from raysweep.sweep.stages.brackets.lengthening import lengthened
from raysweep.sweep.stages.brackets.state import Aim, BracketState, least_data, standing

PILOT_SHARE = 0.1
"""Of the budget of all rounds that the pilot may spend."""
PILOT_SIZES = 5
"""Sizes that the pilot has at the least, if it can: a law needs three, and its noise more."""
BOOTSTRAPS = 200
"""Enough to tell where N* is to a tenth of its interval."""
REACH = 10.0
"""Largest factor in compute by which a round goes beyond the points: laws bend, and intervals do not know that."""
CERTAIN = 3.0
"""Ratio of the ends of the interval of N* up to which a budget is bracketed at once."""
BEFORE = 2.0
"""Runs that narrow N* come first while all rounds together have spent less than this many times the budget."""


def refusal(label: str, candidates: Sequence[Candidate], aim: Aim) -> tuple[tuple[str, ...], str] | None:
    """Return the key to change, and why, where no choice of a family's trajectories could bracket a budget.

    What only a law can tell, such as an N* beyond the sizes, is not refused: the rounds find out.
    """
    least = least_data(candidates)
    for budget in aim.budgets:
        reaching = {c.params: c for c in candidates if c.per_atom * max(c.atoms) >= (1 - REACHES) * budget}
        late = sum(budget / candidate.per_atom >= least for candidate in reaching.values())
        if late < 2 * SIDES:
            how, remedy = "within the data", "lower it, add larger sizes, or raise the largest of grid.structures"
            if len(reaching) >= 2 * SIDES:
                how = "after the smallest data budget"
                remedy = "raise it, add smaller sizes, or give a smaller grid.structures"
            count = "1 size reaches" if late == 1 else f"{late or 'no'} sizes reach"
            return (
                ("grid", "flops"),
                f"{label}: {count} {budget:g} FLOPs {how}, and N* takes {2 * SIDES} there, two on either "
                f"side; {remedy}",
            )
    needed = 2 * SIDES * aim.budgets[-1]
    if aim.settings.flops is not None and aim.settings.flops < needed:
        return (
            ("adaptive", "flops"),
            f"{label}: {aim.settings.flops:g} cannot bracket N* at {aim.budgets[-1]:g} FLOPs, which takes {2 * SIDES} "
            f"runs of that; raise it to {1.5 * needed:.2g}, or lower the largest of grid.flops",
        )
    return None


def pilot(candidates: Sequence[Candidate], aim: Aim) -> Round:
    """Choose the first round: each size that can once, to one compute."""
    least = least_data(candidates)
    candidates = [candidate for candidate in candidates if max(candidate.atoms) >= least]
    smallest = min(candidate.params for candidate in candidates)
    limit = max(candidate.flops for candidate in candidates if candidate.params == smallest)
    limit = min(limit, aim.budgets[0])
    if aim.settings.flops is not None:
        limit = min(limit, PILOT_SHARE * aim.settings.flops / len({candidate.size for candidate in candidates}))
    wanted = spread(candidates, limit)
    cheap = [candidate for candidate in wanted if candidate.flops <= limit]
    return within_budget(wanted[: max(len(cheap), PILOT_SIZES)], 0.0, aim.settings, None)


def next_bracketing_round(
    candidates: Sequence[Candidate], taken: Collection[str], points: pa.Table | None, aim: Aim
) -> Round:
    """Choose the next round by the points so far.

    Args:
        candidates: all trajectories of the family at all lengths.
        taken: trial ids of the rounds before.
        points: on them, as in `frontier.fit`; None: no trial gave any.
        aim: what is asked for.
    """
    if points is None:
        return Round(chosen=(), interval=None, ended="points")
    points = points.drop_columns([name for name in ("architecture",) if name in points.column_names])
    settings = aim.settings
    before = [candidate for candidate in candidates if candidate.trial_id in taken]
    spent, begun = math.fsum(candidate.flops for candidate in before), {candidate.run for candidate in before}
    left = [candidate for candidate in candidates if candidate.run not in begun]
    fitted = any_fit(points, BOOTSTRAPS)
    begins = law_begins(fitted, points)
    if not begins.shown:
        return lengthened(candidates, left, before, begins, aim)
    fitted = fitted if fitted is not None and fitted.status.usable else None
    interval = interval_asked(fitted, settings)
    if fitted is None or interval is None:
        limit = ENLARGED * max(candidate.flops for candidate in before)
        wanted = within_budget(spread(left, limit), spent, settings, interval) if left else None
        return wanted or Round(chosen=(), interval=interval, ended="grid")
    state = standing(fitted, begins, candidates, left, points, spent, aim)
    chosen = _bracketing(state, points)
    if not chosen:
        return _narrowing(state, points, interval)
    return _told(within_budget(chosen, spent, settings, interval), state)


def _bracketing(state: BracketState, points: pa.Table) -> list[Candidate]:
    """Choose the trajectories that bracket the next budgets, or that narrow N* there first."""
    budgets, settings = state.aim.budgets, state.aim.settings
    lacking = [budget for budget in budgets if state.lacking(budget) and not state.bracketed(budget)]
    if not lacking:
        return []
    first, limit = lacking[0], REACH * max(state.reached.values())
    optimum = state.optimum(first)
    if optimum.high > CERTAIN * optimum.low and state.spent < BEFORE * first:
        narrowing = _narrow_optimum(state, points, first)
        if narrowing:
            return narrowing
    now = [first]
    for budget in lacking[1:]:
        optimum = state.optimum(budget)
        if budget <= limit and optimum.high <= CERTAIN * optimum.low:
            now.append(budget)
    for last in range(len(now), 0, -1):  # as many budgets as can be paid for
        chosen: list[Candidate] = []
        for budget in reversed(now[:last]):
            chosen += state.lacking(budget, chosen)
        cost = math.fsum(candidate.flops for candidate in chosen)
        if settings.flops is None or state.spent + cost <= settings.flops:
            return chosen
    return []


def _narrow_optimum(state: BracketState, points: pa.Table, budget: float) -> list[Candidate]:
    """Choose small trajectories that narrow N* at a budget, if the remaining FLOPs also pay for the brackets."""
    settings, budgets = state.aim.settings, state.aim.budgets
    allowed = settings.growth * state.spent
    if settings.flops is not None:
        kept = 2 * SIDES * budgets[-1] + SIDES * math.fsum(b for b in budgets[:-1] if b >= budget)
        allowed = min(allowed, settings.flops - state.spent - kept)
    small = [candidate for candidate in _after(state) if candidate.flops <= allowed]
    if not small:
        return []
    aim = Adaptive(
        target="optimal_params", at_flops=budget, width=math.log(CERTAIN), growth=max(allowed / state.spent, 1e-9)
    )
    interval = interval_asked(state.fit, aim)
    if interval is None:
        return []
    chosen = most_telling(small, points, interval, state.spent, aim)
    return chosen if math.fsum(candidate.flops for candidate in chosen) <= 1.1 * allowed else []


def _narrowing(state: BracketState, points: pa.Table, interval: tuple[float, float]) -> Round:
    """Narrow the answer in question, if requested, by the most informative trajectories per FLOP."""
    settings = state.aim.settings
    told = not state.fit.status.found(Kind.TOO_FEW_TRAJECTORIES)
    ended = None
    if settings.width is not None and told and width_of(interval, settings) <= settings.width:
        ended = "width"
    elif settings.width is None and settings.flops is None:
        ended = "bracketed" if all(state.bracketed(budget) for budget in state.aim.budgets) else "unbracketed"
    left = _after(state)
    if ended is None and not left:
        ended = "grid"
    if ended is not None:
        return _told(Round(chosen=(), interval=interval, ended=ended), state)
    affordable = left
    if settings.flops is not None:
        affordable = [candidate for candidate in left if state.spent + candidate.flops <= settings.flops]
    if not affordable:
        return _told(Round(chosen=(), interval=interval, ended="flops"), state)
    wanted = most_telling(affordable, points, interval, state.spent, settings)
    return _told(within_budget(wanted, state.spent, settings, interval), state)


def _after(state: BracketState) -> list[Candidate]:
    """Return the trajectories left that go on after the transition."""
    return [candidate for candidate in state.left if max(candidate.atoms) > state.transition]


def _told(coming: Round, state: BracketState) -> Round:
    budgets = state.aim.budgets
    count = int(np.sum([state.bracketed(budget) for budget in budgets]))
    return Round(
        chosen=coming.chosen,
        interval=coming.interval,
        ended=coming.ended,
        told=f"N* bracketed at {count} of {len(budgets)} budgets",
    )
