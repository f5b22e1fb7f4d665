"""Whether a fit with the noise of runs can be believed: it must not take the law itself for noise.

Where runs are few, or bend away from the law together, the restricted likelihood hardly tells runs that differ a lot
and never forget it from runs that the law describes. Take the first, and the law need no longer pass near the points:
what is left of its parameters is read off the shape along single runs. The fit that takes points as independent is
consistent whatever the errors, so that the two exclude one another where they are too far apart (Hausman 1978).
"""

import numpy as np

from raysweep.frontier.fitting.run_noise.covariance import Deviations
from raysweep.frontier.fitting.run_noise.mixed import MixedFit, level_of
from raysweep.frontier.fitting.run_noise.runs import correlation
from raysweep.frontier.fitting.surfaces import SurfaceFit
from raysweep.frontier.laws.forms import ALPHA, BETA
from raysweep.frontier.numerics.arrays import Floats

APART = 3.0
"""Standard errors between the two fits of an exponent, at most: 0 of 96 exponents of simulated families of three and
four runs, whose noise is as the model has it, lay further apart, and 5 of 120 of twelve runs, by less than a tenth."""
MATTERS = 0.1
"""Share of an exponent by which they have to differ, too."""
MOST_MISSED = 2.0
"""Root mean square of the residuals over that of the fit to independent points, at most. 1.7 was the most in 150 such
families of four or more runs; fits of force fields that took the law for noise had from 2.1 to 8."""
ROUNDING = 1e-4
"""Share of the loss below which residuals are rounding."""
_LEAST_TRUST = 1e-6


def doubt(mixed: MixedFit, plain: SurfaceFit, deviations: Deviations) -> str | None:
    """Explain why a fit with run-to-run noise is not credible; None if it is.

    Args:
        mixed: the fit.
        plain: the robust fit of the same law to the same points, taken as independent.
        deviations: of the points about that one.
    """
    with_noise, without = mixed.fit.minimum, plain.minimum
    names = {ALPHA: "alpha", BETA: "beta"}
    for place, name in names.items():
        if with_noise.at_bound[place] and not without.at_bound[place]:
            return f"it leaves {name} at its bound"
    trust = mixed.fit.trust * plain.trust
    if trust.sum() > 0:
        both = (with_noise.residuals, without.residuals)
        missed, reached = (float(np.sqrt(np.average(one**2, weights=trust))) for one in both)
        if missed > max(MOST_MISSED * reached, ROUNDING):
            return f"its law misses the points by {missed:.2%}, and one of that form comes within {reached:.2%}"
    between = _variance_between(mixed, deviations, plain.trust)
    for place, name in names.items():
        along = plain.prepared.problem.free[place]
        error = float(np.sqrt(max(along @ between @ along, 0.0)))
        first, second = float(with_noise.theta[place]), float(without.theta[place])
        if not without.at_bound[place] and abs(first - second) > max(APART * error, MATTERS * abs(second)):
            return f"its {name} is {first:.3g}, that of the points taken as independent {second:.3g}"
    return None


def _variance_between(mixed: MixedFit, deviations: Deviations, trust: Floats) -> Floats:
    """Covariance of the difference between the two fits' free parameters, (p, p): the efficient one's is subtracted."""
    jacobian, root = deviations.jacobian, np.sqrt(np.maximum(trust, _LEAST_TRUST))
    runs, level = deviations.runs, level_of(mixed)
    spread, informed = (np.zeros((jacobian.shape[1],) * 2) for _ in range(2))
    plain = np.linalg.pinv(jacobian * root[:, None]) * root
    for run in range(runs.place.shape[0]):
        places = runs.place[run][runs.place[run] >= 0]
        size = level * np.exp(mixed.memory.slope[0] * runs.size[run][: places.size])
        covariance = correlation(runs, mixed.memory, run) * np.outer(size, size)
        spread += plain[:, places] @ covariance @ plain[:, places].T
        informed += jacobian[places].T @ np.linalg.solve(covariance, jacobian[places])
    return np.asarray(spread - np.linalg.pinv(informed))
