"""The choice of a law by what it is for: the prediction of larger runs from smaller ones.

Residuals do not choose: a law with more parameters always fits closer. Each candidate is fitted to the points up to a
share of the compute and asked for the rest (rolling origin, 1410.7418 for time series); the one with the least mean
error is taken where it errs less than the additive law by `MARGIN`, and only where the points contradict the additive
law at all, so that points that follow it keep its narrow intervals.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from raysweep.frontier.fitting.levels import determined
from raysweep.frontier.fitting.surfaces import fit_surface
from raysweep.frontier.laws.forms import Form, LawName
from raysweep.frontier.numerics.arrays import Scalar
from raysweep.frontier.points.samples import Samples

CANDIDATES: tuple[LawName, ...] = ("coupled", "broken_data", "broken_params", "offset")
PENALTIES = (1.0, 0.4)
"""Weights of points above the law: runs that went badly lie there, and pull the law away from the best."""
ORIGINS = (0.6, 0.8)
"""Shares of the points, by rising cost, that the candidates are fitted to."""
MARGIN = 0.8
"""Share of the additive law's error that another one's must not exceed."""
LEAST = 7
_STARTS, _ITERATIONS = 12, 60


@dataclass(frozen=True, kw_only=True)
class LawCandidate:
    """A law that was tried.

    Attributes:
        law, over: as in `Form`.
        error: mean absolute error of ln loss of the largest runs, predicted from the smaller ones, over all origins.
        weight: its share where predictions are averaged, from the square of the inverse error; the sum is 1.
        errors: `error` at each origin of the choice, infinite where the smaller runs do not determine the law.
    """

    law: LawName
    over: Scalar
    error: Scalar
    weight: Scalar
    errors: tuple[Scalar, ...] = ()

    @property
    def name(self) -> str:
        """As a reader knows it."""
        return self.law if self.over == 1.0 else f"{self.law}, points above it weighing {self.over:g}"


@dataclass(frozen=True, kw_only=True)
class LawChoice:
    """The laws that were tried on points that the additive one does not fit, the best first.

    Attributes:
        candidates: by rising error. chosen: the place of the one that was taken.
        origins: number of times that larger runs were predicted from smaller ones.
        seen: at each origin, the largest cost of the smaller runs.
    """

    candidates: tuple[LawCandidate, ...]
    chosen: int
    origins: int
    seen: tuple[Scalar, ...] = ()

    def __str__(self) -> str:
        taken = self.candidates[self.chosen]
        others = ", ".join(
            f"{one.name} {one.error:.2%}" for one in self.candidates if one is not taken and np.isfinite(one.error)
        )
        return f"{taken.name} predicts larger runs from smaller ones to {taken.error:.2%} ({others})"


def rolling_origins(samples: Samples, form: Form, shares: tuple[float, ...]) -> Iterator[tuple[Samples, Samples]]:
    """Divide points into the smaller runs, which determine a law, and the larger ones, at several costs."""
    for share in shares:
        seen = samples.cost <= np.quantile(samples.cost, share)
        part, rest = samples.take(seen), samples.take(~seen)
        enough = part.count >= max(LEAST, form.parameters + 1) and rest.count > 0
        if enough and determined(part, form, np.ones((1, part.count)))[0]:
            yield part, rest


def choose(samples: Samples, form: Form, delta: float | None, seed: int) -> LawChoice | None:
    """Try the candidates beside a form of the additive law; None where the points are too few to divide.

    Args:
        samples: the points.
        form: of the additive law, whose asymptote and penalty the candidates keep where they are given.
        delta: Huber's in ln loss, None to follow the noise.
        seed: of the starts.
    """
    penalties = PENALTIES if form.over == 1.0 else (form.over,)
    forms = [
        Form(law=law, asymptote=form.asymptote, over=over) for law in (form.law, *CANDIDATES) for over in penalties
    ]
    divided = list(rolling_origins(samples, form, ORIGINS))
    if not divided:
        return None
    errors = {one: tuple(_error(*parts, one, delta, seed) for parts in divided) for one in forms}
    tried = [(one, float(np.mean(errors[one]))) for one in forms]
    base = next(error for one, error in tried if one == form)
    total = sum(_weight(error) for _, error in tried)
    order = sorted(tried, key=lambda pair: (pair[1], pair[0] != form))
    candidates = tuple(
        LawCandidate(law=one.law, over=one.over, error=error, weight=_weight(error) / total, errors=errors[one])
        for one, error in order
    )
    best = 0 if order[0][1] <= MARGIN * base else [one for one, _ in order].index(form)
    seen = tuple(float(part.cost.max()) for part, _ in divided)
    return LawChoice(candidates=candidates, chosen=best, origins=len(divided), seen=seen)


def _weight(error: float) -> float:
    return 1.0 / max(error, 1e-4) ** 2 if np.isfinite(error) else 0.0


def _error(part: Samples, rest: Samples, form: Form, delta: float | None, seed: int) -> float:
    """Mean absolute error of ln loss of `rest`; infinite for a law that `part` does not determine."""
    if part.count <= form.parameters or not determined(part, form, np.ones((1, part.count)))[0]:
        return float("inf")
    law = fit_surface(part, form, delta, seed, _STARTS, _ITERATIONS).surface
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        away = np.abs(np.log(rest.loss / law.loss(rest.params, rest.data)))
    return float(np.average(away, weights=rest.weight)) if np.all(np.isfinite(away)) else float("inf")
