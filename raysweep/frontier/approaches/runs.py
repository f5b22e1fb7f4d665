"""Run-to-run noise in the parametric approach: which points have it, findings about it, and the draws of the law."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np

from raysweep.frontier.approaches.options import Options
from raysweep.frontier.fitting.costs import fit_cost_draws, is_proportional
from raysweep.frontier.fitting.levels import determined
from raysweep.frontier.fitting.run_noise.covariance import USUAL, WIDE
from raysweep.frontier.fitting.run_noise.doubts import doubt
from raysweep.frontier.fitting.run_noise.draws import draw_mixed, without_each_run
from raysweep.frontier.fitting.run_noise.mixed import MixedFit, as_independent, deviations_about, fit_mixed
from raysweep.frontier.fitting.run_noise.noise import RunNoise
from raysweep.frontier.fitting.surfaces import SurfaceFit, fit_surface, to_surface
from raysweep.frontier.fitting.trajectories import determined_without_any, trajectories
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import CostModel, Surface
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.points.families import Family
from raysweep.frontier.points.findings import Finding, Kind, caution, note
from raysweep.frontier.points.samples import Samples

_Name = TypeVar("_Name", str, Family)


def remembers(samples: Samples, options: Options) -> bool:
    """Whether the noise of runs enters the fit.

    It does where some points share a trajectory, unless the user names Huber's delta or weighs the two sides of the law
    differently: both are about single points.
    """
    plain = options.loss_delta is None and options.form.over == 1.0 and options.form.law != "data_constrained"
    several = int(trajectories(samples).max(initial=-1)) + 1 < samples.count
    return options.run_noise and options.method == "parametric" and plain and several


def fit_together(families: Mapping[_Name, Samples], options: Options) -> dict[_Name, MixedFit]:
    """Fit the families whose runs have noise, with one form of noise for all.

    A family whose fit is not to be believed has its `doubt`, and no part in the fits of the others. Its law is that of
    points taken as independent; where it has no run to spare, so that none can be left out, the noise of runs still
    says how far its draws go.
    """
    arguments = (options.form, None, options.seed, options.starts, options.iterations)
    robust = {
        family: (samples, fit_surface(samples, *arguments))
        for family, samples in families.items()
        if remembers(samples, options)
    }
    found: dict[_Name, MixedFit] = {}
    while robust:
        shown = any(determined_without_any(samples, options.form) for samples, _ in robust.values())
        fits = dict(zip(robust, fit_mixed(list(robust.values()), WIDE if shown else USUAL), strict=True))
        found |= {family: _judged(one, *robust[family], options.form) for family, one in fits.items()}
        doubted = {family for family in robust if found[family].doubt is not None}
        if not doubted:
            break
        robust = {family: one for family, one in robust.items() if family not in doubted}
    return {family: found[family] for family in families if family in found}


def _judged(mixed: MixedFit, samples: Samples, plain: SurfaceFit, form: Form) -> MixedFit:
    """Record whether a fit is credible, and the fallback if it is not."""
    deviations = deviations_about(samples, plain, float(np.log(mixed.noise.params)))
    why = doubt(mixed, plain, deviations)
    if why is not None and not determined_without_any(samples, form):
        mixed = as_independent(mixed, plain, deviations)
    return replace(mixed, doubt=why)


def law_of(mixed: MixedFit, form: Form) -> Surface:
    """The law of a fit with the noise of runs."""
    return to_surface(mixed.fit.prepared, mixed.fit.minimum.theta, mixed.fit.surface.cost, form)


def draw_laws(
    samples: Samples, mixed: MixedFit, form: Form, weights: Floats, seed: int
) -> tuple[Surface, Indices, Surface]:
    """Draw the law as the noise leaves it open: one for each resample of `weights` (k, n), by which the cost is fitted.

    Returns:
        The draws whose fit converged, their numbers, and the law without each run.
    """
    theta, converged = draw_mixed(mixed, weights.shape[0], seed)
    kept, cost = np.flatnonzero(converged), mixed.fit.surface.cost
    draws = to_surface(mixed.fit.prepared, theta, cost_draws(samples, form, weights, cost), form).take(kept)
    return draws, kept, to_surface(mixed.fit.prepared, without_each_run(mixed), cost, form)


def cost_draws(samples: Samples, form: Form, weights: Floats, cost: CostModel) -> CostModel:
    """Fit the cost to the resamples that have enough sizes and amounts of data to separate its powers."""
    good = np.flatnonzero(determined(samples, form, weights))
    if is_proportional(samples) or not good.size:
        return cost
    return fit_cost_draws(samples, weights[np.resize(good, weights.shape[0])])


def noise_findings(samples: Samples, form: Form, noise: RunNoise) -> Iterable[Finding]:
    """Report the run-to-run noise, or that it cannot be estimated."""
    sizes = np.unique(np.round(np.log(samples.params), 9))
    ends = [noise.at(float(np.exp(size))) for size in (sizes[0], sizes[-1])]
    shown = f"{ends[0]:.1%}"
    if sizes.size > 1:
        shown = f"{shown} at the smallest size to {ends[1]:.1%} at the largest"
    seeds = f"up to {noise.seeds} seeds per size"
    if noise.seeds == 1:
        seeds = "one seed per size, so this includes the law's own misfit"
    among = f", estimated with those of {noise.families - 1} other families" if noise.families > 1 else ""
    remembered = f"the correlation over a doubling of D is {noise.correlation(2.0):.2f}"
    yield note(Kind.RUN_NOISE, f"run-to-run noise is {shown} of the loss ({seeds}{among}); {remembered}")
    if not determined_without_any(samples, form):
        text = (
            f"without one of the {int(trajectories(samples).max()) + 1} trajectories the law is not determined, so "
            "run-to-run noise cannot be estimated: intervals rest on typical noise; add sizes or seeds"
        )
        yield caution(Kind.TOO_FEW_TRAJECTORIES, text)


def doubt_findings(mixed: MixedFit | None) -> Iterable[Finding]:
    """Report that run-to-run noise was left out of the fit, and why."""
    if mixed is not None and mixed.doubt is not None:
        drawn = "intervals rest on typical noise" if mixed.independent else "intervals resample whole trajectories"
        text = (
            "run-to-run noise cannot be separated from the law: with that noise in the fit, "
            f"{mixed.doubt}. The law is fitted to points treated as independent, and {drawn}; add sizes or seeds"
        )
        yield caution(Kind.RUN_NOISE_LEFT_OUT, text)
