"""Resampling units: the points of one trajectory share seed, initial weights and data, and so their errors.

Intervals draw whole trajectories, and leave out whole ones: the cluster bootstrap and the cluster jackknife, with
Student's t of one less than the trajectories (Cameron and Miller 2015; MacKinnon, Nielsen and Webb 2023). Where every
point is a trajectory by itself, this is the bootstrap of points, to the last bit.
"""

import numpy as np

from raysweep.frontier.fitting.levels import determined
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.points.samples import Samples

_CHUNK = 1_000_000
"""Weights held at once."""


def resampling_units(samples: Samples, form: Form) -> Indices:
    """Number the unit that each point is drawn with from 0, in order of first appearance, shape (n,).

    The unit is the trajectory. Where the law is not determined without one of them, each point is a unit.
    """
    if not determined_without_any(samples, form):
        return np.arange(samples.count)
    return trajectories(samples)


def trajectories(samples: Samples) -> Indices:
    """Number the trajectory of each point from 0, shape (n,); a point that names none is one by itself."""
    if samples.trajectory is None:
        return np.arange(samples.count)
    numbers: dict[object, int] = {}
    names = [(place,) if name is None else name for place, name in enumerate(samples.trajectory)]
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def determined_without_any(samples: Samples, form: Form) -> bool:
    """Whether any one trajectory may be left out: the sizes and data that remain, and two or more trajectories, do."""
    label = trajectories(samples)
    count = int(label.max(initial=-1)) + 1
    if count == samples.count:
        return True
    if count <= 2:
        return False
    size = max(1, _CHUNK // samples.count)
    firsts = range(0, count, size)
    return all(
        determined(samples, form, without_each(label, range(first, min(first + size, count)))).all() for first in firsts
    )


def degrees_of_freedom(samples: Samples, form: Form) -> int:
    """Degrees of freedom of intervals: points less fitted parameters, or units less one where those are fewer."""
    return max(min(int(resampling_units(samples, form).max(initial=0)), samples.count - form.parameters), 1)


def without_each(unit: Indices, chosen: range | None = None) -> Floats:
    """Weights that leave out one unit in turn, or one of the chosen, shape (units, n)."""
    left_out = np.unique(unit) if chosen is None else np.asarray(chosen)
    return np.asarray(1.0 - (left_out[:, None] == unit))
