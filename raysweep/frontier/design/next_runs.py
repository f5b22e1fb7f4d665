"""The choice of the next runs, so that the answer in question becomes certain for the least compute.

A greedy optimal design on the law linearised at its fit (c-optimality; the question of 2604.22753): a run is worth the
share of the answer's variance that it takes away, per unit of cost. Several points on one trajectory cost no more than
the dearest of them, and share the noise of their run where the fit knows it. What it leaves out: that the law itself
may be wrong.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Unpack

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.frontier.answers.arguments import positive
from raysweep.frontier.approaches.options import Settings
from raysweep.frontier.design.information import answer_gradient, independent_rows, information_of, run_rows
from raysweep.frontier.fit import fit_each
from raysweep.frontier.fitting.surfaces import Prepared, prepare, to_theta
from raysweep.frontier.fitting.trajectories import trajectories
from raysweep.frontier.laws.quantities import quantity
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.cleaning import column
from raysweep.frontier.points.families import Family
from raysweep.frontier.points.readers import REQUIRED, as_table
from raysweep.frontier.points.weighting import toward_largest
from raysweep.frontier.result import Fit


@dataclass(frozen=True, kw_only=True)
class NextRun:
    """A run to make: its cost, and the answer's standard error once it and those before it are there."""

    row: int
    """In the candidates' table; where several rows are one trajectory, the row of the point at which it ends."""
    architecture: Family
    params: float
    data: float
    cost: float
    standard_error: float


@dataclass(frozen=True, kw_only=True)
class NextRuns:
    """The runs to make, in order of worth, within the budget.

    `standard_errors` holds for each family the answer's standard error now (in ln for positive answers).
    """

    target: str
    runs: tuple[NextRun, ...]
    standard_errors: dict[Family, float]
    spent: float

    def __str__(self) -> str:
        lines = [f"for {self.target}: {len(self.runs)} runs, total cost {self.spent:.3g}"]
        for run in self.runs:
            name = f"{run.architecture} " if run.architecture else ""
            after = f"standard error then {run.standard_error:.3g}"
            lines.append(f"  {name}N = {run.params:.3g}, D = {run.data:.3g}, C = {run.cost:.3g}: {after}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class _Trajectory:
    """A run that could be made, up to any of its points."""

    rows: list[int]
    """In the candidates' table, in the order of cost."""
    architecture: Family
    params: Floats
    data: Floats
    costs: Floats
    """Of the run up to each of its points."""

    @cached_property
    def kind(self) -> tuple[Family, bytes, bytes, bytes]:
        """The key shared by runs of equal worth."""
        return self.architecture, self.params.tobytes(), self.data.tobytes(), self.costs.tobytes()


@dataclass
class _Knowledge:
    """The knowledge about one family: the information matrix of its law, and the gradient of the answer in theta."""

    fit: Fit
    prepared: Prepared
    theta: Floats
    information: Floats
    direction: Floats

    @property
    def variance(self) -> float:
        return float(self.direction @ np.linalg.solve(self.information, self.direction))

    def rows(self, params: Floats, data: Floats) -> Floats:
        """Gradient of ln loss at the points of one run, whitened by the noise, shape (m, p).

        Where the fit knows the noise of runs, a point tells what those before it on its run did not.
        """
        form, noise = self.fit.form, self.fit.run_noise
        if noise is None:
            return independent_rows(self.prepared, form, self.theta, params, data, self.fit.noise)
        return run_rows(self.prepared, form, self.theta, params, data, np.zeros(params.size, dtype=np.int64), noise)

    def known_information(self) -> Floats:
        """The information matrix of the fit's own points."""
        fit, samples = self.fit, self.fit.samples
        trust = np.ones(samples.count) if fit.trust is None else fit.trust
        if fit.run_noise is not None:
            place = self.prepared, fit.form, self.theta, samples.params, samples.data, trajectories(samples)
            return information_of(run_rows(*place, fit.run_noise, trust * samples.weight / samples.weight.max()))
        rows = self.rows(samples.params, samples.data)
        weighed = toward_largest(samples, fit.form.parameters) if fit.form.toward_largest else samples
        return information_of(rows * np.sqrt(weighed.weight * trust)[:, None])


def next_runs(
    points: object,
    candidates: object,
    budget: float,
    *,
    target: str = "params_exponent",
    flops: float | None = None,
    **settings: Unpack[Settings],
) -> NextRuns:
    """Choose the runs that make an answer certain for the least compute.

    Args:
        points: as in `fit`.
        candidates: a table of runs that could be made: params, data, and the cost column (flops, or seconds); the
            architecture where the points have one. Where the cost is absent, the fitted cost model gives it. Rows that
            share a `trajectory`, if there is such a column, are points of one run, which may end at any of them and
            then costs as much as that one.
        budget: cost of all chosen runs together, in the unit of the cost column.
        target: the answer: a name as in `Fit.interval`, such as "a", "gamma" or "optimal_params".
        flops: for the optimal ones: at which compute.
        **settings: as in `fit`; the method is "parametric", and there are no bootstraps unless asked for.

    Raises:
        FrontierError: no candidate is affordable, a family has no usable fit, or a column is absent.
    """
    budget = positive("next_runs", "budget", budget)
    settings.setdefault("bootstraps", 0)
    known = {family: _knowledge(one, target, flops) for family, one in fit_each(points, **settings).items()}
    runs = _candidates(candidates, known)
    if not any(run.costs[0] <= budget for run in runs):
        raise FrontierError(f"next_runs: no candidate costs at most {budget:.3g}; the cheapest: {min_cost(runs):.3g}")
    before = {name: float(np.sqrt(one.variance)) for name, one in known.items()}
    chosen, spent = _greedy(runs, known, budget)
    return NextRuns(target=target, runs=tuple(chosen), standard_errors=before, spent=spent)


def min_cost(runs: list[_Trajectory]) -> float:
    """The cost of the cheapest run, NaN where there is none."""
    return min((float(run.costs[0]) for run in runs), default=float("nan"))


def _greedy(runs: list[_Trajectory], known: dict[Family, _Knowledge], budget: float) -> tuple[list[NextRun], float]:
    """Choose runs one by one, by the decrease of the variance per cost, within the budget; also return their cost."""
    rows = [known[run.architecture].rows(run.params, run.data) for run in runs]
    ends = [0] * len(runs)  # points taken of each run
    chosen: dict[int, NextRun] = {}
    spent = 0.0
    while (best := _best_step(runs, rows, ends, known, spent, budget)) is not None:
        k, end, cost = best
        run, one = runs[k], known[runs[k].architecture]
        one.information = one.information + rows[k][ends[k] : end].T @ rows[k][ends[k] : end]
        ends[k], spent = end, spent + cost
        chosen.pop(k, None)
        chosen[k] = NextRun(
            row=run.rows[end - 1],
            architecture=run.architecture,
            params=float(run.params[end - 1]),
            data=float(run.data[end - 1]),
            cost=float(run.costs[end - 1]),
            standard_error=float(np.sqrt(one.variance)),
        )
    return list(chosen.values()), spent


def _best_step(
    runs: list[_Trajectory],
    rows: list[Floats],
    ends: list[int],
    known: dict[Family, _Knowledge],
    spent: float,
    budget: float,
) -> tuple[int, int, float] | None:
    """Find the run to begin or to prolong, the point to take it to, and the cost; None where nothing is affordable."""
    best, most = None, 0.0
    seen = set()
    for k, run in enumerate(runs):
        begun = ends[k]
        if not begun and run.kind in seen:
            continue
        seen |= set() if begun else {run.kind}
        paid = float(run.costs[begun - 1]) if begun else 0.0
        for end in range(begun + 1, len(run.rows) + 1):
            cost = float(run.costs[end - 1]) - paid
            if spent + cost > budget:
                break
            worth = _gain(known[run.architecture], rows[k][begun:end]) / max(cost, 1e-300)
            if worth > most:
                best, most = (k, end, cost), worth
    return best


def _gain(one: _Knowledge, rows: Floats) -> float:
    """The relative fall of the answer's variance: c' M^-1 G' (1 + G M^-1 G')^-1 G M^-1 c / c' M^-1 c."""
    towards = np.linalg.solve(one.information, rows.T)
    moved = one.direction @ towards
    fall = float(moved @ np.linalg.solve(np.eye(len(rows)) + rows @ towards, moved))
    return fall / max(one.variance, 1e-300)


def _knowledge(one: Fit, target: str, flops: float | None) -> _Knowledge:
    if not one.status.usable:
        raise FrontierError(f"next_runs: {one.architecture or 'the points'}: no fit to improve on: {one.status}")
    surface = one.surface
    prepared = prepare(one.samples, one.form)
    theta = to_theta(prepared, surface, one.form)
    known = _Knowledge(one, prepared, theta, np.empty(0), np.empty(0))
    known.information = known.known_information()
    known.direction = answer_gradient(prepared, one.form, theta, surface.cost, quantity(surface, target, flops))
    return known


def _candidates(candidates: object, known: dict[Family, _Knowledge]) -> list[_Trajectory]:
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
    if cost_name in table.column_names:
        costs = column(table, cost_name)
    else:
        models = [known[name].fit.surface.cost for name in names]
        costs = np.array([float(m.cost(float(n), float(d))) for m, n, d in zip(models, params, data, strict=True)])
    same = table["trajectory"].to_pylist() if "trajectory" in table.column_names else list(range(table.num_rows))
    runs: dict[object, list[int]] = {}
    for row in np.argsort(costs, kind="stable"):
        runs.setdefault((names[row], same[row]), []).append(int(row))
    return [
        _Trajectory(rows=rows, architecture=names[rows[0]], params=params[rows], data=data[rows], costs=costs[rows])
        for rows in runs.values()
    ]
