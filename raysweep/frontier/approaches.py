"""The three approaches of 2203.15556 behind one face: each takes points and returns an `Outcome`."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from raysweep.frontier import isoflop
from raysweep.frontier.costs import cost_findings, fit_cost
from raysweep.frontier.data_constrained import draw_data_constrained, fit_data_constrained
from raysweep.frontier.envelope import (
    PowerCurve,
    curve_of,
    draw_envelopes,
    fit_envelope,
    fit_power_curve,
    straight,
)
from raysweep.frontier.laws import Curve
from raysweep.frontier.parametric import (
    AGREES,
    DOUBTED,
    EFFICIENT,
    LEAST_DELTA,
    MOST_DELTA,
    Form,
    SurfaceFit,
    descend,
    draw_surfaces,
    fit_surface,
    robust_scale,
)
from raysweep.frontier.quantities import Law
from raysweep.frontier.samples import Samples
from raysweep.frontier.solver import Floats, Mask
from raysweep.frontier.statuses import Finding, Kind, caution, fatal, note

CERTIFIED = 1e-6
"""A gradient norm above this is no optimum."""
_F_LIMIT = 3.84
"""Quantile of chi-squared with one degree of freedom at 95 %."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `fit` was asked for, apart from the points."""

    method: str = "parametric"
    form: Form = field(default_factory=Form)
    loss_delta: float | None = None
    """None: adaptive."""
    cost: str = "flops"
    seed: int = 0
    bootstraps: int = 1000
    starts: int = 64
    iterations: int = 200


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an approach found."""

    estimate: Law | None = None
    draws: Law | None = None
    leave_one_out: Law | None = None
    draw_ids: NDArray[np.int64] | None = None
    objective: float = float("nan")
    gradient_norm: float = float("nan")
    delta: float = float("nan")
    noise: float = float("nan")
    starts: int = 0
    agreeing: int = 0
    residuals: Floats | None = None
    trust: Floats | None = None
    findings: tuple[Finding, ...] = ()


def parametric(samples: Samples, options: Options, weights: Floats | None) -> Outcome:
    """Approach 3: the additive law (or one of its kin) through all points."""
    form, drawer = options.form, draw_surfaces
    arguments = (options.loss_delta, options.seed, options.starts, options.iterations)
    if form.law == "data_constrained":
        fit, form = fit_data_constrained(samples, form, *arguments)
        drawer = draw_data_constrained
    else:
        fit = fit_surface(samples, form, *arguments)
    findings = [*cost_findings(samples, fit.surface.cost), *_optimum_findings(fit), *_bound_findings(fit, form)]
    findings += _outlier_findings(samples, fit.trust)
    if form.asymptote is None and not fit.at_bound[0]:
        findings += _asymptote_findings(samples, fit, form)
    draws = alone = kept = None
    if weights is not None:
        every, converged = drawer(samples, fit, form, weights)
        kept = np.flatnonzero(converged)
        draws = every.take(kept)
        alone = drawer(samples, fit, form, 1.0 - np.eye(samples.count))[0]
    return Outcome(
        estimate=fit.surface,
        draws=draws,
        leave_one_out=alone,
        draw_ids=kept,
        objective=fit.objective,
        gradient_norm=fit.gradient_norm,
        delta=fit.delta,
        noise=fit.noise,
        starts=fit.starts,
        agreeing=fit.agreeing,
        residuals=fit.residuals,
        trust=fit.trust,
        findings=tuple(findings),
    )


def _outlier_findings(samples: Samples, trust: Floats) -> list[Finding]:
    lost = np.flatnonzero(trust < 1.0)
    if not lost.size:
        return []
    shown = ", ".join(str(row) for row in samples.row[lost[np.argsort(trust[lost])]][:8])
    silent = int(np.sum(trust == 0.0))
    text = f"{lost.size} points lie beyond {DOUBTED:g} noises of the law and weigh less, {silent} nothing (rows {shown}"
    return [note(Kind.OUTLIERS, text + (", ...)" if lost.size > 8 else ")"))]


def _optimum_findings(fit: SurfaceFit | PowerCurve) -> list[Finding]:
    found = []
    if fit.gradient_norm > CERTIFIED:
        found.append(
            caution(
                Kind.NOT_CONVERGED,
                f"the solver stopped short of the optimum (gradient norm {fit.gradient_norm:.1e} > {CERTIFIED:.0e})",
            )
        )
    if fit.agreeing < 0.5 * fit.starts:
        found.append(
            caution(
                Kind.STARTS_DISAGREE,
                f"only {fit.agreeing} of {fit.starts} starts reached the best optimum: the points leave several open",
            )
        )
    return found


def _bound_findings(fit: SurfaceFit | PowerCurve, form: Form) -> list[Finding]:
    names = {0: "E", 2: "alpha", 4: "beta"} if isinstance(fit, SurfaceFit) else {0: "E", 2: "gamma"}
    found = []
    for place, name in names.items():
        if not fit.at_bound[place]:
            continue
        where = "0" if place == 0 else f"{fit.theta[place]:.3g}"
        remedy = "fix it with asymptote=0, or add larger runs" if place == 0 else "the points do not determine it"
        found.append(caution(Kind.BOUND_ACTIVE, f"the fit holds {name} at its bound {where}: {remedy}"))
    return found


def _asymptote_findings(samples: Samples, fit: SurfaceFit, form: Form) -> list[Finding]:
    """Compare with E = 0: where that costs no more than the noise explains, E is not identified."""
    prepared = fit.prepared
    problem = replace(prepared.problem, free=prepared.problem.free[:, 1:])
    theta = fit.theta.copy()
    theta[0] = 0.0
    weights = samples.weight[None, :] / samples.weight.mean()
    without = descend(problem, weights, theta[None, :], fit.delta, MOST_DELTA)
    spare = max(samples.count - prepared.problem.free.shape[1], 1)
    statistic = (float(without.objective[0]) - fit.objective) / max(fit.objective, 1e-300) * spare
    if statistic < _F_LIMIT:
        return [
            caution(
                Kind.ASYMPTOTE_NOT_IDENTIFIED,
                f"E = {float(fit.surface.E):.4g} is not identified: E = 0 fits as well (F = {statistic:.2f}). Answers "
                "far beyond the largest run depend on it: fix it with asymptote=, or add larger runs",
            )
        ]
    return []


def envelope(samples: Samples, options: Options, weights: Floats | None) -> Outcome:
    """Approach 1: a power law through the lowest loss at each compute."""
    from raysweep.frontier.envelope import on_envelope

    chosen = on_envelope(samples, np.ones((1, samples.count)))[0]
    if np.unique(samples.cost[chosen]).size < 5:
        text = f"the envelope has {int(chosen.sum())} points; its law has 3 parameters and needs 5 points or more"
        return Outcome(findings=(fatal(Kind.TOO_FEW_BUDGETS, text),))
    fit = fit_envelope(samples, options.form.asymptote, options.loss_delta, options.seed)
    findings = [*_optimum_findings(fit.power), *_bound_findings(fit.power, options.form)]
    draws = alone = kept = None
    if weights is not None:
        curve, good = draw_envelopes(samples, fit, weights)
        kept = np.flatnonzero(good)
        draws = curve.take(kept)
        alone = draw_envelopes(samples, fit, 1.0 - np.eye(samples.count))[0]
    residuals = np.full(samples.count, np.nan)
    residuals[fit.chosen] = fit.power.residuals
    return replace(_of_power(fit.power, fit.curve, draws, alone, residuals, findings), draw_ids=kept)


def _of_power(
    power: PowerCurve,
    curve: Curve,
    draws: Curve | None,
    alone: Curve | None,
    residuals: Floats,
    findings: list[Finding],
) -> Outcome:
    return Outcome(
        estimate=curve,
        draws=draws,
        leave_one_out=alone,
        objective=power.objective,
        gradient_norm=power.gradient_norm,
        delta=power.delta,
        noise=power.noise,
        starts=power.starts,
        agreeing=power.agreeing,
        residuals=residuals,
        findings=tuple(findings),
    )


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
        alone, _ = _draw(used, label, valleys, power, at, 1.0 - np.eye(used.count), delta, noise, options)
    residuals = np.full(samples.count, np.nan)
    residuals[rows] = valleys.residuals[0]
    outcome = _of_power(power, _single(estimate), draws, alone, residuals, findings)
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
