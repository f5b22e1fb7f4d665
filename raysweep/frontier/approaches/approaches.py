"""Approaches 1 and 3 of 2203.15556 behind one face: each takes points and returns an `Outcome` (2: minima.py)."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from raysweep.frontier.approaches.costs import cost_findings
from raysweep.frontier.approaches.data_constrained import draw_data_constrained, fit_data_constrained
from raysweep.frontier.approaches.envelope import (
    draw_envelopes,
    fit_envelope,
)
from raysweep.frontier.approaches.isoflop import LEAST_BUDGETS, distinct_budgets
from raysweep.frontier.approaches.outcome import Options, Outcome, bound_findings, of_power, optimum_findings
from raysweep.frontier.approaches.parametric import (
    DOUBTED,
    MOST_DELTA,
    Form,
    SurfaceFit,
    descend,
    draw_surfaces,
    fit_surface,
    robust_scale,
)
from raysweep.frontier.approaches.trajectories import units, without_each
from raysweep.frontier.numerics.solver import Floats
from raysweep.frontier.points.cleaning import Samples
from raysweep.frontier.points.findings import Finding, Kind, caution, fatal, note

_F_LIMIT = 3.84
"""Quantile of chi-squared with one degree of freedom at 95 %."""


def parametric(samples: Samples, options: Options, weights: Floats | None) -> Outcome:
    """Approach 3: the additive law (or one of its kin) through all points."""
    form, drawer = options.form, draw_surfaces
    arguments = (options.loss_delta, options.seed, options.starts, options.iterations)
    if form.law == "data_constrained":
        fit, form = fit_data_constrained(samples, form, *arguments)
        drawer = draw_data_constrained
    else:
        fit = fit_surface(samples, form, *arguments)
    findings = [*cost_findings(samples, fit.surface.cost), *optimum_findings(fit), *bound_findings(fit, form)]
    findings += [*_outlier_findings(samples, fit), *_sense_findings(samples, fit, form)]
    if form.asymptote is None and not fit.at_bound[0]:
        findings += _asymptote_findings(samples, fit, form)
    draws = alone = kept = None
    if weights is not None:
        every, converged = drawer(samples, fit, form, weights)
        kept = np.flatnonzero(converged)
        draws = every.take(kept)
        alone = drawer(samples, fit, form, without_each(units(samples, options.form)))[0]
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


def _outlier_findings(samples: Samples, fit: SurfaceFit) -> list[Finding]:
    lost = np.flatnonzero(fit.trust < 1.0)
    if not lost.size:
        return []
    found = []
    gone = np.flatnonzero((fit.trust == 0.0) & (fit.residuals > np.log(2.0)))
    if gone.size:
        text = f"{gone.size} points have over twice the loss of the law, as diverged runs do, and weigh nothing"
        found.append(caution(Kind.DIVERGED, f"{text} ({_rows(samples, gone)})"))
    silent = int(np.sum(fit.trust == 0.0))
    text = f"{lost.size} points lie beyond {DOUBTED:g} noises of the law and weigh less, {silent} nothing"
    worst = lost[np.argsort(fit.trust[lost])]
    return [*found, note(Kind.OUTLIERS, f"{text} ({_rows(samples, worst)})")]


def _rows(samples: Samples, places: NDArray[np.int64]) -> str:
    shown = ", ".join(str(row) for row in samples.row[places][:8])
    return f"rows {shown}{', ...' if places.size > 8 else ''}"


def _sense_findings(samples: Samples, fit: SurfaceFit, form: Form) -> list[Finding]:
    """Return whether the law says anything about these points at all."""
    found = []
    spread = robust_scale(np.log(samples.loss) - np.median(np.log(samples.loss)), 1)
    if fit.noise > 0.5 * spread:
        text = f"the law leaves {fit.noise / spread:.0%} of the losses' spread unexplained: its exponents mean little"
        found.append(caution(Kind.LAW_EXPLAINS_LITTLE, text))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        terms = {
            "N": np.exp(fit.surface.log_A - fit.surface.alpha * np.log(samples.params)),
            "D": np.exp(fit.surface.log_B - fit.surface.beta * np.log(samples.data)),
        }
    absent = {"params": "D", "data": "N"}.get(form.law)
    for name, term in terms.items():
        if name != absent and np.ptp(term) < 1e-3 * samples.loss.min():
            text = f"the loss does not fall with {name} over these points: its exponent is not determined"
            found.append(caution(Kind.NOT_DECREASING, text))
    if absent is None and distinct_budgets(samples) < LEAST_BUDGETS:
        text = (
            f"the points have {distinct_budgets(samples)} different computes: what compute does is a guess beyond them"
        )
        found.append(caution(Kind.TOO_FEW_BUDGETS, text))
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
    from raysweep.frontier.approaches.envelope import on_envelope

    chosen = on_envelope(samples, np.ones((1, samples.count)))[0]
    if np.unique(samples.cost[chosen]).size < 5:
        text = f"the envelope has {int(chosen.sum())} points; its law has 3 parameters and needs 5 points or more"
        return Outcome(findings=(fatal(Kind.TOO_FEW_BUDGETS, text),))
    fit = fit_envelope(samples, options.form.asymptote, options.loss_delta, options.seed)
    findings = [*optimum_findings(fit.power), *bound_findings(fit.power, options.form)]
    draws = alone = kept = None
    if weights is not None:
        curve, good = draw_envelopes(samples, fit, weights)
        kept = np.flatnonzero(good)
        draws = curve.take(kept)
        alone = draw_envelopes(samples, fit, without_each(units(samples, options.form)))[0]
    residuals = np.full(samples.count, np.nan)
    residuals[fit.chosen] = fit.power.residuals
    return replace(of_power(fit.power, fit.curve, draws, alone, residuals, findings), draw_ids=kept)
