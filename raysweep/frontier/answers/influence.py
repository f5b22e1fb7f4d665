"""The influence of single trajectories on the exponent a."""

import numpy as np

from raysweep.frontier.answers.values import Influence
from raysweep.frontier.laws.quantities import Law
from raysweep.frontier.numerics.arrays import Indices
from raysweep.frontier.numerics.intervals import jackknife_variance


def influences(
    estimate: Law, leave_one_out: Law, rows: Indices, unit: Indices, first: int = 0
) -> tuple[Influence, ...]:
    """Rank resampling units by the shift of a when they are left out, strongest first.

    Args:
        estimate: the law of all points.
        leave_one_out: the law without each unit.
        rows: of the points in the table given, shape (n,).
        unit: of each point, shape (n,).
        first: place of the first of these units in `leave_one_out`, which may have other families' as well.
    """
    together = [tuple(int(row) for row in rows[unit == one]) for one in np.unique(unit)]
    without = np.asarray(leave_one_out.params_exponent)
    error = float(np.sqrt(jackknife_variance(without)))
    without = without[first : first + len(together)]
    shifts = (without - float(estimate.params_exponent)) / max(error, 1e-300)
    return tuple(
        Influence(rows=together[k], params_exponent=float(without[k]), shift=float(shifts[k]))
        for k in np.argsort(-np.abs(shifts))
    )
