"""Longer runs for `grid.design: auto`, where all so far end on the starting plateau or in the transition.

Such points have a fit, whose exponents describe no law, and no size would bracket anything by it. Three of the smallest
sizes, those first that have left the plateau, are trained further, for the least compute that shows what comes after;
where the budgets, the data or `adaptive.flops` do not reach that far, the rounds of the family end, and say what it
would take.
"""

import math
from collections.abc import Sequence

from raysweep.core.text import short
from raysweep.frontier.design.beginning import FEWEST_RUNS, LawBegins
from raysweep.frontier.design.planned import REACHES, SIDES
from raysweep.sweep.stages.adaptive import Candidate, Round
from raysweep.sweep.stages.brackets.state import Aim

_LONGER = 1.5
"""Least factor by which a run is longer than those before, where none is as long as needed."""


def lengthened(
    candidates: Sequence[Candidate], left: Sequence[Candidate], before: Sequence[Candidate], begins: LawBegins, aim: Aim
) -> Round:
    """Choose runs that show what comes after the transition, or end the rounds with what that would take.

    Args:
        candidates: all trajectories of the family at all lengths.
        left: those whose runs are not begun.
        before: those of the rounds so far.
        begins: where the runs so far would begin to obey a law.
        aim: of the rounds.
    """
    lacking = _lacking(candidates, begins, aim)
    chosen = [] if lacking else _longer(left, max(max(one.atoms) for one in before), begins, aim.budgets[-1])
    if not lacking and not chosen:
        lacking = "no run is left that is longer: raise the largest of grid.structures, or adaptive.seeds"
    spent = math.fsum(one.flops for one in before)
    cost = math.fsum(one.flops for one in chosen)
    if aim.settings.flops is not None and chosen:
        enough = spent + cost + 2 * SIDES * aim.budgets[-1]
        if enough > aim.settings.flops:
            lacking = f"they and the brackets of the largest budget would take adaptive.flops of {enough:.2g} or more"
    if lacking:
        told = f"{begins.why}; a law takes runs up to D = {short(begins.needed)}: {lacking}"
        return Round(chosen=(), interval=None, ended="transition", told=told)
    return Round(chosen=tuple(chosen), interval=None, ended=None, told=f"{begins.why}; longer runs come next")


def _lacking(candidates: Sequence[Candidate], begins: LawBegins, aim: Aim) -> str:
    """Say why no longer run could help: even the largest budget would be spent before the law begins."""
    per_atom = sorted({one.params: one.per_atom for one in candidates}.values())
    least = max(begins.data * per_atom[min(2 * SIDES, len(per_atom)) - 1], begins.needed * per_atom[FEWEST_RUNS - 1])
    if aim.budgets[-1] >= (1 - REACHES) * least:
        return ""
    return (
        f"the largest of grid.flops ends before that at all but the smallest sizes; raise it to {1.1 * least:.2g}, or "
        "add smaller sizes"
    )


def _longer(left: Sequence[Candidate], longest: float, begins: LawBegins, most: float) -> list[Candidate]:
    """Choose for the smallest sizes that learn the shortest run that is as long as needed, else the longest."""
    chosen: dict[int, Candidate] = {}
    needed = begins.needed
    for one in sorted(left, key=lambda one: (one.params, one.seed, one.flops, one.trial_id)):
        end = max(one.atoms)
        if one.flops > (1 + REACHES) * most or end < min(_LONGER * longest, needed):
            continue
        kept = chosen.get(one.params)
        if kept is None or (kept.seed == one.seed and max(kept.atoms) < needed):
            chosen[one.params] = one
    order = sorted(chosen, key=lambda params: (params not in begins.params, params))
    return [chosen[params] for params in order][:FEWEST_RUNS]
