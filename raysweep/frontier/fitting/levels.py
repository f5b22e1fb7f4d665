"""The distinct model sizes and amounts of data of a design, and whether they determine a law.

On a full grid of s sizes and t amounts, E + f(N) + g(D) is s + t - 1 numbers: a law of more parameters is open there.
One of more parameters than there are distinct runs is open anywhere. E and the N term are one number for each size, so
three sizes tell E, A and alpha apart, two where E is held; likewise for D.
Amounts within `TOLERANCE` of each other count as one, since batches do not end on round numbers.
"""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.laws.forms import LAWS, Form, LawName
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask
from raysweep.frontier.points.samples import Samples

TOLERANCE = 0.02
"""Share by which two sizes, or two amounts of data, may differ and still count as one."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The least number of sizes and of amounts of data that a law needs, of both together, and of distinct runs."""

    sizes: int
    amounts: int
    both: int
    runs: int


_FURTHER: dict[LawName, tuple[int, int]] = {
    "data_constrained": (0, 1),
    "broken_params": (2, 0),
    "broken_data": (0, 2),
    "offset": (0, 1),
}
"""Parameters that a law has in N, and in D, beyond those of the additive one."""


def needs(form: Form) -> Needs:
    """The distinct sizes and amounts of data without which a law is not determined."""
    free = 2 + (form.asymptote is None)
    together = {"both": form.parameters + 1, "runs": form.parameters}
    if form.law == "params":
        return Needs(sizes=free, amounts=0, both=0, runs=0)
    if form.law == "data":
        return Needs(sizes=0, amounts=free, both=0, runs=0)
    if LAWS[form.law].ties_exponents:  # the exponent that one term determines serves the other
        return Needs(sizes=2, amounts=2, **together)
    if form.law == "coupled":  # its terms interact, so that every cell of a grid tells something
        return Needs(sizes=free, amounts=free, both=0, runs=form.parameters)
    more_sizes, more_amounts = _FURTHER.get(form.law, (0, 0))
    return Needs(sizes=free + more_sizes, amounts=free + more_amounts, **together)


def levels(values: Floats) -> Indices:
    """Number the distinct values by size, from 0, shape (n,); those within `TOLERANCE` of a group's least are in it."""
    order = np.argsort(values, kind="stable")
    label, number, least = np.zeros(values.size, dtype=np.int64), -1, -np.inf
    for place in order:
        if values[place] > least * (1.0 + TOLERANCE) or number < 0:
            number, least = number + 1, float(values[place])
        label[place] = number
    return label


def data_levels(samples: Samples, form: Form) -> Indices:
    """Number the distinct amounts of data; with the data-constrained law, also by how much of it is distinct."""
    seen = levels(samples.data)
    if form.law != "data_constrained" or samples.unique_data is None:
        return seen
    once = np.where(samples.unique_data < samples.data, samples.unique_data, np.inf)
    pairs = seen * (samples.count + 1) + levels(once)
    return np.asarray(np.unique(pairs, return_inverse=True)[1])


def counts(samples: Samples, form: Form, weights: Floats) -> tuple[Indices, Indices, Indices]:
    """Count sizes, amounts of data and distinct runs of the points of positive weight (k, n), each of shape (k,)."""
    sizes, amounts = levels(samples.params), data_levels(samples, form)
    runs = np.unique(sizes * (samples.count + 1) + amounts, return_inverse=True)[1]
    sizes, amounts, runs = (_count(label, weights) for label in (sizes, amounts, runs))
    return sizes, amounts, runs


def determined(samples: Samples, form: Form, weights: Floats) -> Mask:
    """Whether the points of positive weight (k, n) have the sizes and data that the law needs, shape (k,)."""
    needed = needs(form)
    sizes, amounts, runs = counts(samples, form, weights)
    enough = (sizes >= needed.sizes) & (amounts >= needed.amounts)
    return np.asarray(enough & (sizes + amounts >= needed.both) & (runs >= needed.runs))


def _count(label: Indices, weights: Floats) -> Indices:
    """Count the labels that have a point of positive weight, shape (k,)."""
    order = np.argsort(label, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(label[order]) > 0)) if label.size else order
    present = np.logical_or.reduceat(weights[:, order] > 0, starts, axis=1) if label.size else weights > 0
    return np.asarray(present.sum(axis=1))
