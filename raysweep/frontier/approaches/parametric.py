"""Approach 3 of 2203.15556: the additive law, or one of its kin, through all points."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from raysweep.frontier.approaches.bends import with_lack_of_fit
from raysweep.frontier.approaches.certificate import bound_findings, minimum_findings, with_findings, with_minimum
from raysweep.frontier.approaches.options import Options
from raysweep.frontier.approaches.outliers import outlier_findings
from raysweep.frontier.approaches.reservations import repeats_findings
from raysweep.frontier.approaches.runs import doubt_findings, draw_laws, fit_together, law_of, noise_findings
from raysweep.frontier.fitting.budgets import LEAST_BUDGETS, distinct_budgets
from raysweep.frontier.fitting.costs import cost_findings
from raysweep.frontier.fitting.data_constrained import draw_data_constrained, fit_data_constrained
from raysweep.frontier.fitting.levels import determined
from raysweep.frontier.fitting.misfit.surfaces import surface_misfit
from raysweep.frontier.fitting.robust import descend, robust_scale
from raysweep.frontier.fitting.run_noise.mixed import MixedFit, asymptote_statistic
from raysweep.frontier.fitting.surfaces import SurfaceFit, draw_surfaces, fit_surface, surfaces_without_each
from raysweep.frontier.fitting.trajectories import resampling_units, without_each
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import Floats, Mask
from raysweep.frontier.numerics.intervals import MANY_UNITS
from raysweep.frontier.points.findings import Finding, Kind, caution
from raysweep.frontier.points.samples import Samples
from raysweep.frontier.points.weighting import toward_largest
from raysweep.frontier.result import Fit

_F_LIMIT = 3.84
"""Quantile of chi-squared with one degree of freedom at 95 %."""
_Draw = Callable[[Samples, SurfaceFit, Form, Floats, float], tuple[Surface, Mask]]


def parametric(blank: Fit, options: Options, weights: Floats | None, mixed: MixedFit | None = None) -> Fit:
    """Fit the law to the points of a blank fit, and refit it to resamples of the given weights (k, n).

    Where several points share a trajectory, the noise of runs is fitted with the law; `mixed` is that fit where it was
    made with other families'. Where that is not to be believed, whole trajectories are drawn.
    """
    samples, form, repeats = blank.samples, options.form, np.inf
    if mixed is None:
        mixed = fit_together({blank.architecture: samples}, options).get(blank.architecture)
    if mixed is not None and not form.toward_largest and (mixed.doubt is None or mixed.independent):
        return _with_run_noise(blank, options, weights, mixed)
    if form.toward_largest:  # chosen for points that count as single runs
        samples = toward_largest(samples, form.parameters)
    draw: _Draw = draw_surfaces
    arguments = (options.loss_delta, options.seed, options.starts, options.iterations)
    if form.law == "data_constrained":
        found, repeats = fit_data_constrained(samples, form, *arguments)
        draw = draw_data_constrained
    else:
        found = fit_surface(samples, form, *arguments)
    fit = replace(with_minimum(blank, found.minimum), estimate=found.surface, trust=found.trust)
    findings = [*_findings(samples, found, form), *doubt_findings(mixed)]
    fit = with_lack_of_fit(with_findings(fit, findings), surface_misfit(samples, found, form))
    if weights is None:
        return fit
    draws, converged = draw(samples, found, form, weights, repeats)
    kept = np.flatnonzero(converged & determined(samples, form, weights))
    unit = resampling_units(samples, form)
    if int(unit.max()) + 1 >= MANY_UNITS and form.law != "data_constrained":
        alone = surfaces_without_each(samples, found, form, unit)
    else:
        alone, _ = draw(samples, found, form, without_each(unit), repeats)
    return replace(fit, draws=draws.take(kept), draw_ids=kept, leave_one_out=alone)


def _with_run_noise(blank: Fit, options: Options, weights: Floats | None, mixed: MixedFit) -> Fit:
    samples, form = blank.samples, options.form
    found = replace(mixed.fit, surface=law_of(mixed, form))
    fit = replace(with_minimum(blank, found.minimum), estimate=found.surface, trust=found.trust, run_noise=mixed.noise)
    findings = [*_findings(samples, found, form, None if mixed.independent else mixed), *doubt_findings(mixed)]
    findings += noise_findings(samples, form, mixed.noise)
    fit = with_lack_of_fit(with_findings(fit, findings), surface_misfit(samples, found, form))
    if weights is None:
        return fit
    draws, kept, alone = draw_laws(samples, mixed, form, weights, options.seed)
    return replace(fit, draws=draws, draw_ids=kept, leave_one_out=alone)


def _findings(samples: Samples, fit: SurfaceFit, form: Form, mixed: MixedFit | None = None) -> Iterable[Finding]:
    yield from law_findings(samples, fit, form)
    if form.asymptote is None and not fit.minimum.at_bound[0]:
        tested = _without_asymptote(samples, fit) if mixed is None else asymptote_statistic(mixed)
        yield from asymptote_findings(fit, *tested)


def law_findings(samples: Samples, fit: SurfaceFit, form: Form) -> Iterable[Finding]:
    """Collect the findings about a law and its minimum, except whether E is identified (`asymptote_findings`)."""
    yield from cost_findings(samples, fit.surface.cost)
    yield from outlier_findings(samples, fit)
    yield from minimum_findings(fit.minimum)
    yield from bound_findings(fit.minimum, {0: "E", 2: "alpha", 4: "beta"})
    if form.law == "data_constrained":
        yield from repeats_findings(samples, fit, form)
    yield from _sense_findings(samples, fit, form)


def _sense_findings(samples: Samples, fit: SurfaceFit, form: Form) -> Iterable[Finding]:
    """Test whether the law explains anything about these points."""
    spread = robust_scale(np.log(samples.loss) - np.median(np.log(samples.loss)), 1)
    if fit.minimum.noise > 0.5 * spread:
        left = fit.minimum.noise / spread
        text = f"the law leaves {left:.0%} of the losses' spread unexplained: its exponents mean little"
        yield caution(Kind.LAW_EXPLAINS_LITTLE, text)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        terms = {
            "N": np.exp(fit.surface.log_A - fit.surface.alpha * np.log(samples.params)),
            "D": np.exp(fit.surface.log_B - fit.surface.beta * np.log(samples.data)),
        }
    absent = {"params": "D", "data": "N"}.get(form.law)
    for name, term in terms.items():
        if name != absent and np.ptp(term) < 1e-3 * samples.loss.min():
            text = f"the loss does not fall with {name} over these points: its exponent is not determined"
            yield caution(Kind.NOT_DECREASING, text)
    count = distinct_budgets(samples)
    if absent is None and count < LEAST_BUDGETS:
        text = f"the points have {count} different computes: anything beyond them is a guess"
        yield caution(Kind.TOO_FEW_BUDGETS, text)


def _without_asymptote(samples: Samples, fit: SurfaceFit) -> tuple[float, float]:
    """F statistic of E = 0 against the fitted E, with points treated as independent, and its 95 % quantile."""
    problem = fit.prepared.problem
    without_asymptote = replace(problem, free=problem.free[:, 1:])
    theta = fit.minimum.theta.copy()
    theta[0] = 0.0
    weights = samples.weight[None, :] / samples.weight.mean() * fit.trust
    without = descend(without_asymptote, weights, theta[None, :], fit.minimum.delta)
    degrees_of_freedom = max(samples.count - problem.free.shape[1], 1)
    rise = float(without.objective[0]) - fit.minimum.objective
    return rise / max(fit.minimum.objective, 1e-300) * degrees_of_freedom, _F_LIMIT


def asymptote_findings(fit: SurfaceFit, statistic: float, limit: float) -> Iterable[Finding]:
    """Compare with E = 0: where that costs no more than the noise explains, E is not identified."""
    if statistic < limit:
        yield caution(
            Kind.ASYMPTOTE_NOT_IDENTIFIED,
            f"E = {float(fit.surface.E):.4g} is not identified: E = 0 fits as well (F = {statistic:.2f}). Answers "
            "far beyond the largest run depend on it: fix it with asymptote=, or add larger runs",
        )
