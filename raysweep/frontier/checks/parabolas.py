"""The isoFLOP analysis as most papers make it: a parabola through each budget, and a power law through the minima.

It is biased where valleys are lopsided (see `fitting.valleys`), so fits do not use it; it is here to set one's own
numbers beside published ones: N* from parabolas in ln N (2203.15556), D* from parabolas in ln D (2407.21783).
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.special import stdtrit

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.arguments import coverage, positive
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.approaches.options import Cost, make_options
from raysweep.frontier.fitting.budgets import LEAST_BUDGETS, LEAST_SIZES, budgets, log_budget_costs
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.intervals import Interval
from raysweep.frontier.points.cleaning import Exclude, clean
from raysweep.frontier.points.families import only_family
from raysweep.frontier.points.readers import as_table

Along = Literal["params", "data"]
METHOD = "line"
"""The name of the intervals' method: those of a straight line through the minima."""


@dataclass(frozen=True, kw_only=True)
class ParabolaMinima:
    """The minima of parabolas and the straight line through their logarithms: best = coefficient x compute^exponent.

    Attributes:
        along: whether the parabolas are in ln N ("params") or in ln D ("data"), and `best` is N* or D*.
        flops, best, lowest: compute, N* or D*, and loss at the minimum of each budget that has one, shape (m,).
        error: standard error of ln best of each, by the noise of losses about the parabolas, shape (m,).
        left_out: the budgets without a minimum inside the amounts that were run, and why.
        line, covariance: ln best = line[0] + line[1] (ln C - centre), and the covariance of both.
    """

    along: Along
    flops: Floats
    best: Floats
    lowest: Floats
    error: Floats
    left_out: dict[float, str]
    line: tuple[float, float]
    covariance: Floats
    centre: float

    @property
    def exponent(self) -> Answer:
        """The exponent of compute, a of N* or b of D*, with its 95 % interval."""
        return self._answer(self.line[1], float(np.sqrt(self.covariance[1, 1])), 0.95, exponential=False)

    @property
    def coefficient(self) -> Answer:
        """The factor before compute to the exponent, with its 95 % interval (wide: it is the best amount at C = 1)."""
        return self.at(1.0)

    def at(self, flops: float, *, level: float = 0.95) -> Answer:
        """The best amount at a compute.

        Raises:
            FrontierError: `flops` or `level` has no meaning.
        """
        flops, level = positive("at", "flops", flops), coverage("at", level)
        place = np.array([1.0, np.log(flops) - self.centre])
        error = float(np.sqrt(place @ self.covariance @ place))
        return self._answer(float(place @ self.line), error, level, exponential=True)

    def _answer(self, value: float, error: float, level: float, *, exponential: bool) -> Answer:
        reach = error * float(stdtrit(self.flops.size - 2, 0.5 + 0.5 * level))
        ends = np.array([value - reach, value, value + reach])
        low, middle, high = (float(end) for end in (np.exp(ends) if exponential else ends))
        return Answer(value=middle, interval=Interval(low=low, high=high, level=level, method=METHOD))

    def __str__(self) -> str:
        name = "N*" if self.along == "params" else "D*"
        return f"{name} = {self.coefficient.value:.4g} C^{self.exponent} from {self.flops.size} parabolas"


def isoflop_parabolas(
    points: object, along: Along = "params", *, exclude: Exclude = None, cost: Cost = "flops"
) -> ParabolaMinima:
    """Fit a parabola of the loss in ln N or ln D to each compute budget, and a power law to their minima.

    Intervals are Student's, of a straight line through the minima: by their scatter about it, or by the noise of losses
    about the parabolas where that is more.

    Args:
        points: of one family, as in `fit`.
        along: "params" for N*, "data" for D*.
        exclude: rows to leave out.
        cost: what counts as compute.

    Raises:
        FrontierError: the points cannot be read, are of several families, or fewer than three budgets have a minimum.
    """
    if along not in get_args(Along):
        raise FrontierError(f"along = {along!r}: give 'params' or 'data'")
    options, table = make_options(method="isoflop", cost=cost), as_table(points)
    _, rows = only_family(table, "isoflop_parabolas")
    samples = clean(table, rows, options.cost, exclude).samples
    label = budgets(samples)
    amount = np.log(samples.params if along == "params" else samples.data)
    fitted = [_Parabola(amount[label == k], samples.loss[label == k]) for k in range(int(label.max(initial=-1)) + 1)]
    costs = np.exp(log_budget_costs(samples, label)) if fitted else np.empty(0)
    problems = {float(c): one.problem for c, one in zip(costs, fitted, strict=True) if one.problem}
    good = [k for k, one in enumerate(fitted) if not one.problem]
    if len(good) < LEAST_BUDGETS:
        raise FrontierError(_too_few(len(good), problems))
    best = np.array([fitted[k].place for k in good])
    error = _noise(fitted) * np.array([fitted[k].unit_error for k in good])
    line, covariance, centre = _line(np.log(costs[good]), best, error)
    return ParabolaMinima(
        along=along,
        flops=costs[good],
        best=np.exp(best),
        lowest=np.array([fitted[k].lowest for k in good]),
        error=error,
        left_out=problems,
        line=line,
        covariance=covariance,
        centre=centre,
    )


def _too_few(count: int, problems: dict[float, str]) -> str:
    told = "".join(f"; at {cost:.3g} {why}" for cost, why in problems.items())
    return (
        f"isoflop_parabolas: {count} compute budgets have {LEAST_SIZES} model sizes and a minimum between them, and a "
        f"power law through minima needs {LEAST_BUDGETS}{told}"
    )


class _Parabola:
    """A parabola by least squares: its minimum, the noise about it, and the error of the minimum per unit of noise."""

    def __init__(self, amount: Floats, loss: Floats) -> None:
        middle = float(amount.mean())
        x = amount - middle
        columns = np.stack([np.ones_like(x), x, x * x], axis=1)
        (level, slope, curvature), *_ = np.linalg.lstsq(columns, loss, rcond=None)
        rest = loss - columns @ np.array([level, slope, curvature])
        self.squares, self.degrees = float(rest @ rest), amount.size - 3
        self.problem = "" if curvature > 0 else "the parabola has no minimum"
        vertex = -0.5 * slope / curvature if curvature > 0 else np.nan
        if curvature > 0 and not x.min() <= vertex <= x.max():
            self.problem = "the minimum lies outside the amounts that were run"
        self.place, self.lowest = middle + float(vertex), float(level + 0.5 * slope * vertex)
        gradient = np.array([0.0, -0.5 / curvature, 0.5 * slope / curvature**2]) if curvature > 0 else np.zeros(3)
        self.unit_error = float(np.linalg.norm(gradient @ np.linalg.pinv(columns)))


def _noise(fitted: list[_Parabola]) -> float:
    """Standard deviation of losses about the parabolas, taken as one for all budgets; 0 where nothing shows it."""
    degrees = sum(one.degrees for one in fitted)
    return float(np.sqrt(sum(one.squares for one in fitted) / degrees)) if degrees else 0.0


def _line(log_cost: Floats, best: Floats, error: Floats) -> tuple[tuple[float, float], Floats, float]:
    """A straight line by least squares, the covariance of its two coefficients, and the ln C about which it is."""
    centre = float(log_cost.mean())
    columns = np.stack([np.ones_like(log_cost), log_cost - centre], axis=1)
    inverse = np.linalg.pinv(columns)
    start, slope = (float(value) for value in inverse @ best)
    rest = best - columns @ np.array([start, slope])
    scatter = float(rest @ rest) / (best.size - 2)
    covariance = inverse @ np.diag(np.maximum(error**2, scatter)) @ inverse.T
    return (start, slope), covariance, centre
