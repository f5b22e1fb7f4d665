"""The computes at which one family's frontier overtakes another's, and which is lower on either side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.arguments import not_negative
from raysweep.frontier.answers.lifetime import usage_of
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.families.comparable import require_one_cost, usable_of
from raysweep.frontier.families.contrasts import contrasts
from raysweep.frontier.families.crossing import (
    Pair,
    crossings,
    interval_of_crossing,
    probability_lower,
    share_lower_everywhere,
)
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.result import Fit


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The family whose frontier is the lower one at a compute.

    Attributes:
        family: by the fits themselves.
        flops: where.
        probability: that it is, by `contrasts` of the loss there, and so widened beyond the points; None without
            bootstraps.
        inside: whether both families were run at that compute.
    """

    family: str
    flops: float
    probability: float | None
    inside: bool


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """The compute from which one family's frontier lies below another's, or a pair that does not cross.

    Attributes:
        before, after: the family that is lower just below the crossing, and just above it; the same one where the
            frontiers do not cross in the range looked at.
        flops: the crossing, with its interval, which is widened beyond the points; None where there is none.
        share: of the joint bootstraps in which they cross in this direction; without a crossing, in which the same
            family is lower all along the range.
        inside: whether the crossing lies within the computes that both were run at.
        number, count: which of the pair's crossings this is, from 1, and how many there are; 0 where there is none.
        leads: who is lower at the ends of the range, at the ends of the computes that both were run at, and halfway
            between two crossings.
        sentence: for a person.
    """

    before: str
    after: str
    flops: Answer | None
    share: float
    inside: bool
    number: int
    count: int
    leads: tuple[Lead, ...]
    sentence: str


def crossovers(
    fits: Mapping[str, Fit], *, reach: float = 1e3, inference_steps: float = 0.0, inference_atoms: int = 1000
) -> list[Crossover]:
    """Find the computes at which one family overtakes another, for every pair.

    Args:
        fits: by family, as `fit_families` returns them.
        reach: how far beyond the computes that were run to look, as a factor on either side.
        inference_steps: M, atom-steps of inference: the compute is then that of training and inference together, and
            each family has the size that is best for both, as in `Fit.optimal`.
        inference_atoms: as in `Fit.optimal`.

    Returns:
        For each pair its crossings by rising compute, or one entry that says who is lower throughout.

    Raises:
        FrontierError: the fits count different costs (FLOPs and seconds, or seconds of different devices), a law has no
            frontier, or the cost of inference was not measured.
    """
    if isinstance(reach, str) or not 1 <= reach < np.inf:
        raise FrontierError(f"crossovers(reach={reach!r}): give a factor of 1 or more")
    require_one_cost(fits, "crossovers")
    steps = not_negative("crossovers", "inference_steps", inference_steps)
    usable = usable_of(fits)
    usages = {name: usage_of(fit, steps, inference_atoms)[0] for name, fit in usable.items() if steps}
    found: list[Crossover] = []
    for one, other in combinations(usable, 2):
        pair = Pair(usable[one], usable[other], reach, (usages[one], usages[other]) if steps else None)
        found += _of_pair((one, other), pair)
    return found


def _of_pair(names: tuple[str, str], pair: Pair) -> list[Crossover]:
    difference = pair.estimate()
    places = crossings(difference, pair.grid)
    leads = _leads(names, pair, difference, [place for place, _ in places])
    if not places:
        return [_without(names, pair, difference, leads)]
    return [_crossover(names, pair, leads, places, number) for number in range(len(places))]


def _leads(names: tuple[str, str], pair: Pair, difference: Floats, places: Sequence[float]) -> tuple[Lead, ...]:
    """Judge the pair at the ends of the range and of the common computes, and between crossings."""
    between = [0.5 * (low + high) for low, high in pairwise(places)]
    judged = sorted({float(pair.grid[0]), *pair.common, *between, float(pair.grid[-1])})
    fits = dict(zip(names, (pair.first, pair.second), strict=True))
    found = []
    for place in judged:
        lower = names[0] if np.interp(place, pair.grid, difference) < 0 else names[1]
        flops = float(np.exp(place))
        if pair.counts_inference:
            probability = probability_lower(pair, place, first=lower == names[0])
        else:
            probability = contrasts(fits, "loss", flops).best.get(lower)
        found.append(Lead(family=lower, flops=flops, probability=probability, inside=pair.is_common(place)))
    return tuple(found)


def _crossover(
    names: tuple[str, str], pair: Pair, leads: Sequence[Lead], places: Sequence[tuple[float, bool]], number: int
) -> Crossover:
    place, rising = places[number]
    before, after = names if rising else names[::-1]
    share, interval = interval_of_crossing(pair, place, rising)
    answer = Answer(value=float(np.exp(place)), interval=interval)
    inside = pair.is_common(place)
    ends = [float(pair.grid[0]), *(at for at, _ in places), float(pair.grid[-1])]
    sides = [_side(leads, place, ends[number]), _side(leads, place, ends[number + 2])]
    where = "" if inside else ", an extrapolation: both were not run there"
    cost = " of training and inference" if pair.counts_inference else ""
    text = f"{after} overtakes {before} at {answer}{cost} (in {share:.0%} of the bootstraps{where})"
    told = " and ".join(_told(lead) for lead in sides if lead is not None and lead.probability is not None)
    text = f"{text}; {told}" if told else text
    if len(places) > 1:
        text = f"{text}. The two cross {len(places)} times; this is crossing {number + 1}"
    return Crossover(
        before=before,
        after=after,
        flops=answer,
        share=share,
        inside=inside,
        number=number + 1,
        count=len(places),
        leads=tuple(leads),
        sentence=text,
    )


def _side(leads: Sequence[Lead], place: float, end: float) -> Lead | None:
    """The judgement that speaks for one side of a crossing: where both were run if there is one, and near."""
    low, high = min(place, end), max(place, end)
    of_side = [lead for lead in leads if low <= np.log(lead.flops) * (1 + 1e-12) and np.log(lead.flops) <= high + 1e-9]
    return min(of_side, key=lambda lead: (not lead.inside, abs(np.log(lead.flops) - place)), default=None)


def _told(lead: Lead) -> str:
    beyond = "" if lead.inside else ", beyond the points"
    return f"{lead.family} is lower at {lead.flops:.2g} with probability {lead.probability:.0%}{beyond}"


def _without(names: tuple[str, str], pair: Pair, difference: Floats, leads: tuple[Lead, ...]) -> Crossover:
    low, high = np.exp(pair.grid[0]), np.exp(pair.grid[-1])
    lower = names[0] if np.any(difference < 0) else names[1]
    share = share_lower_everywhere(pair, first=lower == names[0])
    kind = "total cost" if pair.counts_inference else "compute"
    text = f"{lower} is lower at every {kind} from {low:.2g} to {high:.2g} (in {share:.0%} of the bootstraps)"
    told = " and ".join(_told(lead) for lead in leads if lead.inside and lead.probability is not None)
    if not np.any(difference):
        text = f"{names[0]} and {names[1]} have the same frontier"
    return Crossover(
        before=lower,
        after=lower,
        flops=None,
        share=share,
        inside=False,
        number=0,
        count=0,
        leads=leads,
        sentence=f"{text}; {told}" if told and np.any(difference) else text,
    )
