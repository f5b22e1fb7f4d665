"""Approach 2 of 2203.15556: valleys, their minima, the power laws through them, and the same for each bootstrap."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from raysweep.frontier.approaches.bends import with_lack_of_fit
from raysweep.frontier.approaches.certificate import with_findings, with_minimum
from raysweep.frontier.approaches.options import Options
from raysweep.frontier.fitting.budgets import LEAST_BUDGETS, LEAST_SIZES, budgets, log_budget_costs
from raysweep.frontier.fitting.costs import cost_findings, fit_cost
from raysweep.frontier.fitting.misfit.curves import curve_misfit
from raysweep.frontier.fitting.misfit.lack_of_fit import LackOfFit
from raysweep.frontier.fitting.power_curve import PowerCurve, fit_power_curve, straight_line, to_curve
from raysweep.frontier.fitting.robust import AGREES, EFFICIENT, LEAST_DELTA, MOST_DELTA, descend, robust_scale
from raysweep.frontier.fitting.trajectories import resampling_units, without_each
from raysweep.frontier.fitting.valleys import Valleys, fit_valleys
from raysweep.frontier.laws.laws import Curve
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask
from raysweep.frontier.points.findings import Finding, Kind, caution, fatal
from raysweep.frontier.points.samples import Samples
from raysweep.frontier.result import Fit

_STARTS = np.array([[a, b] for a in (0.1, 0.3, 0.9) for b in (0.1, 0.3, 0.9)])
"""Of the two exponents."""
_NOISE_ROUNDS = 4
"""Fits in which delta follows the noise."""


@dataclass(frozen=True, kw_only=True)
class BudgetValleys:
    """The valleys of all budgets; `cost` (budgets,) is the geometric mean of each budget's."""

    samples: Samples
    label: Indices
    cost: Floats
    valleys: Valleys
    delta: float
    noise: float
    agreeing: int

    @property
    def usable(self) -> Mask:
        """The budgets with a minimum inside the sizes that were run, shape (budgets,)."""
        return np.asarray(self.valleys.usable[0] & np.isfinite(self.valleys.loss[0]) & (self.valleys.loss[0] > 0))


def isoflop(blank: Fit, options: Options, weights: Floats | None) -> Fit:
    """Fit the minima of a blank fit's valleys, and those of resamples of the given weights (k, n)."""
    samples = blank.samples
    label = budgets(samples)
    count = int(label.max()) + 1
    if count < LEAST_BUDGETS:
        return with_findings(blank, [_too_few(count)])
    rows = np.flatnonzero(label >= 0)
    found = fit_all_valleys(samples.take(rows), label[rows], options)
    findings = [*cost_findings(samples, fit_cost(samples)), *_valley_findings(found)]
    if found.usable.sum() < LEAST_BUDGETS:
        # The gravest reason is what the valleys look like, not how many are left.
        worst = [fatal(finding.kind, finding.sentence) for finding in findings if "budget" in finding.sentence]
        return with_findings(blank, [*worst, *findings, _too_few(int(found.usable.sum()))])
    power = _fit_power(found, options)
    fit = with_lack_of_fit(_enter(blank, found, power, rows), _misfit(found, power))
    fit = with_findings(fit, findings)
    if weights is None:
        return fit
    draws, kept = _draw(found, power, weights[:, rows])
    alone, _ = _draw(found, power, without_each(resampling_units(samples, options.form)[rows]))
    return replace(fit, draws=draws, draw_ids=kept, leave_one_out=alone)


def _misfit(found: BudgetValleys, power: PowerCurve) -> LackOfFit | None:
    """Test whether the minima bend away from their power law."""
    minimum = power.minimum
    return curve_misfit(found.cost[found.usable], minimum.residuals, minimum.theta, power.problem.free, power.centre)


def _enter(blank: Fit, found: BudgetValleys, power: PowerCurve, rows: Indices) -> Fit:
    """Enter valleys and power law in a fit: the valleys' certificate, with the larger of the two gradient norms."""
    valleys = found.valleys
    mass = np.where(found.usable, 1.0 / np.maximum(valleys.variance[0], 1e-300), 0.0)
    mass = mass / mass.max()
    residuals = np.full(blank.samples.count, np.nan)
    residuals[rows] = valleys.residuals[0]
    of_valleys = float(valleys.gradient_norm[0]) if found.noise > 1e-9 else 0.0
    return replace(
        with_minimum(blank, power.minimum),
        estimate=_single(_frontier(found, valleys, mass[None, :], power, power.minimum.theta)),
        objective=float(valleys.objective[0]),
        gradient_norm=max(power.minimum.gradient_norm, of_valleys),
        delta=found.delta,
        noise=found.noise,
        starts=len(_STARTS),
        starts_agreeing=found.agreeing,
        residuals=residuals,
    )


def _too_few(count: int) -> Finding:
    return fatal(
        Kind.TOO_FEW_BUDGETS,
        f"{count} compute budgets with {LEAST_SIZES} or more model sizes and a minimum inside; the "
        f"isoFLOP approach needs {LEAST_BUDGETS}. Use method='parametric', which needs no budgets",
    )


def fit_all_valleys(samples: Samples, label: Indices, options: Options) -> BudgetValleys:
    """Fit the valleys from nine starts, then let delta follow the noise."""
    cost = fit_cost(samples)
    weights, start = np.repeat(samples.weight[None, :], len(_STARTS), axis=0), _STARTS
    fitted = 3 * (int(label.max()) + 1) + 2
    delta = MOST_DELTA if options.loss_delta is None else options.loss_delta
    noise, agreeing = 0.0, 0
    for number in range(_NOISE_ROUNDS):
        found = fit_valleys(samples, label, cost, weights, start=start, noise=noise, delta=delta)
        best = int(np.argmin(found.objective))
        if number == 0:
            agreeing = int(np.sum(found.objective <= found.objective[best] * (1 + AGREES) + 1e-18))
        noise = robust_scale(found.residuals[best], min(fitted, samples.count - 1))
        if options.loss_delta is None:
            delta = float(np.clip(EFFICIENT * noise, LEAST_DELTA, MOST_DELTA))
        weights, start = weights[:1], found.exponents[[best]]
    return BudgetValleys(
        samples=samples,
        label=label,
        cost=np.exp(log_budget_costs(samples, label)),
        valleys=fit_valleys(samples, label, cost, weights, start=start, noise=noise, delta=delta),
        delta=delta,
        noise=noise,
        agreeing=agreeing,
    )


def _valley_findings(found: BudgetValleys) -> Iterable[Finding]:
    valleys = found.valleys
    bent = np.flatnonzero(~valleys.positive[0])
    outside = np.flatnonzero(valleys.positive[0] & ~valleys.inside[0])

    def listed(rows: Indices) -> str:
        return ", ".join(f"{found.cost[k]:.3g}" for k in rows)

    if bent.size:
        text = f"the valley has no minimum (its curvature is not positive) at budgets {listed(bent)}: left out"
        yield caution(Kind.NEGATIVE_CURVATURE, text)
    if outside.size:
        text = f"the minimum lies outside the sizes that were run at budgets {listed(outside)}: left out; run wider"
        yield caution(Kind.MINIMUM_OUTSIDE_WINDOW, text)


def _fit_power(found: BudgetValleys, options: Options) -> PowerCurve:
    cost, loss = found.cost[found.usable], found.valleys.loss[0][found.usable]
    # Three minima and three parameters leave no residual to follow: least squares then.
    delta = None if cost.size > 4 else MOST_DELTA
    return fit_power_curve(cost, loss, np.ones(cost.size), options.form.asymptote, delta, options.seed)


def _frontier(found: BudgetValleys, valleys: Valleys, mass: Floats, power: PowerCurve, theta: Floats) -> Curve:
    """Combine power laws theta (k, 5) with lines through the minima of each fit, weighted by `mass` (k, budgets)."""
    log_params = np.where(mass > 0, np.log(np.where(mass > 0, valleys.params, 1.0)), 0.0)
    log_data = np.where(mass > 0, np.log(np.where(mass > 0, valleys.data, 1.0)), 0.0)
    log_cost = np.log(found.cost)
    lines = (*straight_line(log_cost, log_params, mass), *straight_line(log_cost, log_data, mass))
    return to_curve(power, np.atleast_2d(theta), lines)


def _single(curve: Curve) -> Curve:
    one = curve.take(0)
    return Curve(
        E=float(one.E),
        log_F=float(one.log_F),
        gamma=float(one.gamma),
        log_n=float(one.log_n),
        params_exponent=float(one.params_exponent),
        log_d=float(one.log_d),
        data_exponent=float(one.data_exponent),
    )


def _draw(fit: BudgetValleys, power: PowerCurve, weights: Floats) -> tuple[Curve, Indices]:
    """Refit valleys, minima and power law to every resample; also return which of them have enough minima."""
    found = fit_valleys(
        fit.samples,
        fit.label,
        fit_cost(fit.samples),
        weights * fit.samples.weight,
        start=np.repeat(fit.valleys.exponents, weights.shape[0], axis=0),
        noise=fit.noise,
        delta=fit.delta,
        iterations=25,
    )
    usable = found.usable & fit.usable & np.isfinite(found.loss) & (found.loss > 0)
    good = usable.sum(axis=1) >= LEAST_BUDGETS
    mass = np.where(usable, 1.0 / np.maximum(fit.valleys.variance, 1e-300), 0.0)
    mass = mass / np.maximum(mass.max(axis=1, keepdims=True), 1e-300)
    loss = np.where(usable, found.loss, power.scale)
    x, z = np.log(fit.cost) - power.centre, np.log(loss / power.scale)
    problem = replace(power.problem, x=x, y=np.zeros_like(x), z=z)
    start = np.repeat(power.minimum.theta[None, :], weights.shape[0], axis=0)
    theta = descend(problem, usable.astype(float), start, power.minimum.delta).theta
    mass = np.where(good[:, None], mass, 1e-9 * (mass + 1.0))
    kept = np.flatnonzero(good)
    return _frontier(fit, found, mass, power, theta).take(kept), kept
