"""`decide`: the verdict on which family is best at a compute, from the points so far."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Unpack

import numpy as np
import pyarrow as pa

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.arguments import coverage, positive
from raysweep.frontier.approaches.options import Settings
from raysweep.frontier.decision.losses import LogLoss, log_difference, log_loss_at
from raysweep.frontier.decision.spending import checked_look, spent_at, spent_until
from raysweep.frontier.decision.verdict import LossGap, RuledOut, Verdict, VerdictKind
from raysweep.frontier.fit import fit_families
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.families import families_of
from raysweep.frontier.points.readers import as_table

BOOTSTRAPS = 200
_LARGEST = 30.0
"""Of the logarithm of a ratio of losses: more says no more, and one divided by it is still a number."""


def decide(
    points: object,
    *,
    flops: float,
    delta: float = 0.02,
    error: float = 0.05,
    look: int = 1,
    families: Sequence[str] | None = None,
    out: Mapping[str, int | RuledOut] | None = None,
    **settings: Unpack[Settings],
) -> Verdict:
    """Decide which family has the lowest loss at a compute, or that several are equal within `delta`.

    The verdict may be asked for again as points come in: each look spends its share of `error`
    (`decision.spending`), so that the verdict of whichever look a race stops at is wrong with a probability of at most
    `error`, as far as the intervals of the losses hold.

    Args:
        points: as in `fit_families`, with a column architecture (or family).
        flops: the compute at which families are compared.
        delta: share of the loss within which families count as equal.
        error: probability that the verdict, of any look, is wrong.
        look: the number of this look at the growing points, from 1.
        families: all families of the race, those without points too; by default those of the points.
        out: families excluded at an earlier look, with that look; they stay out.
        **settings: as in `fit`; `bootstraps` is 200 unless given.

    Raises:
        FrontierError: an argument has no meaning, or there are fewer than two families.
    """
    flops, error = positive("decide", "flops", flops), checked_share("decide", "error", error)
    delta, look = checked_share("decide", "delta", delta), checked_look(look)
    table = as_table(points)
    names = _names(table, families)
    before = {name: one if isinstance(one, RuledOut) else RuledOut(look=one) for name, one in (out or {}).items()}
    if unknown := sorted(set(before) - set(names)):
        raise FrontierError(f"decide(out=...): {', '.join(unknown)} is no family of the race: {', '.join(names)}")
    if len(before) >= len(names):
        raise FrontierError("decide(out=...): every family is out; at least one is the best")
    losses, unfit = _losses(table, [name for name in names if name not in before], flops, settings)
    spent = _spent(table, list(losses))
    return judge(losses, unfit, flops=flops, delta=delta, error=error, look=look, before=before, spent=spent)


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
    """The families of one look, and what their losses say."""

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
        self.losses = dict(sorted(losses.items(), key=lambda item: item[1].value))
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
        """Judge what is left of the race."""
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
            losses={name: float(np.exp(one.value)) for name, one in self.losses.items()},
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


def _losses(
    table: pa.Table, alive: Sequence[str], flops: float, settings: Settings
) -> tuple[dict[str, LogLoss], dict[str, str]]:
    """The losses of the families still in; for those that have none, why."""
    of = families_of(table)
    rows = [of[name] for name in alive if name in of]
    if not rows:
        return {}, {name: "no points yet" for name in alive}
    settings.setdefault("bootstraps", BOOTSTRAPS)
    fits = fit_families(table.take(np.sort(np.concatenate(rows))), **settings)
    found = {name: log_loss_at(fits[name], flops) if name in fits else "no points yet" for name in alive}
    losses = {name: one for name, one in found.items() if isinstance(one, LogLoss)}
    return losses, {name: one for name, one in found.items() if isinstance(one, str)}


def _names(table: pa.Table, families: Sequence[str] | None) -> list[str]:
    found = [name for name in families_of(table) if name is not None]
    if not found and table.num_rows:
        raise FrontierError("decide: the points have no column architecture (or family): which families compete?")
    if families is not None:
        if isinstance(families, str):
            raise FrontierError(f"decide(families={families!r}): give a list of names")
        if unknown := sorted(set(found) - set(families)):
            raise FrontierError(f"decide: the points are of {', '.join(unknown)} too, which families= does not name")
        found = list(dict.fromkeys(families))
    if len(found) < 2:
        raise FrontierError(f"decide: {len(found)} families in the race ({', '.join(found) or 'none'}); two are needed")
    return found


def checked_share(query: str, name: str, value: float) -> float:
    """Convert delta or error to a number between 0 and 1.

    Raises:
        FrontierError: it is none; names the query and the argument.
    """
    try:
        return coverage(query, value)
    except FrontierError as wrong:
        example = {"error": "0.05", "delta": "0.02"}[name]
        raise FrontierError(
            f"{query}({name}={value!r:.60}): give a number between 0 and 1, such as {example}"
        ) from wrong


def _spent(table: pa.Table, families: Sequence[str]) -> float:
    """FLOPs of the families' runs: of each trajectory the most, of points without one their own."""
    if not table.num_rows:
        return 0.0
    flops: Floats = np.asarray(table["flops"].to_numpy(zero_copy_only=False), dtype=float)
    names = table["architecture"].to_pylist()
    runs = table["trajectory"].to_pylist() if "trajectory" in table.column_names else list(range(table.num_rows))
    most: dict[object, float] = {}
    for name, run, cost in zip(names, runs, flops, strict=True):
        if name in families and np.isfinite(cost):
            most[name, run] = max(most.get((name, run), 0.0), float(cost))
    return float(sum(most.values()))
