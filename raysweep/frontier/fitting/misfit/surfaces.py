"""Lack of fit of a law in N and D, with its derivatives at the points."""

from dataclasses import replace

import numpy as np

from raysweep.frontier.fitting.misfit.directions import Axes
from raysweep.frontier.fitting.misfit.lack_of_fit import LackOfFit, lack_of_fit
from raysweep.frontier.fitting.surfaces import SurfaceFit, log_loss_gradient
from raysweep.frontier.fitting.trajectories import trajectories
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.samples import Samples

_STEP = 1e-4
"""In ln N, ln D and ln R*, for central differences of ln loss."""


def surface_misfit(samples: Samples, fit: SurfaceFit, form: Form) -> LackOfFit | None:
    """Test whether the residuals of a fitted law are systematic."""
    law, params, data = fit.surface, samples.params, samples.data
    unique = samples.unique_data if form.law == "data_constrained" else None

    def slope(up: Floats, down: Floats) -> Floats:
        return np.asarray((up - down) / (2.0 * _STEP))

    def log_loss(law: Surface, params: Floats, data: Floats) -> Floats:
        return np.asarray(np.log(law.loss(params, data, unique)))

    more, less = np.exp(_STEP), np.exp(-_STEP)
    axes = Axes(
        params=params,
        data=data,
        cost=samples.cost,
        params_slope=slope(log_loss(law, params * more, data), log_loss(law, params * less, data)),
        data_slope=slope(log_loss(law, params, data * more), log_loss(law, params, data * less)),
        params_exponent=0.0 if form.law == "data" else float(law.alpha),
        data_exponent=0.0 if form.law == "params" else float(law.beta),
    )
    effective = np.exp(fit.prepared.problem.y + fit.prepared.centre_y)
    tangent = log_loss_gradient(fit.prepared, form, fit.minimum.theta, params, effective)
    if unique is not None:
        ends = [replace(law, log_repeats=law.log_repeats + step) for step in (_STEP, -_STEP)]
        along = slope(*(log_loss(end, params, data) for end in ends))
        tangent = np.hstack([tangent, along[:, None]])
    return lack_of_fit(fit.minimum.residuals, tangent, axes, trajectories(samples), samples.weight)
