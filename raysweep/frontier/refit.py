"""Back from a `Fit` to the solver's coordinates, where the law's derivatives are at hand."""

import numpy as np

from raysweep.frontier.approaches.parametric import Prepared, prepare
from raysweep.frontier.numerics.solver import Floats
from raysweep.frontier.result import Fit


def point_of(fit: Fit) -> tuple[Prepared, Floats]:
    """Return the solver's view of the points and the fit's theta, shape (5,).

    Raises:
        FrontierError: the fit has no law, or one of the frontier alone.
    """
    surface = fit.surface
    prepared = prepare(fit.samples, fit.form)
    log_scale = np.log(prepared.scale)
    first, slope = surface.log_A, surface.alpha
    if fit.form.law == "data":
        first, slope = surface.log_B, surface.beta
    second = 0.0, 0.0
    if prepared.problem.terms == 2:
        second = float(surface.log_B - surface.beta * prepared.centre_y - log_scale), float(surface.beta)
    lead = float(first - slope * prepared.centre_x - log_scale)
    return prepared, np.array([float(surface.E) / prepared.scale, lead, float(slope), *second])


def gradient_rows(prepared: Prepared, theta: Floats, params: Floats, data: Floats) -> Floats:
    """Return the derivatives of ln loss in the free directions at runs of (m,) params and data, shape (m, p)."""
    x, y = np.log(params) - prepared.centre_x, np.log(data) - prepared.centre_y
    first = np.exp(theta[1] - theta[2] * x)
    second = np.exp(theta[3] - theta[4] * y) if prepared.problem.terms == 2 else np.zeros_like(x)
    total = theta[0] + first + second
    full = np.stack([np.ones_like(x), first, -x * first, second, -y * second], axis=1) / total[:, None]
    return np.asarray(full @ prepared.problem.free)
