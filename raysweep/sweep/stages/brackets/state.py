"""The state of the rounds of `grid.design: auto`: N* at each budget, and the sizes that have reached it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from raysweep.frontier.design.beginning import LawBegins
from raysweep.frontier.design.planned import REACHES, SIDES
from raysweep.frontier.result import Fit
from raysweep.sweep.space.parts import Adaptive
from raysweep.sweep.stages.adaptive import Candidate

WIDEST = 4.0
"""The interval of N* is cut to this factor on either side, so that a poor fit does not ask for sizes far away."""


@dataclass(frozen=True, kw_only=True)
class Aim:
    """The aim of the rounds of a family."""

    budgets: tuple[float, ...]
    """Compute budgets whose N* is to be bracketed, ascending."""
    settings: Adaptive
    """The answer to narrow, the width, and the FLOPs to spend."""


@dataclass(frozen=True, kw_only=True)
class OptimumRange:
    """N* at a budget: its estimate and the ends of its interval."""

    low: float
    params: float
    high: float

    def nearer(self) -> "OptimumRange":
        """Half of the interval on either side, in ln: a refit that moves it a little undoes no bracket."""
        return OptimumRange(
            low=(self.low * self.params) ** 0.5, params=self.params, high=(self.high * self.params) ** 0.5
        )


@dataclass(frozen=True, kw_only=True)
class BracketState:
    """The rounds so far."""

    fit: Fit
    left: list[Candidate]
    """Trajectories whose runs are not begun."""
    per_atom: dict[int, float]
    """FLOPs of an atom by N."""
    reached: dict[int, float]
    """The largest compute at which there is a point, by N."""
    transition: float
    """D before which points do not count."""
    spent: float
    aim: Aim

    def optimum(self, budget: float) -> OptimumRange:
        """Find N* at a budget with its interval."""
        found = self.fit.optimal(flops=budget).params
        low, high = (found.interval.low, found.interval.high) if found.interval else (0.0, math.inf)
        params = found.value
        return OptimumRange(
            low=max(low, params / WIDEST) if math.isfinite(low) else params / WIDEST,
            params=params,
            high=min(high, params * WIDEST) if math.isfinite(high) else params * WIDEST,
        )

    def sizes_at(self, budget: float) -> list[int]:
        """Return the N, ascending, that have a point at the budget after the transition."""
        return sorted(
            n
            for n, most in self.reached.items()
            if most >= (1 - REACHES) * budget and budget / self.per_atom[n] >= self.transition
        )

    def candidates_at(self, budget: float) -> dict[int, Candidate]:
        """Return by N the cheapest trajectory left that reaches the budget after the transition."""
        found: dict[int, Candidate] = {}
        for candidate in sorted(self.left, key=lambda c: (c.flops, c.seed, c.trial_id)):
            reaches = candidate.per_atom * max(candidate.atoms) >= (1 - REACHES) * budget
            if reaches and budget / candidate.per_atom >= self.transition:
                found.setdefault(candidate.params, candidate)
        return found

    def lacking(self, budget: float, further: Sequence[Candidate] = ()) -> list[Candidate]:
        """Choose the trajectories that bracket a budget, besides those already chosen; empty if nothing would help.

        Sizes count as below or above N* by half of its interval, and are chosen by the whole of it.
        """
        sizes = {*self.sizes_at(budget)}
        sizes |= {c.params for c in further if c.per_atom * max(c.atoms) >= (1 - REACHES) * budget}
        optimum, possible = self.optimum(budget), self.candidates_at(budget)
        near, new = optimum.nearer(), sorted(set(possible) - sizes)
        below = SIDES - sum(n <= near.low for n in sizes)
        above = SIDES - sum(n >= near.high for n in sizes)
        chosen: list[int] = []
        if below > 0:
            lower = [n for n in new if n <= optimum.low]
            chosen += lower[-below:] or [n for n in new if n <= optimum.params][:below]
        if above > 0:
            upper = [n for n in new if n >= optimum.high]
            chosen += upper[:above] or [n for n in new if n >= optimum.params][-above:]
        return [possible[n] for n in dict.fromkeys(chosen)]

    def bracketed(self, budget: float) -> bool:
        """Whether N* has two sizes on either side at a budget."""
        near, sizes = self.optimum(budget).nearer(), self.sizes_at(budget)
        return sum(n <= near.low for n in sizes) >= SIDES and sum(n >= near.high for n in sizes) >= SIDES


def least_data(candidates: Sequence[Candidate]) -> float:
    """Return the smallest data budget: the least D that all sizes have a point at, 0 where there is none.

    A compute budget may be reached before it, by a large size after a few steps, and that says nothing of N*.
    """
    by_size: dict[int, set[float]] = {}
    for candidate in candidates:
        by_size.setdefault(candidate.params, set()).update(candidate.atoms)
    return min(set.intersection(*by_size.values()), default=0.0)


def standing(
    fitted: Fit,
    begins: LawBegins,
    candidates: Sequence[Candidate],
    left: list[Candidate],
    points: pa.Table,
    spent: float,
    aim: Aim,
) -> BracketState:
    """Compute the state of the rounds of a family.

    Args:
        fitted: the law of the points so far.
        begins: where they begin to obey it.
        candidates: all trajectories of the family.
        left: those whose runs are not begun.
        points: on the others.
        spent: FLOPs of the rounds so far.
        aim: what is asked for.
    """
    reached: dict[int, float] = {}
    params, flops = (points[name].to_numpy() for name in ("params", "flops"))
    for n, cost in zip(params, flops, strict=True):
        reached[int(n)] = max(reached.get(int(n), 0.0), float(cost))
    return BracketState(
        fit=fitted,
        left=left,
        per_atom={candidate.params: candidate.per_atom for candidate in candidates},
        reached=reached,
        transition=max(begins.data, least_data(candidates)),
        spent=spent,
        aim=aim,
    )
