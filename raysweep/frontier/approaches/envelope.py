"""Approach 1 of 2203.15556: a power law through the lowest loss at each compute."""

from dataclasses import replace

import numpy as np

from raysweep.frontier.approaches.bends import with_lack_of_fit
from raysweep.frontier.approaches.certificate import bound_findings, minimum_findings, with_findings, with_minimum
from raysweep.frontier.approaches.options import Options
from raysweep.frontier.fitting.misfit.curves import curve_misfit
from raysweep.frontier.fitting.power_curve import draw_envelopes, fit_envelope, on_envelope
from raysweep.frontier.fitting.trajectories import resampling_units, without_each
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.findings import Kind, fatal
from raysweep.frontier.result import Fit

LEAST_COSTS = 5
"""Different costs on the envelope that a fit needs; its law has three parameters."""


def envelope(blank: Fit, options: Options, weights: Floats | None) -> Fit:
    """Fit the envelope of a blank fit's points, and that of resamples of the given weights (k, n)."""
    samples = blank.samples
    chosen = on_envelope(samples, np.ones((1, samples.count)))[0]
    if np.unique(samples.cost[chosen]).size < LEAST_COSTS:
        text = f"the envelope has {int(chosen.sum())} points; its law has 3 parameters and needs 5 points or more"
        return with_findings(blank, [fatal(Kind.TOO_FEW_BUDGETS, text)])
    found = fit_envelope(samples, options.form.asymptote, options.loss_delta, options.seed)
    minimum = found.power.minimum
    residuals = np.full(samples.count, np.nan)
    residuals[found.chosen] = minimum.residuals
    fit = replace(with_minimum(blank, minimum), estimate=found.curve, residuals=residuals)
    misfit = curve_misfit(
        samples.cost[found.chosen], minimum.residuals, minimum.theta, found.power.problem.free, found.power.centre
    )
    fit = with_lack_of_fit(fit, misfit)
    fit = with_findings(fit, [*minimum_findings(minimum), *bound_findings(minimum, {0: "E", 2: "gamma"})])
    if weights is None:
        return fit
    draws, sound = draw_envelopes(samples, found, weights)
    kept = np.flatnonzero(sound)
    alone, _ = draw_envelopes(samples, found, without_each(resampling_units(samples, options.form)))
    return replace(fit, draws=draws.take(kept), draw_ids=kept, leave_one_out=alone)
