"""The expected widths of a law's 95 % intervals from a planned set of runs, before it is paid for.

The law is linearised at its parameters, with the noise of runs known; draws of its parameters keep to their bounds as a
fit does (E below 0 is E = 0 and the best of the rest), and answers are worked out from each draw. Fixed D/N with alpha
near beta shows as a condition number without bound: it grows as 1 / (alpha - beta)^2 (2605.08541).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raysweep.frontier.design.information import information_of, run_rows
from raysweep.frontier.design.planned import Bracket, PlannedPoints, brackets
from raysweep.frontier.fitting.run_noise.noise import RunNoise
from raysweep.frontier.fitting.surfaces import Prepared, prepare, to_surface, to_theta
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.laws.quantities import quantity
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.numerics.problem import LOWER, UPPER

ANSWERS = ("params_exponent", "data_exponent", "loss_exponent", "optimal_params", "optimal_loss")
"""Whose widths are told; those of the optimum at the largest budget, in ln."""
_DRAWS = 512
_LEVEL = (0.025, 0.975)
_FEWEST = 3
"""Sizes with which an exponent of N and E are determined at all."""
UNDETERMINED = 1e10
"""Condition number, of the information matrix scaled to unit diagonal, from which on the law is open: the directions
that the points leave to the ridge begin there."""


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """The expected answers of planned runs if a law holds.

    Attributes:
        law: the law that is assumed.
        flops: the compute at which N* and L* are asked for.
        widths: of the 95 % intervals by answer (`ANSWERS`); in ln for those of the optimum.
        condition: condition number of the information matrix in the law's parameters, scaled to unit diagonal.
        brackets: of each compute budget.
    """

    law: Surface
    flops: float
    widths: dict[str, float]
    condition: float
    brackets: tuple[Bracket, ...]

    @property
    def open(self) -> bool:
        """Whether the runs leave the law undetermined."""
        return not self.condition < UNDETERMINED


def prospect(
    points: PlannedPoints,
    law: Surface,
    noise: RunNoise,
    budgets: Sequence[float] = (),
    *,
    form: Form | None = None,
    transition: float = 0.0,
) -> Prospect:
    """Compute the expected answers of the planned runs of one family.

    Args:
        points: of the runs.
        law: the law that is assumed, with its cost model.
        noise: of runs.
        budgets: compute at which the optimum is to be bracketed; N* and L* are asked for at the largest, or where there
            is none at the dearest point.
        form: of the law; default: the additive one.
        transition: D below which points are not fitted.
    """
    form = form or Form()
    flops = max(budgets, default=float(points.flops.max()))
    found = brackets(points, law, budgets, transition)
    kept = _after(points, transition)
    if kept is None or kept.sizes.size < _FEWEST:
        widths = dict.fromkeys(ANSWERS, float("inf"))
        return Prospect(law=law, flops=flops, widths=widths, condition=float("inf"), brackets=found)
    prepared = prepare(kept.samples(law), form)
    theta = to_theta(prepared, law, form)
    rows = run_rows(prepared, form, theta, kept.params, kept.data, kept.run, noise)
    draws = to_surface(prepared, _draws(prepared, theta, rows), law.cost, form)
    return Prospect(
        law=law,
        flops=flops,
        widths={name: _width(draws, name, flops) for name in ANSWERS},
        condition=_condition(rows),
        brackets=found,
    )


def _after(points: PlannedPoints, transition: float) -> PlannedPoints | None:
    keep = points.data >= transition
    if not keep.any():
        return None
    _, run = np.unique(points.run[keep], return_inverse=True)
    return PlannedPoints(
        params=points.params[keep],
        data=points.data[keep],
        flops=points.flops[keep],
        run=np.asarray(run, dtype=np.int64),
    )


def _draws(prepared: Prepared, theta: Floats, rows: Floats) -> Floats:
    """Estimates of theta that the noise may lead to, shape (k, P), at their bounds as a constrained fit is."""
    free = prepared.problem.free
    covariance = np.linalg.inv(information_of(rows))
    values, vectors = np.linalg.eigh(0.5 * (covariance + covariance.T))
    normal = np.random.default_rng(0).standard_normal((_DRAWS // 2, values.size))
    normal = np.concatenate([normal, -normal])
    moved = normal * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    for bound, side in ((LOWER, 1.0), (UPPER, -1.0)):
        for column in range(free.shape[1]):
            place = int(np.argmax(np.abs(free[:, column])))
            beyond = side * (bound[place] - theta[place] - free[place, column] * moved[:, column])
            step = np.maximum(beyond, 0.0) * side / free[place, column]
            # The best estimate on the bound is off the free one along the covariance with that parameter.
            moved = moved + step[:, None] * covariance[:, column] / covariance[column, column]
    return np.asarray(np.clip(theta + moved @ free.T, LOWER[: theta.size], UPPER[: theta.size]))


def _width(draws: Surface, name: str, flops: float) -> float:
    wanted = quantity(draws, name, flops)
    values = np.asarray(wanted.value(draws), dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log(values) if wanted.positive else values
    if np.mean(np.isfinite(values)) < _LEVEL[1]:
        return float("inf")
    low, high = np.quantile(values[np.isfinite(values)], _LEVEL)
    return float(high - low)


def _condition(rows: Floats) -> float:
    scale = np.linalg.norm(rows, axis=0)
    if not np.all(scale > 0):
        return float("inf")
    singular = np.linalg.svd(rows / scale, compute_uv=False)
    return float((singular[0] / max(singular[-1], 1e-300)) ** 2)
