"""Differences between families, with intervals, and the probability of each order of the families.

Families are independent, so their draws are not paired: that resamples of one seed happen to be alike says nothing of
two families. Only fits that share parameters (`fit_families(..., share=...)`) were drawn together, and are compared
draw by draw. Families trained on the same data in the same order may err alike; their differences are then surer than
stated here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.arguments import coverage, positive
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.families.comparable import require_one_cost, usable_of
from raysweep.frontier.families.differences import Contrast, Contrasts, Order
from raysweep.frontier.families.spread import Spread, difference_of, interval_about, spread_of, told
from raysweep.frontier.laws.quantities import OPTIMAL, SHORT
from raysweep.frontier.laws.quantities import quantity as quantity_of
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.result import Fit

_NAMES = {"loss": "optimal_loss", "params": "optimal_params", "data": "optimal_data"}
_LOWEST_FIRST = ("optimal_loss", "E")
_PLACES = 20_000
"""Joint draws of independent families."""
_LEAST_PROBABILITY = 1e-3
"""Of an order that is listed."""


def contrasts(
    fits: Mapping[str, Fit],
    quantity: str = "gamma",
    flops: float | None = None,
    *,
    level: float = 0.95,
    simultaneous: bool = False,
    seed: int = 0,
) -> Contrasts:
    """Compare families pair by pair, and estimate the probability of each order.

    Intervals of a difference come from the two fits' own (see `families.spread.difference_of`), so that beyond the
    points they are as wide as the fits say. Probabilities are those of draws from the same distributions.

    Args:
        fits: by family, as `fit_families` returns them.
        quantity: gamma, a, b, E and the law's other parameters; loss, params (N*) or data (D*) at a compute.
        flops: the compute at which loss, params or data are compared, in the fits' own unit of cost.
        level: coverage aimed at.
        simultaneous: let all intervals hold together with the probability `level`, by the distribution of the largest
            departure among the pairs (single-step max-t: Hothorn, Bretz and Westfall 2008), instead of each by itself.
        seed: of the joint draws.

    Raises:
        FrontierError: fewer than two families have a fit, they count different costs, there is no such quantity, or
            `flops` is absent or of no use.

    >>> from raysweep.frontier import contrasts, fit
    >>> params, data = [1e6] * 3 + [1e7] * 3 + [1e8] * 3, [1e8, 1e9, 1e10] * 3
    >>> flops = [6 * n * d for n, d in zip(params, data)]
    >>> def points(power):
    ...     loss = [0.5 + 90 * n**-power + 400 * d**-power for n, d in zip(params, data)]
    ...     return {"params": params, "data": data, "flops": flops, "loss": loss}
    >>> found = contrasts({"one": fit(points(0.4), bootstraps=0), "two": fit(points(0.3), bootstraps=0)})
    >>> f"{found.pair('one', 'two').difference.value:.3f}"
    '0.050'
    """
    level, known = coverage("contrasts", level), usable_of(fits)
    flops = None if flops is None else positive("contrasts", "flops", flops)
    name = _checked(fits, known, quantity, flops)
    spreads = {family: spread_of(fit, name, flops, level) for family, fit in known.items()}
    shared = {fit.shared.families if fit.shared else None for fit in known.values()}
    paired = len(shared) == 1 and None not in shared
    joint = _joint(list(spreads.values()), level, paired, seed)
    scale = _scale(known, name, flops)
    gaps = [_gap(spreads, joint, pair, level, paired) for pair in combinations(range(len(known)), 2)]
    factor = _factor(gaps, level) if simultaneous else 1.0
    lowest = name in _LOWEST_FIRST
    orders, best = _orders(list(known), joint, lowest)
    return Contrasts(
        quantity=name,
        flops=flops,
        scale=scale,
        level=level,
        simultaneous=simultaneous,
        paired=paired,
        lowest_first=lowest,
        values={family: one.answer for family, one in spreads.items()},
        pairs=tuple(gap.contrast(level, factor, scale) for gap in gaps),
        orders=orders,
        best=best,
        left_out={family: str(fit.status) for family, fit in fits.items() if family not in known},
    )


@dataclass(frozen=True, kw_only=True)
class _Gap:
    """The difference of two families on the scale of differences.

    `distances` are those to the ends of its interval, with the degrees of freedom; `draws` (k,) are of the difference.
    """

    names: tuple[str, str]
    value: float
    distances: tuple[float, float, float] | None
    draws: Floats
    caution: str | None

    def departures(self) -> Floats:
        """The distances of the draws from the value, relative to that of the interval's end on their side."""
        assert self.distances is not None
        away, (below, above, _) = self.draws - self.value, self.distances
        return np.asarray(np.where(away > 0, away / max(above, 1e-300), -away / max(below, 1e-300)))

    def contrast(self, level: float, factor: float, scale: str) -> Contrast:
        """Convert to the user's terms, the interval widened by a factor."""
        interval, freedom = None, None
        if self.distances is not None:
            below, above, degrees = self.distances
            freedom = degrees if np.isfinite(degrees) else None
            method = "percentile" if freedom is None else "studentised"
            method = method if factor == 1.0 else "max-t"
            interval = interval_about(self.value, (below * factor, above * factor), level, method, scale)
        return Contrast(
            first=self.names[0],
            second=self.names[1],
            difference=Answer(value=told(self.value, scale), interval=interval, caution=self.caution),
            degrees_of_freedom=freedom,
            probability=float(np.mean(self.draws > 0)) if self.draws.size else None,
        )


def _checked(fits: Mapping[str, Fit], known: Mapping[str, Fit], quantity: str, flops: float | None) -> str:
    """The quantity's long name; quantities that cannot be compared are refused."""
    if len(known) < 2:
        found = "; ".join(f"{name}: {fit.status}" for name, fit in fits.items() if name not in known)
        raise FrontierError(f"contrasts: families with a fit: {len(known)}, and two are needed. {found}".rstrip(". "))
    require_one_cost(known, "contrasts")
    name = _NAMES.get(quantity, SHORT.get(quantity, quantity)) if isinstance(quantity, str) else quantity
    if name in OPTIMAL and flops is None:
        raise FrontierError(f"contrasts({quantity!r}) needs flops=: at which compute?")
    if name not in OPTIMAL and flops is not None:
        raise FrontierError(f"contrasts({quantity!r}, flops={flops:g}): only loss, params and data are of one compute")
    return name


def _scale(known: Mapping[str, Fit], name: str, flops: float | None) -> str:
    first = next(iter(known.values()))
    if not quantity_of(first.known, name, flops).positive:
        return "difference"
    return "relative difference" if name == "optimal_loss" else "ratio"


def _joint(spreads: Sequence[Spread], level: float, paired: bool, seed: int) -> Floats:
    """Draw all numbers jointly, shape (families, k): independent ones, or with the ranks that paired draws have."""
    if not all(one.known for one in spreads):
        return np.empty((len(spreads), 0))
    if paired:
        draws = np.stack([one.draws for one in spreads])
        ranks = np.argsort(np.argsort(draws, axis=1), axis=1)
        shares = (ranks + 0.5) / draws.shape[1]
    else:
        generator = np.random.default_rng(seed)
        even = (np.arange(_PLACES) + 0.5) / _PLACES
        shares = np.stack([generator.permutation(even) for _ in spreads])
    return np.stack([one.at(share, level) for one, share in zip(spreads, shares, strict=True)])


def _gap(spreads: Mapping[str, Spread], joint: Floats, pair: tuple[int, int], level: float, paired: bool) -> _Gap:
    names = list(spreads)
    first, second = (spreads[names[place]] for place in pair)
    correlation = 0.0
    if paired and joint.size:
        ranks = np.argsort(np.argsort(joint[list(pair)], axis=1), axis=1)
        shared = float(np.corrcoef(ranks[0], ranks[1]).item(1))
        correlation = float(2.0 * np.sin(np.pi / 6.0 * shared))  # of Gaussian numbers with that rank correlation
    cautions = dict.fromkeys(one.answer.caution for one in (first, second) if one.answer.caution)
    value, draws = first.value - second.value, joint[pair[0]] - joint[pair[1]]
    distances = difference_of(first, second, level, correlation)
    if paired and draws.size and np.isinf([first.degrees_of_freedom, second.degrees_of_freedom]).all():
        low, high = np.quantile(draws, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
        distances = max(value - float(low), 0.0), max(float(high) - value, 0.0), float("inf")
    return _Gap(
        names=(names[pair[0]], names[pair[1]]),
        value=value,
        distances=distances,
        draws=draws,
        caution="; ".join(cautions) or None,
    )


def _factor(gaps: Sequence[_Gap], level: float) -> float:
    """Factor by which all intervals are widened so that they hold together: the quantile of the largest departure."""
    known = [gap.departures() for gap in gaps if gap.distances is not None and gap.draws.size]
    return max(float(np.quantile(np.max(known, axis=0), level)), 1.0) if known else 1.0


def _orders(names: Sequence[str], joint: Floats, lowest: bool) -> tuple[tuple[Order, ...], dict[str, float]]:
    """The orders of the joint draws with their probabilities, and each family's of being first."""
    if not joint.shape[1]:
        return (), {}
    ranked = np.argsort(joint if lowest else -joint, axis=0, kind="stable")
    found, counts = np.unique(ranked.T, axis=0, return_counts=True)
    shares = counts / joint.shape[1]
    orders = [
        Order(families=tuple(names[place] for place in found[row]), probability=float(shares[row]))
        for row in np.argsort(-shares, kind="stable")
        if shares[row] >= _LEAST_PROBABILITY
    ]
    return tuple(orders), {name: float(np.mean(ranked[0] == place)) for place, name in enumerate(names)}
