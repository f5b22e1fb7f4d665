"""Which runs to make next, so that the answer in question becomes certain for the least compute.

A greedy optimal design on the law linearised at its fit (c-optimality; the question of 2604.22753): a run is worth the
share of the answer's variance that it takes away, per unit of cost. What it leaves out: that the law itself may be
wrong, and that several budgets on one trajectory cost no more than the largest of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raysweep.errors import FrontierError
from raysweep.frontier.fit import fit
from raysweep.frontier.parametric import to_surface
from raysweep.frontier.points import REQUIRED, as_table
from raysweep.frontier.quantities import quantity
from raysweep.frontier.refit import gradient_rows, point_of
from raysweep.frontier.result import Fit
from raysweep.frontier.samples import column
from raysweep.frontier.solver import Floats

_RIDGE = 1e-9
"""Added to the information of the points, relative to its diagonal: directions that they leave open stay finite."""


@dataclass(frozen=True, kw_only=True)
class NextRun:
    """A run to make: what it costs, and the answer's standard error once it and those before it are there."""

    row: int
    architecture: str | None
    params: float
    data: float
    cost: float
    standard_error: float


@dataclass(frozen=True, kw_only=True)
class NextRuns:
    """The runs to make, in order of worth, within the budget.

    `standard_errors` gives for each architecture the answer's standard error now (in ln for positive answers).
    """

    target: str
    runs: tuple[NextRun, ...]
    standard_errors: dict[str | None, float]
    spent: float

    def __str__(self) -> str:
        lines = [f"for {self.target}: {len(self.runs)} runs, total cost {self.spent:.3g}"]
        for run in self.runs:
            name = f"{run.architecture} " if run.architecture else ""
            after = f"standard error then {run.standard_error:.3g}"
            lines.append(f"  {name}N = {run.params:.3g}, D = {run.data:.3g}, C = {run.cost:.3g}: {after}")
        return "\n".join(lines)


@dataclass
class _Knowledge:
    """What is known of one architecture: the information matrix of its law, and the direction that matters."""

    fit: Fit
    information: Floats
    direction: Floats

    @property
    def variance(self) -> float:
        return float(self.direction @ np.linalg.solve(self.information, self.direction))


def next_runs(
    points: object,
    candidates: object,
    budget: float,
    *,
    target: str = "params_exponent",
    flops: float | None = None,
    **arguments: object,
) -> NextRuns:
    """Choose the runs that make an answer certain for the least compute.

    Args:
        points: as in `fit`.
        candidates: a table of runs that could be made: params, data, and the cost column (flops, or seconds); the
            architecture where the points have one. Where the cost is absent, the fitted cost model gives it.
        budget: cost of all chosen runs together, in the unit of the cost column.
        target: the answer: a name as in `Fit.interval`, such as "a", "gamma" or "optimal_params".
        flops: for the optimal ones: at which compute.
        **arguments: of `fit`; the method is "parametric".

    Raises:
        FrontierError: no candidate is affordable, an architecture has no usable fit, or a column is absent.
    """
    found = fit(points, **{"bootstraps": 0, **arguments})  # type: ignore[arg-type]
    fits: Mapping[str | None, Fit] = {None: found} if isinstance(found, Fit) else dict(found.items())
    known = {name: _knowledge(one, target, flops) for name, one in fits.items()}
    runs = _candidates(candidates, known)
    if not any(run.cost <= budget for run in runs):
        raise FrontierError(f"next_runs: no candidate costs at most {budget:.3g}; the cheapest: {min_cost(runs):.3g}")
    before = {name: float(np.sqrt(one.variance)) for name, one in known.items()}
    chosen, spent = _greedy(runs, known, budget)
    return NextRuns(target=target, runs=tuple(chosen), standard_errors=before, spent=spent)


def min_cost(runs: list[NextRun]) -> float:
    """Return the cost of the cheapest run, NaN where there is none."""
    return min((run.cost for run in runs), default=float("nan"))


def _greedy(runs: list[NextRun], known: dict[str | None, _Knowledge], budget: float) -> tuple[list[NextRun], float]:
    """Take the run with the largest relative fall of variance per cost until the budget is used up."""
    left, spent = list(runs), 0.0
    chosen: list[NextRun] = []
    while True:
        affordable = [run for run in left if spent + run.cost <= budget]
        if not affordable:
            return chosen, spent
        worth = [_gain(known[run.architecture], run) / run.cost for run in affordable]
        best = affordable[int(np.argmax(worth))]
        if max(worth) <= 0:
            return chosen, spent
        one = known[best.architecture]
        row = _row(one, best)
        one.information = one.information + np.outer(row, row)
        chosen.append(
            NextRun(
                row=best.row,
                architecture=best.architecture,
                params=best.params,
                data=best.data,
                cost=best.cost,
                standard_error=float(np.sqrt(one.variance)),
            )
        )
        spent += best.cost
        left.remove(best)


def _gain(one: _Knowledge, run: NextRun) -> float:
    """Return the relative fall of the answer's variance: (c' M^-1 g)^2 / (1 + g' M^-1 g) / c' M^-1 c."""
    row = _row(one, run)
    towards = np.linalg.solve(one.information, row)
    return float((one.direction @ towards) ** 2 / (1.0 + row @ towards) / max(one.variance, 1e-300))


def _row(one: _Knowledge, run: NextRun) -> Floats:
    prepared, theta = point_of(one.fit)
    rows = gradient_rows(prepared, theta, np.array([run.params]), np.array([run.data]))
    return np.asarray(rows[0] / max(one.fit.noise, 1e-9))


def _knowledge(one: Fit, target: str, flops: float | None) -> _Knowledge:
    if not one.status.usable:
        raise FrontierError(f"next_runs: {one.architecture or 'the points'}: no fit to improve on: {one.status}")
    surface = one.surface
    prepared, theta = point_of(one)
    rows = gradient_rows(prepared, theta, one.samples.params, one.samples.data) / max(one.noise, 1e-9)
    weight = one.samples.weight * (1.0 if one.trust is None else one.trust)
    information = (rows * weight[:, None]).T @ rows
    information += np.diag(_RIDGE * np.diag(information) + 1e-12)
    wanted = quantity(surface, target, flops)
    free = prepared.problem.free

    def answer(moved: Floats) -> float:
        value = float(wanted.value(to_surface(prepared, moved, surface.cost, one.form)))
        return float(np.log(value)) if wanted.positive else value

    step = 1e-5
    direction = np.array(
        [
            (answer(theta + step * free[:, k]) - answer(theta - step * free[:, k])) / (2 * step)
            for k in range(free.shape[1])
        ]
    )
    return _Knowledge(fit=one, information=information, direction=direction)


def _candidates(candidates: object, known: dict[str | None, _Knowledge]) -> list[NextRun]:
    cost_name = next(iter(known.values())).fit.cost_name
    table = as_table(candidates, "candidates", required=REQUIRED[:2])
    params, data = column(table, "params"), column(table, "data")
    names: list[str | None] = [None] * table.num_rows
    if None not in known:
        if "architecture" not in table.column_names:
            raise FrontierError(f"candidates: no column architecture; the points have {', '.join(map(str, known))}")
        names = [str(name) for name in table["architecture"].to_pylist()]
        unknown = sorted({str(name) for name in names if name not in known})
        if unknown:
            raise FrontierError(f"candidates: no points of {', '.join(unknown)}; known: {', '.join(map(str, known))}")
    given = column(table, cost_name) if cost_name in table.column_names else None
    runs = []
    for row, name in enumerate(names):
        model = known[name].fit.surface.cost
        cost = float(model.cost(float(params[row]), float(data[row]))) if given is None else float(given[row])
        runs.append(
            NextRun(
                row=row,
                architecture=name,
                params=float(params[row]),
                data=float(data[row]),
                cost=cost,
                standard_error=float("nan"),
            )
        )
    return runs
