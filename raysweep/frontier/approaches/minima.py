"""Approach 2 in full: valleys, their minima, the power laws through them, and all of it again for each bootstrap."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from raysweep.frontier.approaches import isoflop
from raysweep.frontier.approaches.costs import cost_findings, fit_cost
from raysweep.frontier.approaches.envelope import PowerCurve, curve_of, fit_power_curve, straight
from raysweep.frontier.approaches.outcome import Options, Outcome, of_power
from raysweep.frontier.approaches.parametric import AGREES, EFFICIENT, LEAST_DELTA, MOST_DELTA, descend, robust_scale
from raysweep.frontier.approaches.trajectories import units, without_each
from raysweep.frontier.laws.laws import Curve
from raysweep.frontier.numerics.solver import Floats, Mask
from raysweep.frontier.points.cleaning import Samples
from raysweep.frontier.points.findings import Finding, Kind, caution, fatal


def isoflops(samples: Samples, options: Options, weights: Floats | None) -> Outcome:
    """Approach 2: the minimum of each budget's valley, then a power law through the minima."""
    label = isoflop.budgets(samples)
    count = int(label.max()) + 1
    if count < isoflop.LEAST_BUDGETS:
        return Outcome(findings=(_too_few(count),))
    inside = label >= 0
    rows = np.flatnonzero(inside)
    used, label = samples.take(rows), label[inside]
    cost = fit_cost(samples)
    delta, noise, valleys, agreeing, starts = _fit_valleys(used, label, options)
    findings = [*cost_findings(samples, cost), *_valley_findings(valleys, used, label)]
    usable = valleys.usable[0]
    if usable.sum() < isoflop.LEAST_BUDGETS:
        # The gravest reason is what the valleys look like, not how many are left.
        worst = [fatal(finding.kind, finding.sentence) for finding in findings if "budget" in finding.sentence]
        return Outcome(findings=tuple([*worst, *findings, _too_few(int(usable.sum()))]))
    at = isoflop.budget_costs(used, label)
    mass = np.where(usable, 1.0 / np.maximum(valleys.variance[0], 1e-300), 0.0)
    mass = mass / mass.max()
    power = _power(at, valleys, usable, options)
    estimate = _through(at, valleys, mass[None, :], power, power.theta)
    draws = alone = kept = None
    if weights is not None:
        draws, kept = _draw(used, label, valleys, power, at, weights[:, rows], delta, noise, options)
        without = without_each(units(samples, options.form)[rows])
        alone, _ = _draw(used, label, valleys, power, at, without, delta, noise, options)
    residuals = np.full(samples.count, np.nan)
    residuals[rows] = valleys.residuals[0]
    outcome = of_power(power, _single(estimate), draws, alone, residuals, findings)
    gradient_norm = max(power.gradient_norm, float(valleys.gradient_norm[0]) if noise > 1e-9 else 0.0)
    return replace(
        outcome,
        draw_ids=kept,
        objective=float(valleys.objective[0]),
        gradient_norm=gradient_norm,
        delta=delta,
        noise=noise,
        starts=starts,
        agreeing=agreeing,
    )


def _too_few(count: int) -> Finding:
    return fatal(
        Kind.TOO_FEW_BUDGETS,
        f"{count} compute budgets with {isoflop.LEAST_SIZES} or more model sizes and a minimum inside; the "
        f"isoFLOP approach needs {isoflop.LEAST_BUDGETS}. Use method='parametric', which needs no budgets",
    )


_STARTS = np.array([[a, b] for a in (0.1, 0.3, 0.9) for b in (0.1, 0.3, 0.9)])


def _fit_valleys(
    used: Samples, label: NDArray[np.int64], options: Options
) -> tuple[float, float, isoflop.Valleys, int, int]:
    """Fit from nine starts, then follow the noise with delta; return delta, noise, valleys, starts agreed."""
    cost = fit_cost(used)
    weights = np.repeat(used.weight[None, :], len(_STARTS), axis=0)
    fitted = 3 * (int(label.max()) + 1) + 2
    delta = MOST_DELTA if options.loss_delta is None else options.loss_delta
    noise, start, agreeing = 0.0, _STARTS, 0
    for turn in range(4):
        found = isoflop.fit_valleys(used, label, cost, weights, start=start, noise=noise, delta=delta)
        best = int(np.argmin(found.objective))
        if turn == 0:
            agreeing = int(np.sum(found.objective <= found.objective[best] * (1 + AGREES) + 1e-18))
        noise = robust_scale(found.residuals[best], min(fitted, used.count - 1))
        if options.loss_delta is None:
            delta = float(np.clip(EFFICIENT * noise, LEAST_DELTA, MOST_DELTA))
        start = np.repeat(found.exponents[[best]], len(_STARTS), axis=0)
        weights = weights[:1]
        start = start[:1]
    first = isoflop.fit_valleys(used, label, cost, weights, start=start, noise=noise, delta=delta)
    return delta, noise, first, agreeing, len(_STARTS)


def _valley_findings(valleys: isoflop.Valleys, used: Samples, label: NDArray[np.int64]) -> list[Finding]:
    found = []
    bent = np.flatnonzero(~valleys.positive[0])
    outside = np.flatnonzero(valleys.positive[0] & ~valleys.inside[0])
    at = isoflop.budget_costs(used, label)

    def listed(rows: NDArray[np.int64]) -> str:
        return ", ".join(f"{at[k]:.3g}" for k in rows)

    if bent.size:
        text = f"the valley has no minimum (its curvature is not positive) at budgets {listed(bent)}: left out"
        found.append(caution(Kind.NEGATIVE_CURVATURE, text))
    if outside.size:
        text = f"the minimum lies outside the sizes that were run at budgets {listed(outside)}: left out; run wider"
        found.append(caution(Kind.MINIMUM_OUTSIDE_WINDOW, text))
    return found


def _power(at: Floats, valleys: isoflop.Valleys, usable: Mask, options: Options) -> PowerCurve:
    cost, loss = at[usable], valleys.loss[0][usable]
    # Three minima and three parameters leave no residual to follow: least squares then.
    delta = None if cost.size > 4 else MOST_DELTA
    return fit_power_curve(cost, loss, np.ones(cost.size), options.form.asymptote, delta, options.seed)


def _through(at: Floats, valleys: isoflop.Valleys, mass: Floats, power: PowerCurve, theta: Floats) -> Curve:
    log_params = np.where(mass > 0, np.log(np.where(mass > 0, valleys.params, 1.0)), 0.0)
    log_data = np.where(mass > 0, np.log(np.where(mass > 0, valleys.data, 1.0)), 0.0)
    log_cost = np.log(at)
    lines = (*straight(log_cost, log_params, mass), *straight(log_cost, log_data, mass))
    return curve_of(power, np.atleast_2d(theta), lines)


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


def _draw(
    used: Samples,
    label: NDArray[np.int64],
    valleys: isoflop.Valleys,
    power: PowerCurve,
    at: Floats,
    weights: Floats,
    delta: float,
    noise: float,
    options: Options,
) -> tuple[Curve, NDArray[np.int64]]:
    """Refit valleys, minima and power law to every bootstrap."""
    found = isoflop.fit_valleys(
        used,
        label,
        fit_cost(used),
        weights * used.weight,
        start=np.repeat(valleys.exponents, weights.shape[0], axis=0),
        noise=noise,
        delta=delta,
        iterations=25,
    )
    usable = found.usable & valleys.usable & np.isfinite(found.loss) & (found.loss > 0)
    good = usable.sum(axis=1) >= isoflop.LEAST_BUDGETS
    mass = np.where(usable, 1.0 / np.maximum(valleys.variance, 1e-300), 0.0)
    mass = mass / np.maximum(mass.max(axis=1, keepdims=True), 1e-300)
    loss = np.where(usable, found.loss, power.scale)
    problem = replace(
        power.problem,
        x=np.log(at) - power.centre,
        y=np.zeros(at.size),
        z=np.log(loss / power.scale),
    )
    start = np.repeat(power.theta[None, :], weights.shape[0], axis=0)
    theta = descend(problem, usable.astype(float), start, power.delta, MOST_DELTA).theta
    kept = np.flatnonzero(good)
    return _through(at, found, np.where(good[:, None], mass, 1e-9 * (mass + 1.0)), power, theta).take(kept), kept
