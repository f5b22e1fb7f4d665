"""`Fit`: what a fit found, why it may be trusted, and the answers that it gives."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.near_optimal import band, near_optimal
from raysweep.frontier.answers.prediction import extrapolation_factor, noise_reach
from raysweep.frontier.answers.values import (
    AdditiveLaw,
    Answer,
    CurveLaw,
    DataConstrainedLaw,
    FrontierBand,
    Influence,
    Optimum,
)
from raysweep.frontier.approaches.parametric import Form
from raysweep.frontier.approaches.trajectories import spare, units
from raysweep.frontier.laws.laws import Curve, Number, Surface
from raysweep.frontier.laws.quantities import Law, Quantity, quantity
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, Interval, interval_of
from raysweep.frontier.numerics.solver import Floats
from raysweep.frontier.points.cleaning import Exclusion, Samples
from raysweep.frontier.points.findings import Status

REGRET = 0.005
"""Share of the loss that a size may cost and still count as near-optimal, where the caller names none."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One architecture's fit. Made by `raysweep.frontier.fit`; a value, with queries.

    Attributes:
        status: typed, with a sentence; `status.findings` has everything that was found.
        method: parametric, isoflop or envelope. form: which law, its asymptote, its penalty.
        architecture: whose points, None where the table names none.
        cost_name: what counts as compute, "flops" or "seconds".
        objective: sum of Huber losses of log residuals at the optimum. delta: Huber's delta.
        gradient_norm: largest gradient component over the sum of the contributions that cancel in it (certificate).
        starts, starts_agreeing: how many were made, how many reached the optimum to 1e-6 of the objective.
        noise: robust standard deviation of ln loss about the law.
        excluded: points that were kept out, with reasons. samples: those that entered.
        estimate, draws: the law, and the law of each bootstrap that converged (None where there is none).
        draw_ids: which of the resamples the draws belong to: fits of one seed and size share their resamples.
        leave_one_out: the law without each trajectory in turn, or each point where points have none in common
            (`influence` says what that does to a).
        residuals: ln of measured over predicted loss. trust: the weight that outliers were left with, 1 for all others.
        seed, bootstraps: as given. versions: of raysweep, numpy and scipy.
    """

    status: Status
    method: str
    form: Form
    architecture: str | None
    cost_name: str
    samples: Samples
    excluded: tuple[Exclusion, ...]
    seed: int
    bootstraps: int
    versions: dict[str, str]
    estimate: Law | None = None
    draws: Law | None = None
    leave_one_out: Law | None = None
    draw_ids: NDArray[np.int64] | None = None
    objective: float = float("nan")
    gradient_norm: float = float("nan")
    delta: float = float("nan")
    noise: float = float("nan")
    starts: int = 0
    starts_agreeing: int = 0
    residuals: Floats | None = None
    trust: Floats | None = None

    @property
    def known(self) -> Law:
        """The law as arrays of the solver's units.

        Raises:
            FrontierError: there is none; the message is the status.
        """
        if self.estimate is None:
            whose = f"{self.architecture}: " if self.architecture else ""
            raise FrontierError(f"{whose}no fit: {self.status}")
        return self.estimate

    @property
    def law(self) -> AdditiveLaw | CurveLaw | DataConstrainedLaw:
        """The law with its parameters as plain numbers."""
        known = self.known
        if isinstance(known, Curve):
            return CurveLaw(E=float(known.E), F=float(np.exp(known.log_F)), gamma=float(known.gamma))
        if self.form.law == "data_constrained":
            return DataConstrainedLaw(**self._additive(known), repeats=float(np.exp(known.log_repeats)))
        return AdditiveLaw(**self._additive(known))

    @staticmethod
    def _additive(known: Surface) -> dict[str, float]:
        return dict(
            E=float(known.E),
            A=float(np.exp(known.log_A)),
            alpha=float(known.alpha),
            B=float(np.exp(known.log_B)),
            beta=float(known.beta),
        )

    @property
    def params_exponent(self) -> float:
        """The exponent a of N* ~ C^a."""
        return float(self.known.params_exponent)

    @property
    def data_exponent(self) -> float:
        """The exponent b of D* ~ C^b."""
        return float(self.known.data_exponent)

    @property
    def loss_exponent(self) -> float:
        """The exponent gamma of L* - E ~ C^-gamma."""
        return float(self.known.loss_exponent)

    def interval(
        self, name: str, level: float = 0.95, *, flops: float | None = None, method: str = "default"
    ) -> Interval:
        """Return the interval of a quantity.

        Args:
            name: a, b, gamma (or params_exponent, data_exponent, loss_exponent), the law's parameters (E, A, alpha, B,
                beta, or E, F, gamma), optimal_params (short: optimal), optimal_data, optimal_loss.
            level: coverage aimed at.
            flops: compute, for the optimal ones.
            method: "default" (calibrated), "percentile", "studentised" or "bca".

        Raises:
            FrontierError: no such quantity, or no bootstraps to take it from.
        """
        found = self._interval(quantity(self.known, name, flops), level, method)
        if found is None:
            raise FrontierError(f"interval({name!r}): fewer than {LEAST_DRAWS} bootstraps; fit with bootstraps=1000")
        return found

    def answer(self, name: str, level: float = 0.95, *, flops: float | None = None) -> Answer:
        """Return a quantity (names as in `interval`) with its interval, None for the interval without bootstraps."""
        return self._answer(quantity(self.known, name, flops), level)

    def optimal(
        self, flops: float, *, regret: float = REGRET, level: float = 0.95, unique_data: float | None = None
    ) -> Optimum:
        """Return the compute-optimal run at a cost, each number with its interval.

        Args:
            flops: the cost, in the fit's own unit (FLOP, or seconds with cost="seconds").
            regret: share of the loss that counts as near-optimal in `params_range`.
            level: of the intervals.
            unique_data: distinct data there are, where the law knows repeats; None: as much as is wanted.
        """
        if not 0 < flops < np.inf:
            raise FrontierError(f"optimal(flops={flops}): the cost must be positive and finite")
        self._two_sided("optimal")
        names = ("optimal_params", "optimal_data", "optimal_loss")
        params, data, loss = (self._answer(quantity(self.known, name, flops, unique_data), level) for name in names)
        return Optimum(
            flops=flops,
            params=params,
            data=data,
            loss=loss,
            params_range=near_optimal(self.known, flops, (params.value, loss.value), regret, unique_data),
            regret=regret,
            extrapolation=flops / float(self.samples.cost.max()),
        )

    def loss(self, params: float, data: float, *, unique_data: float | None = None, level: float = 0.95) -> Answer:
        """Return the loss of a run with a prediction interval: the law's uncertainty and the noise of a single run.

        Beyond the largest cost among the points it is widened by what the law got wrong on runs that it had not seen.

        Args:
            params: N of the run.
            data: D of the run.
            unique_data: how much of the data is distinct, where the law knows repeats; None: all of it.
            level: coverage aimed at.

        Raises:
            FrontierError: the approach gives the loss on the frontier only.
        """
        surface = self.surface
        value = float(surface.loss(params, data, unique_data))
        if not isinstance(self.draws, Surface) or np.size(self.draws.E) < LEAST_DRAWS:
            return Answer(value=value, interval=None)
        draws = np.log(self.draws.loss(params, data, unique_data))
        jackknife = None
        if self.clustered and isinstance(self.smooth_without, Surface):
            jackknife = np.log(self.smooth_without.loss(params, data, unique_data))
        cost = float(surface.cost.cost(params, data))
        return Answer(value=value, interval=self._prediction(value, draws, jackknife, cost, level))

    @property
    def surface(self) -> Surface:
        """The additive law as a function of N and D.

        Raises:
            FrontierError: the approach gives the loss on the frontier only.
        """
        if not isinstance(self.known, Surface):
            raise FrontierError(f"method {self.method!r} gives the loss on the frontier only: fit with 'parametric'")
        return self.known

    def compute_for(self, loss: float, *, level: float = 0.95) -> Answer:
        """Return the compute at which the frontier reaches a loss; infinite where the asymptote lies above it."""
        self._two_sided("compute_for")
        return self._answer(Quantity(value=lambda law: curve_of(law).cost_for(loss), positive=True), level)

    def curve(self, flops: Floats, *, level: float = 0.95) -> FrontierBand:
        """Return N*, D* and L* with bands along costs of shape (m,), for figures."""
        costs = np.asarray(flops, dtype=float)
        rows = [self.optimal(float(cost), level=level) for cost in costs]
        params, data, loss = (band([getattr(row, name) for row in rows]) for name in ("params", "data", "loss"))
        return FrontierBand(flops=costs, params=params, data=data, loss=loss)

    @cached_property
    def influence(self) -> tuple[Influence, ...]:
        """What leaving out single trajectories (points, where they have none in common) does to a, strongest first."""
        if self.leave_one_out is None:
            return ()
        rows, unit = self.samples.row, units(self.samples, self.form)
        if self.method == "isoflop" and self.residuals is not None:  # points of no budget take no part
            rows, unit = rows[np.isfinite(self.residuals)], unit[np.isfinite(self.residuals)]
        together = [tuple(int(row) for row in rows[unit == one]) for one in np.unique(unit)]
        without = np.asarray(self.leave_one_out.params_exponent)
        error = float(np.sqrt(np.sum((without - without.mean()) ** 2) * (without.size - 1) / without.size))
        shifts = (without - self.params_exponent) / max(error, 1e-300)
        order = np.argsort(-np.abs(shifts))
        return tuple(
            Influence(rows=together[k], params_exponent=float(without[k]), shift=float(shifts[k])) for k in order
        )

    @cached_property
    def clustered(self) -> bool:
        """Whether some points are drawn together, as those on one trajectory are."""
        return int(units(self.samples, self.form).max(initial=-1)) + 1 < self.samples.count

    @cached_property
    def spare(self) -> int:
        """Degrees of freedom of the intervals: points less fitted parameters, or trajectories less one."""
        return spare(self.samples, self.form, parameters(self.form))

    @property
    def smooth_without(self) -> Law | None:
        """`leave_one_out` for a jackknife; None where, with delta far below the noise, the fit jumps between points."""
        return None if self.delta < 0.5 * self.noise else self.leave_one_out

    def _answer(self, wanted: Quantity, level: float) -> Answer:
        return Answer(value=float(wanted.value(self.known)), interval=self._interval(wanted, level, "default"))

    def _interval(self, wanted: Quantity, level: float, method: str) -> Interval | None:
        if not 0 < level < 1:
            raise FrontierError(f"level = {level}: give a share between 0 and 1, such as 0.95")
        if self.draws is None or np.size(self.draws.E) < LEAST_DRAWS:
            return None
        change = np.log if wanted.positive else (lambda values: values)
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = np.asarray(change(wanted.value(self.draws)))
            estimate = float(change(wanted.value(self.known)))
            without = self.smooth_without
            jackknife = None if without is None else np.asarray(change(wanted.value(without)))
        if not np.isfinite(estimate):
            return None
        low, high, used = interval_of(estimate, draws, jackknife, level, self.spare, self.clustered, method)
        if wanted.positive:
            low, high = float(np.exp(low)), float(np.exp(min(high, 700.0)))
        return Interval(low=max(low, wanted.least), high=high, level=level, method=used)

    @cached_property
    def extrapolation_factor(self) -> float:
        """By how much prediction intervals beyond the largest cost are widened (see `prediction`)."""
        return extrapolation_factor(self.samples, self.form, parameters(self.form), self.seed)

    def _prediction(self, value: float, draws: Floats, jackknife: Floats | None, cost: float, level: float) -> Interval:
        assert self.residuals is not None
        low, high, used = interval_of(np.log(value), draws, jackknife, level, self.spare, self.clustered, "default")
        reach = float(np.hypot(0.5 * (high - low), noise_reach(self.residuals, parameters(self.form), level)))
        if cost > self.samples.cost.max():
            reach *= self.extrapolation_factor
        return Interval(low=value * float(np.exp(-reach)), high=value * float(np.exp(reach)), level=level, method=used)

    def _two_sided(self, query: str) -> None:
        if self.form.law in ("params", "data"):
            raise FrontierError(f"{query}: a law in {self.form.law} alone has no optimum: fit law='additive'")


def curve_of(law: Law) -> Curve:
    """Return the frontier of a law, be it given as a surface or as a curve."""
    return law.curve() if isinstance(law, Surface) else law


def parameters(form: Form) -> int:
    """Return the number of fitted parameters of a law."""
    count = {"additive": 5, "data_constrained": 6, "tied": 4, "params": 3, "data": 3, "flops": 3}[form.law]
    return count - (form.asymptote is not None)


def plain(value: Number) -> float:
    """Return a 0-dimensional number as a float."""
    return float(np.asarray(value))
