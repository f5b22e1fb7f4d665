"""IsoFLOP valleys as values: the losses of each compute budget against N, and where they are lowest."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.approaches.isoflop import BudgetValleys, fit_all_valleys
from raysweep.frontier.approaches.options import Options
from raysweep.frontier.fitting.budgets import LEAST_SIZES, budgets
from raysweep.frontier.fitting.costs import fit_cost
from raysweep.frontier.fitting.screening import far_above, far_below, screen
from raysweep.frontier.fitting.trajectories import resampling_units
from raysweep.frontier.fitting.valleys import fit_valleys
from raysweep.frontier.laws.laws import CostModel
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, Interval, resample, robust_error
from raysweep.frontier.points.samples import Samples

DRAWS = 200
"""Resamples that the intervals of the minima are taken from, at most."""
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class IsoflopValley:
    """The loss at one compute budget as a function of N: E + A N^-alpha + B D^-beta, with D what the budget leaves.

    Attributes:
        flops: geometric mean of the points' cost. rows: of the points in the table given.
        params, loss: N and loss of the points, shape (n,).
        E, A, alpha, B, beta: of the budget; the exponents are common to all budgets. cost: what N and D cost.
        optimum: N at the minimum, with its interval (None where too few resamples have one). lowest: the loss there.
        problem: why there is no minimum to use; empty where there is one.
    """

    flops: float
    rows: Indices
    params: Floats
    loss: Floats
    E: float
    A: float
    alpha: float
    B: float
    beta: float
    cost: CostModel
    optimum: Answer
    lowest: float
    problem: str = ""

    def loss_at(self, params: Floats) -> Floats:
        """The valley at sizes of shape (m,)."""
        data = self.cost.data_for(self.flops, params)
        return np.asarray(self.E + self.A * params**-self.alpha + self.B * data**-self.beta)


def valleys_of(samples: Samples, options: Options) -> tuple[IsoflopValley, ...]:
    """Fit the valleys of one family's points, by rising compute.

    Points far from the law weigh nothing, as in the isoFLOP approach. Intervals are those of ln N* over resamples,
    which refit the exponents as well.

    Raises:
        FrontierError: no budget has enough sizes for a valley.
    """
    label = budgets(samples)
    if label.max(initial=-1) < 0:
        raise FrontierError(
            f"no isoFLOP valley: no compute budget has {LEAST_SIZES} model sizes, which a valley needs for a minimum"
        )
    judged = screen(samples, options.form, options.seed)
    if judged is not None:
        far = far_below(judged) | far_above(judged)
        samples = replace(samples, weight=np.where(far, 0.0, samples.weight))
    rows = np.flatnonzero(label >= 0)
    found = fit_all_valleys(samples.take(rows), label[rows], options)
    error = _errors(found, options)
    return tuple(_valley(found, k, float(error[k]), options) for k in range(found.cost.size))


def _errors(found: BudgetValleys, options: Options) -> Floats:
    """Standard error of ln N* of each budget, NaN where resamples are too few, shape (budgets,)."""
    unit = resampling_units(found.samples, options.form)
    weights = resample(unit, min(options.bootstraps, DRAWS), options.seed) * found.samples.weight
    if not len(weights):
        return np.full(found.cost.size, np.nan)
    drawn = fit_valleys(
        found.samples,
        found.label,
        fit_cost(found.samples),
        weights,
        start=np.repeat(found.valleys.exponents, len(weights), axis=0),
        noise=found.noise,
        delta=found.delta,
        iterations=25,
    )
    good = drawn.positive & np.isfinite(drawn.params) & (drawn.params > 0)
    columns = [np.log(drawn.params[good[:, k], k]) for k in range(found.cost.size)]
    return np.array([robust_error(one) if one.size >= LEAST_DRAWS else np.nan for one in columns])


def _valley(found: BudgetValleys, k: int, error: float, options: Options) -> IsoflopValley:
    samples, valleys = found.samples.take(found.label == k), found.valleys
    alpha, beta = (float(power) for power in valleys.exponents[0])
    E, first, second = (float(value) for value in valleys.coefficients[0, k])
    centre_n, centre_d = (float(np.mean(np.log(v))) for v in (found.samples.params, found.samples.data))
    best, lowest = float(valleys.params[0, k]), float(valleys.loss[0, k])
    fitted = 3 * found.cost.size + 2
    reach = error * float(stdtrit(max(found.samples.count - fitted, 1), 0.5 + 0.5 * LEVEL))
    interval = None
    if np.isfinite(reach) and found.usable[k]:
        interval = Interval(
            low=best * float(np.exp(-reach)), high=best * float(np.exp(reach)), level=LEVEL, method="studentised"
        )
    return IsoflopValley(
        flops=float(found.cost[k]),
        rows=samples.row,
        params=samples.params,
        loss=samples.loss,
        E=E,
        A=first * float(np.exp(alpha * centre_n)),
        alpha=alpha,
        B=second * float(np.exp(beta * centre_d)),
        beta=beta,
        cost=fit_cost(found.samples),
        optimum=Answer(value=best, interval=interval),
        lowest=lowest,
        problem=_problem(found, k),
    )


def _problem(found: BudgetValleys, k: int) -> str:
    if not found.valleys.positive[0, k]:
        return "no minimum: the curvature is not positive"
    if not found.valleys.inside[0, k]:
        return "the minimum lies outside the sizes that were run"
    return "" if found.usable[k] else "the loss at the minimum is not positive"
