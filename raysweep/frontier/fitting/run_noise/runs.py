"""Points arranged by run, and the filter that makes their remembered errors independent.

The errors of ln loss on one run, at points i and j with x = ln D:

    cov(i, j) = s_i s_j ((1 - white) exp(-|x_i - x_j| / memory) + white [i = j])
    s = exp(level + slope (ln N - centre))

an Ornstein-Uhlenbeck process in ln D with a white part. Its state is one number, so a Kalman filter whitens a run of m
points in m steps (Harvey 1989, chapter 3), at any spacing of the points.
"""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.numerics.arrays import Floats, Indices

LEAST_PRECISION = 1e-6
"""Of a point that weighs nothing."""
_COPY = 1e-3
"""Of ln D: two points of a run that are nearer than this are one measurement."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The points of one family by run, arrays of shape (r, m): r runs of at most m points in the order of D.

    Attributes:
        place: of the point in the family's arrays, -1 where the run has no such point.
        step: ln D less that of the point before. size: ln N less the centre.
        doubt: variance added to that of a point, in units of the run's, where the point weighs less than others.
        count: effective number of points: the sum of their trust, copies of a point left out.
    """

    place: Indices
    step: Floats
    size: Floats
    doubt: Floats
    count: float

    @property
    def present(self) -> Floats:
        """1 where there is a point, 0 where there is none, shape (r, m)."""
        return np.asarray((self.place >= 0).astype(float))


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Covariances of errors up to a common factor, one or k of them: arrays of shape (k,).

    Attributes:
        memory: e-folding distance in ln D. white: share of the variance that is not remembered.
        slope: of the standard deviation's logarithm in ln N.
    """

    memory: Floats
    white: Floats
    slope: Floats

    def take(self, rows: Indices) -> "Memory":
        """Select some of them."""
        return Memory(memory=self.memory[rows], white=self.white[rows], slope=self.slope[rows])


def arrange_runs(
    log_params: Floats, log_data: Floats, label: Indices, trust: Floats, weight: Floats, centre: float
) -> Runs:
    """Arrange the points of one family.

    Args:
        log_params: ln N, shape (n,).
        log_data: ln D, shape (n,).
        label: number of each point's run from 0, shape (n,).
        trust: of each point, from 0 (weighs nothing) to 1.
        weight: of each point, as the user gives it.
        centre: the ln N at which the noise's level is taken.
    """
    order = np.lexsort((log_data, label))
    sorted_label = label[order]
    first = np.searchsorted(sorted_label, sorted_label)
    column = np.arange(label.size) - first
    place = np.full((int(label.max()) + 1, int(column.max()) + 1), -1)
    place[sorted_label, column] = order
    there = place >= 0
    x = np.where(there, log_data[place], 0.0)
    step = np.zeros(place.shape)
    step[:, 1:] = np.where(there[:, 1:], x[:, 1:] - x[:, :-1], 0.0)
    copies = np.zeros(place.shape, dtype=bool)
    copies[:, 1:] = step[:, 1:] < _COPY
    precision = np.maximum(trust * weight / weight.max(), LEAST_PRECISION)
    return Runs(
        place=place,
        step=step,
        size=np.where(there, log_params[place] - centre, 0.0),
        doubt=np.where(there, 1.0 / precision[place] - 1.0, 0.0),
        count=float((trust[place] * (there & ~copies)).sum()),
    )


def whiten(runs: Runs, noise: Memory, columns: Floats) -> tuple[Floats, Floats]:
    """Make errors independent and of unit variance, times the common factor.

    Args:
        runs: r runs of at most m points.
        noise: k covariances.
        columns: errors, or columns that belong to them, shape (k, n, q), or (1, n, q) for the same at each covariance.

    Returns:
        The columns, shape (k, r * m, q), and the ln of the covariances' determinants, shape (k,).
    """
    there = runs.present
    k, (r, m), q = noise.memory.size, there.shape, columns.shape[2]
    values = columns[:, runs.place.T, :]  # one step of all runs is one block of memory
    scale = np.exp(-noise.slope[:, None, None] * runs.size)  # (k, r, m)
    kept = 1.0 - noise.white[:, None]
    found = np.empty((k, r, m, q))
    state, variance, log_det = np.zeros((k, r, q)), np.broadcast_to(kept, (k, r)), np.zeros(k)
    away = np.empty_like(state)
    for i in range(m):
        if i:
            fade = np.exp(-runs.step[None, :, i] / noise.memory[:, None])
            state *= fade[..., None]
            variance = fade**2 * variance + (1.0 - fade**2) * kept
        total = variance + noise.white[:, None] + runs.doubt[None, :, i]
        np.multiply(values[:, i], (scale[:, :, i] * there[:, i])[..., None], out=away)
        away -= state
        np.multiply(away, (there[:, i] / np.sqrt(total))[..., None], out=found[:, :, i])
        gain = variance / total
        away *= gain[..., None]
        state += away
        variance = variance * (1.0 - gain)
        log_det += ((np.log(total) - 2.0 * np.log(scale[:, :, i])) * there[:, i]).sum(axis=1)
    return found.reshape(k, r * m, q), log_det


def draw_errors(runs: Runs, noise: Memory, level: Floats, seed: tuple[int, ...]) -> Floats:
    """Draw errors of ln loss of each of k covariances with their ln levels (k,), shape (k, n)."""
    k, (r, m) = noise.memory.size, runs.place.shape
    normal = np.random.default_rng(seed).standard_normal((2, m, k, r))
    kept, found = np.sqrt(1.0 - noise.white)[:, None], np.zeros((k, int(runs.place.max()) + 1))
    state = normal[0, 0]
    for i in range(m):
        if i:
            fade = np.exp(-runs.step[None, :, i] / noise.memory[:, None])
            state = fade * state + np.sqrt(1.0 - fade**2) * normal[0, i]
        scale = np.exp(level[:, None] + noise.slope[:, None] * runs.size[None, :, i])
        there = runs.place[:, i] >= 0
        errors = scale * (kept * state + np.sqrt(noise.white)[:, None] * normal[1, i])
        found[:, runs.place[there, i]] = errors[:, there]
    return found


def correlation(runs: Runs, noise: Memory, run: int) -> Floats:
    """The covariance of one run's points over s_i s_j, at a single covariance, doubts included, shape (m', m')."""
    there = runs.place[run] >= 0
    x = np.cumsum(runs.step[run][there])
    fade = np.exp(-np.abs(x[:, None] - x[None, :]) / noise.memory[0])
    return np.asarray((1.0 - noise.white[0]) * fade + np.diag(noise.white[0] + runs.doubt[run][there]))
