"""The choice of a law by how well it predicts larger runs from smaller ones.

Residuals do not choose: a law with more parameters always fits closer. Each candidate is fitted to the points up to a
share of the compute and asked for the rest (rolling origin, 1410.7418 for time series). A law is chosen only where the
points contradict the additive one at all, so that points that follow it keep its narrow intervals.

Two origins of some tens of points tell little, so one candidate is the default and another has to err less by `MARGIN`,
or `DOUBTFUL_MARGIN` where single runs contradict the additive law, but not beyond doubt.
Where points are single runs and the contradiction is beyond doubt it is the coupled law, with larger runs weighing
more: of the laws with one more parameter it misses real losses least (2608.07222), its exponent is held near the
additive one by a prior, and what no law describes matters least where the answer is wanted. Otherwise, and where points
share runs, whose noise is fitted and weighs them, it is the additive law.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from raysweep.frontier.fitting.levels import determined
from raysweep.frontier.fitting.surfaces import fit_surface
from raysweep.frontier.laws.forms import Form, LawName
from raysweep.frontier.numerics.arrays import Scalar
from raysweep.frontier.points.samples import Samples
from raysweep.frontier.points.weighting import toward_largest

CANDIDATES: tuple[LawName, ...] = ("coupled", "broken_data", "broken_params", "offset")
PENALTIES = (1.0, 0.4)
"""Weights of points above the law, tried where points share runs: what went badly lies there."""
ORIGINS = (0.6, 0.8)
"""Shares of the points, by rising cost, that the candidates are fitted to."""
MARGIN, DOUBTFUL_MARGIN = 0.8, 0.5
"""Share of the default law's error that another one's must not exceed; where the contradiction is not beyond doubt, a
law that errs less may do so by chance, and a law that is changed falsely costs more than one that is kept."""
LEAST = 7
_STARTS, _ITERATIONS = 12, 60


@dataclass(frozen=True, kw_only=True)
class LawCandidate:
    """A law that was tried.

    Attributes:
        law, over, toward_largest: as in `Form`.
        error: mean absolute error of ln loss of the largest runs, predicted from the smaller ones, over all origins.
        weight: its share where predictions are averaged, from the square of the inverse error; the sum is 1.
        errors: `error` at each origin of the choice, infinite where the smaller runs do not determine the law.
    """

    law: LawName
    over: Scalar
    error: Scalar
    weight: Scalar
    errors: tuple[Scalar, ...] = ()
    toward_largest: bool = False

    @property
    def name(self) -> str:
        """As a reader knows it."""
        parts: list[str] = [self.law]
        if self.toward_largest:
            parts.append("with larger runs weighing more")
        if self.over != 1.0:
            parts.append(f"points above it weighing {self.over:g}")
        return ", ".join(parts)

    def of(self, form: Form) -> Form:
        """The candidate as a form; its unset parts are taken from another."""
        return replace(form, law=self.law, over=self.over, toward_largest=self.toward_largest)


@dataclass(frozen=True, kw_only=True)
class LawChoice:
    """The laws that were tried on points that the additive one does not fit, the best first.

    Attributes:
        candidates: by rising error. chosen: the place of the one that was taken.
        default: the place of the law that is taken unless another errs less: at most `margin` times as much.
        origins: number of times that larger runs were predicted from smaller ones.
        seen: at each origin, the largest cost of the smaller runs.
    """

    candidates: tuple[LawCandidate, ...]
    chosen: int
    origins: int
    seen: tuple[Scalar, ...] = ()
    default: int = 0
    margin: Scalar = MARGIN

    @property
    def runner_up(self) -> float:
        """The least error of a law other than the one taken."""
        taken = self.candidates[self.chosen].law
        return min((one.error for one in self.candidates if one.law != taken), default=float("inf"))

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


def choose(
    samples: Samples, form: Form, delta: float | None, seed: int, *, single_runs: bool = True, local: bool = True
) -> LawChoice | None:
    """Try the candidates against a form of the additive law; None if there are too few points to split.

    Args:
        samples: the points.
        form: of the additive law, whose asymptote and penalty the candidates keep where they are given.
        delta: Huber's in ln loss, None to follow the noise.
        seed: of the starts.
        single_runs: whether each point is a run by itself, as far as the fit is concerned.
        local: whether single runs have another default than the form given: the coupled law near the largest runs.
    """
    divided = list(rolling_origins(samples, form, ORIGINS))
    if not divided:
        return None
    forms = candidates_of(form, single_runs, local)
    errors = {one: tuple(_error(*parts, one, delta, seed) for parts in divided) for one in forms}
    tried = [(one, float(np.mean(errors[one]))) for one in forms]
    known = [pair for pair in tried if np.isfinite(pair[1])]
    if not known:
        return None
    default, base = known[0]
    total = sum(_weight(error) for _, error in tried)
    order = sorted(tried, key=lambda pair: (pair[1], pair[0] != default))
    candidates = tuple(
        LawCandidate(
            law=one.law,
            over=one.over,
            error=error,
            weight=_weight(error) / total,
            errors=errors[one],
            toward_largest=one.toward_largest,
        )
        for one, error in order
    )
    margin = MARGIN if local or not single_runs else DOUBTFUL_MARGIN
    place = [one for one, _ in order].index(default)
    best = 0 if order[0][1] <= margin * base else place
    seen = tuple(float(part.cost.max()) for part, _ in divided)
    return LawChoice(candidates=candidates, chosen=best, origins=len(divided), seen=seen, default=place, margin=margin)


def candidates_of(form: Form, single_runs: bool, local: bool) -> list[Form]:
    """The forms that are tried, the default first and, where the points are too few for that, the second instead."""
    if single_runs:
        laws = ("coupled", form.law, *(law for law in CANDIDATES if law != "coupled"))
        near = [replace(form, law=law, toward_largest=True) for law in laws]
        return near if local else [form, *near]
    penalties = PENALTIES if form.over == 1.0 else (form.over,)
    return [replace(form, law=law, over=over) for law in (form.law, *CANDIDATES) for over in penalties]


def _weight(error: float) -> float:
    return 1.0 / max(error, 1e-4) ** 2 if np.isfinite(error) else 0.0


def _error(part: Samples, rest: Samples, form: Form, delta: float | None, seed: int) -> float:
    """Mean absolute error of ln loss of `rest`; infinite for a law that `part` does not determine."""
    if part.count <= form.parameters or not determined(part, form, np.ones((1, part.count)))[0]:
        return float("inf")
    if form.toward_largest:
        part = toward_largest(part, form.parameters)
    law = fit_surface(part, form, delta, seed, _STARTS, _ITERATIONS).surface
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        away = np.abs(np.log(rest.loss / law.loss(rest.params, rest.data)))
    return float(np.average(away, weights=rest.weight)) if np.all(np.isfinite(away)) else float("inf")
