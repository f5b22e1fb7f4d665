"""Exponents that the points leave open: a fit may be at a certified optimum and yet say nothing.

Few points, sizes or amounts of data within a small factor, D that all but follows N, and noise of the size of what the
law explains all end in one symptom: the interval of an exponent holds nearly every value that it might have.
"""

from collections.abc import Iterable

import numpy as np
from scipy.special import stdtrit

from raysweep.frontier.laws.laws import Curve, Surface
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import Interval
from raysweep.frontier.points.findings import Finding, Kind, caution
from raysweep.frontier.result import Fit

WIDEST = 0.5
"""Width of the 95 % interval of a, from which on it tells little: a lies between 0 (all compute for data) and 1."""
NOTHING = 2e-3
"""An exponent that may be as small as this leaves open whether its amount matters at all."""
_LEVEL = 0.95
_AMOUNTS = {"alpha": "N", "beta": "D"}


def open_findings(fit: Fit) -> Iterable[Finding]:
    """Find the exponents that points leave open, by the intervals of a fit and, of the additive law, to first order.

    A bootstrap of few points may be too narrow where the optimum is ill-conditioned; the wider of both counts.
    """
    found = _intervals(fit)
    shown = [f"{name} {found[name].low:.2g} to {found[name].high:.2g}" for name in found]
    silent = [_AMOUNTS[name] for name in found if name in _AMOUNTS and found[name].low < NOTHING]
    wide = "a" in found and found["a"].width > WIDEST
    if not wide and not silent:
        return
    question = f"how fast the loss falls with {' and '.join(silent)}"
    if wide:
        question = "whether a larger compute asks for a larger model or for more data"
    text = (
        f"the points leave open {question}: 95 % intervals of {', '.join(shown)}. Add runs over a wider range of N and "
        "of D, apart from each other, or hold E with asymptote="
    )
    yield caution(Kind.EXPONENTS_OPEN, text)


def _intervals(fit: Fit) -> dict[str, Interval]:
    """The intervals of a and of the law's exponents, as far as they are known."""
    if fit.estimate is None or fit.form.law in ("params", "data"):
        return {}
    found: dict[str, Interval] = {}
    if isinstance(fit.estimate, Surface) and fit.form.law == "additive":
        found = first_order(fit, fit.estimate)
    for name in ("a",) if isinstance(fit.estimate, Curve) else ("a", "alpha", "beta"):
        drawn = fit.answer(name, _LEVEL).interval  # None without enough bootstraps that are finite
        if drawn is not None:
            found[name] = max(drawn, found.get(name, drawn), key=lambda interval: interval.width)
    return found


@np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")
def first_order(fit: Fit, law: Surface) -> dict[str, Interval]:
    """Intervals of a, alpha and beta from the curvature of the sum of squares, points taken as independent."""
    samples, alpha, beta = fit.samples, float(law.alpha), float(law.beta)
    tangent = _tangent(
        law, samples.params, samples.data, free_asymptote=fit.form.asymptote is None and float(law.E) > 0
    )
    weight = samples.weight / samples.weight.mean() * (1.0 if fit.trust is None else fit.trust)
    scaled = tangent * np.sqrt(weight)[:, None]
    length = np.linalg.norm(scaled, axis=0)
    degrees = int(np.sum(weight > 0)) - tangent.shape[1]
    if degrees < 1 or not np.all(np.isfinite(length) & (length > 0)):
        return {}
    inverse = np.linalg.pinv(scaled / length, rcond=1e-12)
    covariance = (inverse @ inverse.T) / np.outer(length, length) * fit.noise**2
    p, q = float(law.cost.params_power), float(law.cost.data_power)
    slopes = {
        "a": np.array([-q * beta, q * alpha]) / (q * alpha + p * beta) ** 2,
        "alpha": np.array([1.0, 0.0]),
        "beta": np.array([0.0, 1.0]),
    }
    values = {"a": float(law.params_exponent), "alpha": alpha, "beta": beta}
    reach = float(stdtrit(degrees, 0.5 + 0.5 * _LEVEL))
    found: dict[str, Interval] = {}
    for name, slope in slopes.items():
        half = reach * float(np.sqrt(slope @ covariance[-2:, -2:] @ slope))
        low, high = max(values[name] - half, 0.0), values[name] + half
        if np.isfinite(half):
            found[name] = Interval(low=low, high=high, level=_LEVEL, method="first order")
    return found


def _tangent(law: Surface, params: Floats, data: Floats, *, free_asymptote: bool) -> Floats:
    """Derivatives of ln loss by E, ln A, ln B, alpha and beta, N and D about their means, shape (n, 4 or 5)."""
    x, y = (np.log(amount) - np.log(amount).mean() for amount in (params, data))
    first = np.exp(law.log_A - law.alpha * np.log(params))
    second = np.exp(law.log_B - law.beta * np.log(data))
    columns = [first, second, -x * first, -y * second]
    if free_asymptote:
        columns.insert(0, np.ones_like(first))
    return np.asarray(np.stack(columns, axis=1) / (law.E + first + second)[:, None])
