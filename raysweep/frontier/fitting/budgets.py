"""Compute budgets: groups of points of about the same compute."""

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.points.samples import Samples

LEAST_SIZES = 4
"""Distinct model sizes that a budget needs: a valley has three coefficients."""
LEAST_BUDGETS = 3
_CLEAN, _WIDEST = 0.05, 0.4
"""Spread of ln C within a budget: at most _CLEAN where budgets were planned, at most _WIDEST where they are made."""


def budgets(samples: Samples) -> Indices:
    """Number the budget of each point by rising compute, shape (n,); -1 where a budget has too few sizes."""
    log_cost = np.log(samples.cost)
    if samples.count < LEAST_SIZES:
        return np.full(samples.count, -1)
    label = _split_at_gaps(log_cost)
    if any(np.ptp(log_cost[label == k]) > _CLEAN for k in np.unique(label)):
        label = fcluster(linkage(log_cost[:, None], "complete"), _WIDEST, "distance")
    final = np.full(samples.count, -1)
    groups = sorted((np.flatnonzero(label == k) for k in np.unique(label)), key=lambda rows: log_cost[rows].mean())
    number = 0
    for rows in groups:
        if np.unique(np.round(np.log(samples.params[rows]), 6)).size >= LEAST_SIZES:
            final[rows] = number
            number += 1
    return final


def distinct_budgets(samples: Samples) -> int:
    """Count the computes that differ by more than the scatter of a planned budget."""
    return int(_split_at_gaps(np.log(samples.cost)).max()) + 1


def log_budget_costs(samples: Samples, label: Indices) -> Floats:
    """Average ln C over the points of each budget, shape (budgets,)."""
    return np.array([np.log(samples.cost[label == k]).mean() for k in range(int(label.max()) + 1)])


def _split_at_gaps(log_cost: Floats) -> Indices:
    order = np.argsort(log_cost)
    label = np.zeros(log_cost.size, dtype=np.int64)
    label[order] = np.concatenate([[0], np.cumsum(np.diff(log_cost[order]) > _CLEAN)])
    return label
