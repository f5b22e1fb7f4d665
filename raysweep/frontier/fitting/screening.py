"""Points far from the law, for approaches that judge no outliers: valleys, and the envelope of the lowest losses."""

import numpy as np

from raysweep.frontier.fitting.levels import determined
from raysweep.frontier.fitting.surfaces import SurfaceFit, fit_surface
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.numerics.arrays import Mask
from raysweep.frontier.points.samples import Samples

ABOVE = float(np.log(2.0))
"""ln of the loss over the law's at which a point without weight is taken for a diverged run."""
BELOW = 0.05
"""ln of the law's loss over that of a point without weight at which it is called far below: failed runs end above."""
_STARTS = 16


def screen(samples: Samples, form: Form, seed: int) -> SurfaceFit | None:
    """Fit the additive law only to judge its outliers; None where the points do not determine it."""
    form = Form(asymptote=form.asymptote)
    if samples.count <= form.parameters or not determined(samples, form, np.ones((1, samples.count)))[0]:
        return None
    return fit_surface(samples, form, None, seed, _STARTS)


def far_below(fit: SurfaceFit) -> Mask:
    """The points without weight that lie far below the law, shape (n,)."""
    return np.asarray((fit.trust == 0.0) & (fit.minimum.residuals < -BELOW))


def far_above(fit: SurfaceFit) -> Mask:
    """The points without weight that lie far above the law, shape (n,)."""
    return np.asarray((fit.trust == 0.0) & (fit.minimum.residuals > ABOVE))
