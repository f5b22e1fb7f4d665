"""The judgement of one look: which families are out, and whether those left are decided between."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from raysweep.frontier.decision.losses import LogLoss, log_difference
from raysweep.frontier.decision.spending import spent_at, spent_until
from raysweep.frontier.decision.verdict import LossGap, RuledOut, Verdict, VerdictKind

_LARGEST = 30.0
"""Of the logarithm of a ratio of losses: more says no more, and one divided by it is still a number."""


def judge(
    losses: Mapping[str, LogLoss],
    unfit: Mapping[str, str],
    *,
    flops: float,
    delta: float,
    error: float,
    look: int,
    before: Mapping[str, RuledOut],
    spent: float,
) -> Verdict:
    """Judge losses at a compute: `losses` and `unfit` are the families still in, `before` those that are out.

    The error of a look is divided among the pairs of the best family, whichever that is, with each other one. Both ways
    to be wrong, the best excluded or called equal to one that is worse by more than `delta`, need the interval of such
    a pair to lie above the truth, so that each end of it is exceeded with that probability.
    """
    pairs = max(len(losses) + len(unfit) + len(before) - 1, 1)
    race = _Race(losses=losses, unfit=unfit, error=spent_at(look, error) / pairs, delta=delta, look=look, before=before)
    return race.verdict(flops, error, spent)


class _Race:
    """The families of one look, and the comparisons of their losses."""

    def __init__(
        self,
        *,
        losses: Mapping[str, LogLoss],
        unfit: Mapping[str, str],
        error: float,
        delta: float,
        look: int,
        before: Mapping[str, RuledOut],
    ) -> None:
        self.unfit, self.error, self.delta, self.look = dict(unfit), error, delta, look
        self.losses = dict(sorted(losses.items(), key=lambda item: item[1].estimate))
        self.gaps = {pair: self._gap(*pair) for pair in combinations(self.losses, 2)}
        self.out = dict(before) | self._excluded()
        self.alive = [name for name in self.losses if name not in self.out]

    def _gap(self, first: str, second: str) -> LossGap:
        ends = log_difference(self.losses[first], self.losses[second], self.error)
        value, low, high = (float(np.expm1(np.clip(end, -_LARGEST, _LARGEST))) for end in ends)
        return LossGap(first=first, second=second, difference=value, low=low, high=high)

    def _excluded(self) -> dict[str, RuledOut]:
        """Families that some other's loss lies below, by the family that says so most clearly."""
        found: dict[str, RuledOut] = {}
        for (better, worse), gap in self.gaps.items():
            excess = gap.reversed
            if excess.low is None or excess.low <= 0:
                continue
            if worse not in found or excess.low > (found[worse].low or 0.0):
                found[worse] = RuledOut(
                    look=self.look, by=better, difference=excess.difference, low=excess.low, high=excess.high
                )
        return found

    def verdict(self, flops: float, error: float, spent: float) -> Verdict:
        """Decide between the remaining families."""
        alive, leader = self.alive, next(iter(self.alive), None)
        contested = [gap for (one, other), gap in self.gaps.items() if {one, other} <= set(alive)]
        kind: VerdictKind = "undecided"
        families = (*alive, *self.unfit)
        if not self.unfit and len(alive) == 1:
            kind, families = "best", (alive[0],)
        elif not self.unfit and len(alive) > 1 and all(gap.within(self.delta) for gap in contested):
            kind, families = "equal", tuple(alive)
        left = [gap for gap in self.gaps.values() if self.out.get(gap.second, RuledOut(look=0)).look == self.look]
        return Verdict(
            kind=kind,
            families=families,
            out=self.out,
            flops=flops,
            delta=self.delta,
            error=error,
            look=self.look,
            spent=spent_until(self.look, error),
            level=1.0 - 2.0 * self.error,
            leader=leader,
            losses={name: float(np.exp(one.estimate)) for name, one in self.losses.items()},
            pairs=(*contested, *(gap for gap in left if gap.first == leader)),
            within_delta=kind == "best" and any(gap.within(self.delta) for gap in left if gap.first == leader),
            regret=self._regret(leader),
            unfit=self.unfit,
            needed=self._needed(contested, spent) if kind == "undecided" else None,
        )

    def _regret(self, leader: str | None) -> float | None:
        """The most by which the leader's loss lies above that of any family still in."""
        if leader is None or self.unfit:
            return None
        worst = 0.0
        for (one, other), gap in self.gaps.items():
            if one == leader and other in self.alive:
                worst = max(worst, float("inf") if gap.high is None else gap.high)
        return worst if math.isfinite(worst) else None

    def _needed(self, contested: Sequence[LossGap], spent: float) -> float | None:
        """FLOPs beyond those spent, if intervals narrow with the root of the compute; see `Verdict.needed`."""
        if self.unfit or not contested or spent <= 0:
            return None
        ratios = []
        for gap in contested:
            if gap.low is None or gap.high is None:
                return None
            away = float(np.log1p(gap.difference))
            half_width = 0.5 * float(np.log1p(gap.high) - np.log1p(gap.low))
            ratios.append(half_width / max(abs(away), math.log1p(self.delta) - abs(away)))
        return spent * max(max(ratios) ** 2 - 1.0, 0.0)
