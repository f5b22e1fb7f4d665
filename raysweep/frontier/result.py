"""`Fit`: a law fitted to the points of one family, the reasons to trust it, and the answers that it gives."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.arguments import coverage, distinct, not_negative, positive
from raysweep.frontier.answers.influence import influences
from raysweep.frontier.answers.lifetime import Goal, md_step_cost, over_life, usage_of
from raysweep.frontier.answers.near_optimal import frontier_band, near_optimal
from raysweep.frontier.answers.prediction import (
    Drift,
    Origin,
    extrapolation_factor,
    frontier_factor,
    half_width_at,
    optimum_drift,
    rolling,
    widened,
)
from raysweep.frontier.answers.record import FitRecord
from raysweep.frontier.answers.reservation import with_reservation
from raysweep.frontier.answers.uncertainty import Uncertainty
from raysweep.frontier.answers.values import (
    Answer,
    FrontierBand,
    Influence,
    LifetimeCost,
    Optimum,
)
from raysweep.frontier.fitting.trajectories import degrees_of_freedom, resampling_units, trajectories
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.laws.quantities import OPTIMAL, Quantity, quantity
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, Interval
from raysweep.frontier.points.findings import Kind

REGRET = 0.005
"""Share of the loss that a size may cost and still count as near-optimal, where the caller names none."""


@dataclass(frozen=True, kw_only=True)
class Fit(FitRecord):
    """One family's fit: a value with queries, made by `raysweep.frontier.fit`."""

    def interval(
        self, name: str, level: float = 0.95, *, flops: float | None = None, method: str = "default"
    ) -> Interval:
        """Interval of a quantity.

        Args:
            name: a, b, gamma (or params_exponent, data_exponent, loss_exponent), the law's parameters (E, A, alpha, B,
                beta, or E, F, gamma), optimal_params (short: optimal), optimal_data, optimal_loss.
            level: coverage aimed at.
            flops: compute, for the optimal ones.
            method: "default" (calibrated), "percentile", "studentised" or "bca".

        Raises:
            FrontierError: there is no such quantity, or there are no bootstraps to take it from.
        """
        flops = None if flops is None else positive("interval", "flops", flops)
        level = coverage("interval", level)
        found = self.uncertainty.interval(quantity(self.known, name, flops), level, method)
        if found is None:
            raise FrontierError(f"interval({name!r}): fewer than {LEAST_DRAWS} bootstraps; fit with bootstraps=1000")
        return found

    def answer(self, name: str, level: float = 0.95, *, flops: float | None = None) -> Answer:
        """Value of a quantity (names as in `interval`) with its interval, which is None without bootstraps."""
        flops = None if flops is None else positive("answer", "flops", flops)
        return self.uncertainty.answer(quantity(self.known, name, flops), coverage("answer", level))

    def optimal(
        self,
        flops: float | None = None,
        *,
        loss: float | None = None,
        inference_steps: float = 0.0,
        inference_atoms: int = 1000,
        regret: float = REGRET,
        level: float = 0.95,
        unique_data: float | None = None,
    ) -> Optimum:
        """The best model at a cost, or the cheapest of a loss; each number with its interval.

        L* is what the law says, without the noise of a single run (`loss` has it). Beyond the largest cost among the
        points intervals are widened by the errors that the law made on the larger of them.

        Args:
            flops: the cost, in the fit's own unit (FLOP, or seconds with cost="seconds"), inference included.
            loss: to be reached, instead of `flops`; in the unit of the column that was fitted (eV/Å for `force_l2`).
            inference_steps: M, atom-steps of inference that the model will be used for (atoms times MD steps): the cost
                is then that of training and of M times the energy and forces of an atom.
            inference_atoms: 100 or 1000, of the structure whose MD steps were timed; for a fit that counts seconds.
            regret: share of the loss that counts as near-optimal in `params_range`.
            level: of the intervals.
            unique_data: amount of distinct data, where the law knows repeats; None: unlimited.

        Raises:
            FrontierError: an argument has no meaning, no model is good or cheap enough, the law has no optimum, or no
                repeats (`unique_data`), or the cost of inference was not measured.
        """
        if (flops is None) == (loss is None):
            raise FrontierError("optimal: give flops=, the cost to spend, or loss=, the loss to reach")
        regret, level = not_negative("optimal", "regret", regret), coverage("optimal", level)
        unique = distinct("optimal", self.form, unique_data)
        steps = not_negative("optimal", "inference_steps", inference_steps)
        self._require_optimum("optimal")
        if loss is not None or steps:
            total = None if flops is None else positive("optimal", "flops", flops)
            wanted = None if loss is None else positive("optimal", "loss", loss)
            goal = Goal(total=total, loss=wanted, steps=steps, unique=unique)
            return self._over_life(goal, inference_atoms, regret, level)
        flops = positive("optimal", "flops", flops)
        known = self.uncertainty
        params, data, lowest = (known.answer(quantity(self.known, one, flops, unique), level) for one in OPTIMAL)
        params, data, lowest = (self._beyond(one, flops, drifts=one is not lowest) for one in (params, data, lowest))
        return Optimum(
            flops=flops,
            params=params,
            data=data,
            loss=lowest,
            params_range=near_optimal(self.known, flops, (params.value, lowest.value), regret, unique),
            regret=regret,
            extrapolation=flops / float(self.samples.cost.max()),
        )

    def _over_life(self, goal: Goal, atoms: int, regret: float, level: float) -> Optimum:
        surface, (usage, source) = self.surface, usage_of(self, goal.steps, atoms)
        found = over_life(self.uncertainty, goal, usage, level)
        cost = found.training.value
        params, data = (self._beyond(one, cost, drifts=True) for one in (found.params, found.data))
        total, training, inference = (self._beyond(one, cost) for one in (found.total, found.training, found.inference))
        loss = self._beyond(found.loss, cost)
        best = params.value, loss.value
        return Optimum(
            flops=total.value,
            params=params,
            data=data,
            loss=loss,
            params_range=near_optimal(surface, total.value, best, regret, goal.unique, usage),
            regret=regret,
            extrapolation=cost / float(self.samples.cost.max()),
            lifetime=LifetimeCost(
                steps=goal.steps,
                total=total,
                training=training,
                inference=inference,
                step=float(usage.step.cost(params.value)) if goal.steps else 0.0,
                source=source,
            ),
        )

    def md_step_ms(self, params: float, *, atoms: int = 1000) -> float:
        """Milliseconds of an MD step, energy and forces of a structure of 100 or 1,000 atoms, with a model of any size.

        From the sizes that were timed, on their device (docs/frontier.md, "Inference counts, too").

        Raises:
            FrontierError: fewer than two sizes were timed, several devices were, or `params` is not a number above 0.
        """
        params = positive("md_step_ms", "params", params)
        return float(md_step_cost(self, atoms, "md_step_ms").cost(params))

    def loss(self, params: float, data: float, *, unique_data: float | None = None, level: float = 0.95) -> Answer:
        """Loss of a run, with a prediction interval: the law's uncertainty and the noise of a single run.

        Beyond the largest cost among the points it is widened by the law's errors on runs that it had not seen.

        Args:
            params: N of the run.
            data: D of the run.
            unique_data: the distinct part of the data, where the law knows repeats; None: all of it.
            level: coverage aimed at.

        Raises:
            FrontierError: an argument has no meaning with this law, or the approach gives the frontier's loss only.
        """
        params, data = positive("loss", "params", params), positive("loss", "data", data)
        level, unique_data = coverage("loss", level), distinct("loss", self.form, unique_data)
        value = float(self.surface.loss(params, data, unique_data))
        log_interval = self.uncertainty.log_loss_interval(lambda law: law.loss(params, data, unique_data), level)
        cost = float(self.surface.cost.cost(params, data))
        if log_interval is None:
            return self._reserved(Answer(value=value, interval=None), cost, params, data)
        assert self.residuals is not None
        noise = half_width_at(self.residuals, self.samples, self.form, self.run_noise, params, level)
        half_width = float(np.hypot(0.5 * log_interval.width, noise))
        if cost > self.samples.cost.max():
            half_width *= self.extrapolation_factor
        low, high = value * float(np.exp(-half_width)), value * float(np.exp(half_width))
        found = Answer(value=value, interval=replace(log_interval, low=low, high=high))
        return self._reserved(found, cost, params, data)

    def compute_for(self, loss: float, *, level: float = 0.95) -> Answer:
        """The compute at which the frontier reaches a loss; infinite where the asymptote lies above it.

        Raises:
            FrontierError: an argument has no meaning, or the law has no optimum.
        """
        loss, level = positive("compute_for", "loss", loss), coverage("compute_for", level)
        self._require_optimum("compute_for")
        found = self.uncertainty.answer(Quantity(value=lambda law: law.cost_for(loss), positive=True), level)
        return self._beyond(found, found.value)

    def curve(self, flops: Floats, *, level: float = 0.95) -> FrontierBand:
        """N*, D* and L* with bands along costs of shape (m,), for figures."""
        return frontier_band([self.optimal(positive("curve", "flops", cost), level=level) for cost in flops])

    @cached_property
    def uncertainty(self) -> Uncertainty:
        """The law and its refits, which intervals are taken from.

        The jackknife is left out where, with delta far below the noise, the fit jumps from point to point.
        """
        complete = self.run_noise is not None
        return Uncertainty(
            estimate=self.known,
            draws=self.draws,
            jackknife=None if complete or self.delta < 0.5 * self.noise else self.leave_one_out,
            degrees_of_freedom=self.degrees_of_freedom,
            clustered=not complete and int(self._units.max(initial=-1)) + 1 < self.samples.count,
            complete=complete,
        )

    @cached_property
    def degrees_of_freedom(self) -> int:
        """Of the intervals: points less parameters, or trajectories less one; of the noise of runs where fitted."""
        return int(self.run_noise.degrees_of_freedom) if self.run_noise else degrees_of_freedom(self.samples, self.form)

    @cached_property
    def influence(self) -> tuple[Influence, ...]:
        """Effect on a of leaving out single trajectories (points, where they have none in common), strongest first."""
        if self.leave_one_out is None:
            return ()
        rows, unit = self.samples.row, self._units
        if self.method == "isoflop" and self.residuals is not None:  # points of no budget take no part
            rows, unit = rows[np.isfinite(self.residuals)], unit[np.isfinite(self.residuals)]
        return influences(self.known, self.leave_one_out, rows, unit, self.shared.first_unit if self.shared else 0)

    @cached_property
    def extrapolation_factor(self) -> float:
        """Factor by which prediction intervals beyond the largest cost are widened (see `answers.prediction`)."""
        return extrapolation_factor(self._origins, self.form)

    @cached_property
    def frontier_factor(self) -> float:
        """Factor by which intervals of L*, and of the cost of a loss, are widened beyond the largest cost."""
        bends = self.lack_of_fit is not None and self.lack_of_fit.significant
        return frontier_factor(self.surface, self.samples, self._origins, self.form, bends or self.choice is not None)

    @cached_property
    def optimum_drift(self) -> Drift:
        """How N* moves as larger runs enter the fit, where the points contradicted the additive law."""
        return optimum_drift(self.surface, self.samples, self._origins) if self.choice else Drift()

    @cached_property
    def _origins(self) -> tuple[Origin, ...]:
        return rolling(self.samples, self.form, self.seed)

    @cached_property
    def _units(self) -> Indices:
        return trajectories(self.samples) if self.run_noise else resampling_units(self.samples, self.form)

    def _reserved(self, found: Answer, cost: float, params: float = 0.0, data: float = 0.0) -> Answer:
        return with_reservation(found, self.samples, self.status.doubts(Kind.LAW_BENDS), (cost, params, data))

    def _beyond(self, found: Answer, cost: float, *, drifts: bool = False) -> Answer:
        """Reserve an answer at a cost, and widen it where that is beyond the points."""
        distance = float(np.log(max(cost / self.samples.cost.max(), 1.0)))
        if found.interval and distance > 0 and isinstance(self.known, Surface):
            if drifts:
                further = self.optimum_drift.half_width(distance, found.interval.level)
                found = widened(found, self.extrapolation_factor, further)
            else:
                found = widened(found, self.frontier_factor)
        return self._reserved(found, cost)

    def _require_optimum(self, query: str) -> None:
        if self.form.law in ("params", "data"):
            raise FrontierError(f"{query}: a law in {self.form.law} alone has no optimum: fit law='additive'")
