"""Which points stand and fall together: those on one trajectory share seed, initial weights and data, and so errors.

Intervals draw whole trajectories, and leave out whole ones: the cluster bootstrap and the cluster jackknife, with
Student's t of one less than the trajectories (Cameron and Miller 2015; MacKinnon, Nielsen and Webb 2023). Where every
point has a trajectory of its own this is the bootstrap of points, to the last bit.
"""

import numpy as np
from numpy.typing import NDArray

from raysweep.frontier.approaches.parametric import Form
from raysweep.frontier.numerics.solver import Floats
from raysweep.frontier.points.cleaning import Samples


def units(samples: Samples, form: Form) -> NDArray[np.int64]:
    """Return the unit that each point is drawn with, numbered from 0 in the order of first appearance, shape (n,).

    That is its trajectory. Where the law stays open without one of them (see `tellable`), each point is a unit.
    """
    if not tellable(samples, form):
        return np.arange(samples.count)
    return trajectories(samples)


def trajectories(samples: Samples) -> NDArray[np.int64]:
    """Return the trajectory of each point as a number; a point that names none is one of its own."""
    if samples.trajectory is None:
        return np.arange(samples.count)
    numbers: dict[object, int] = {}
    names = [(place,) if name is None else name for place, name in enumerate(samples.trajectory)]
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64)


def tellable(samples: Samples, form: Form) -> bool:
    """Return whether any one trajectory may be left out: enough sizes are left, and enough trajectories.

    With E free three sizes tell E, A and alpha apart, with E held two.
    """
    label = trajectories(samples)
    count = int(label.max(initial=-1)) + 1
    if count == samples.count:
        return True
    needed = 1 if form.law == "data" else 2 + (form.asymptote is None)
    sizes = np.round(np.log(samples.params), 9)
    return count > 2 and all(np.unique(sizes[label != one]).size >= needed for one in range(count))


def spare(samples: Samples, form: Form, parameters: int) -> int:
    """Return the degrees of freedom of intervals: points less parameters, or units less one where those are fewer."""
    return max(min(int(units(samples, form).max(initial=0)), samples.count - parameters), 1)


def without_each(unit: NDArray[np.int64]) -> Floats:
    """Return the weights that leave out one unit in turn, shape (units, n)."""
    return np.asarray(1.0 - (np.unique(unit)[:, None] == unit))
