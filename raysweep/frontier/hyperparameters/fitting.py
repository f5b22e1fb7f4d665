"""From runs to the law with its refits: cells without an optimum are left out, the rest is fitted and fitted again."""

from dataclasses import dataclass, replace

import numpy as np

from raysweep.frontier.hyperparameters.design import Design, centre_of, design_of, law_of, regressors, valley_of
from raysweep.frontier.hyperparameters.edges import NoOptimum, outside, place_of, without_optimum
from raysweep.frontier.hyperparameters.estimate import Estimated, estimate, in_use
from raysweep.frontier.hyperparameters.laws import HyperparameterLaw
from raysweep.frontier.hyperparameters.runs import HyperparameterRuns
from raysweep.frontier.hyperparameters.surface import Valley, height, is_valley, solve
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.points.findings import Kind

LEAST_CELLS = 3
"""Cells beyond the law's coefficients from which on whole cells are drawn."""
_CHUNK = 16
_ITERATIONS = 8
_TOLERANCE = 1e-3
"""Some hundredths of a standard error."""
_REACH = 1.5
"""Windows up to which runs may enter that of a refit."""
_MOST_UNITS = 400
"""Units beyond which the jackknife is left out: the bootstrap is precise there."""
_EDGE_ROUNDS = 4


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A surface fitted to the cells that show an optimum.

    Attributes:
        runs: of these cells, sorted by cell; `design`, `valley`, `centre` as in `design`. estimated: the surface.
        left_out: the cells without an optimum, by their numbers in the runs given.
    """

    runs: HyperparameterRuns
    design: Design
    valley: Valley
    centre: dict[str, Floats]
    estimated: Estimated
    left_out: tuple[NoOptimum, ...]

    @property
    def law(self) -> HyperparameterLaw:
        """In the user's units."""
        return self.laws(self.estimated.theta)

    def laws(self, theta: Floats) -> HyperparameterLaw:
        """The laws of theta, shape (parameters,) or (b, parameters)."""
        return law_of(theta, self.valley, self.design, self.centre)


def fit_runs(
    runs: HyperparameterRuns, axes: tuple[str, ...], given: str | None, *, batch_with_params: bool
) -> tuple[Fitted | None, tuple[NoOptimum, ...]]:
    """Fit the cells that show an optimum; None where there are none, or their runs show no valley.

    A cell for which the law of the others puts the optimum beyond the values tried is left out as well.
    """
    left_out = without_optimum(runs, axes)
    fitted: Fitted | None = None
    for _ in range(_EDGE_ROUNDS):
        gone = {item.cell for item in left_out}
        kept = runs.take(np.array([int(cell) not in gone for cell in runs.cell], dtype=bool))
        if kept.count == 0:
            return None, tuple(left_out)
        fitted = _fit_cells(kept, axes, given, batch_with_params=batch_with_params)
        if fitted is None:
            return None, tuple(left_out)
        more = _beyond(fitted, np.unique(kept.cell))
        if not more:
            break
        left_out = [*left_out, *more]
    assert fitted is not None
    return replace(fitted, left_out=tuple(left_out)), tuple(left_out)


def _fit_cells(
    runs: HyperparameterRuns, axes: tuple[str, ...], given: str | None, *, batch_with_params: bool
) -> Fitted | None:
    order = np.argsort(runs.cell, kind="stable")
    sorted_ = runs.take(order)
    numbered = replace(sorted_, cell=np.unique(sorted_.cell, return_inverse=True)[1].reshape(-1))
    design = design_of(numbered, axes, given, batch_with_params=batch_with_params)
    centre = centre_of(numbered, design, given)
    # Too few runs for cubic terms and a steepness of its own in each cell: leave out first these, then those.
    for one in (design, replace(design, scale=()), replace(design, scale=(), cubic=False)):
        valley = valley_of(numbered, one, centre, given)
        found = estimate(valley, numbered.weight)
        if found is not None:
            return Fitted(runs=numbered, design=one, valley=valley, centre=centre, estimated=found, left_out=())
    return None


def _beyond(fitted: Fitted, numbers: Indices) -> list[NoOptimum]:
    """Find the cells whose best value lies, by the law, beyond the values tried."""
    known = regressors(fitted.runs, None)
    found = []
    for axis, place, design in zip(fitted.design.axes, fitted.valley.places, fitted.valley.designs, strict=False):
        best = design @ fitted.estimated.theta[place] + float(fitted.centre[axis])
        for cell in np.flatnonzero(outside(fitted.runs, axis, best)):
            where = place_of(fitted.runs.take(fitted.runs.cell == cell))
            reason = f"{where}: by the law of the other cells the optimum lies beyond the values tried"
            found.append(NoOptimum(cell=int(numbers[cell]), kind=Kind.OPTIMUM_AT_EDGE, reason=reason))
    return found if len({item.cell for item in found}) < known["params"].size else []


@dataclass(frozen=True, kw_only=True)
class SurfaceRefits:
    """Refits of a surface.

    Attributes:
        unit: resampling unit of each run in use, shape (n,). by_cells: whether units are of whole cells.
        draws, leave_one_out: the laws; the second is None with very many units.
        degrees_of_freedom: of the intervals.
    """

    unit: Indices
    by_cells: bool
    draws: HyperparameterLaw
    leave_one_out: HyperparameterLaw | None
    degrees_of_freedom: int
    drawn: int


def refit(fitted: Fitted, bootstraps: int, seed: int) -> SurfaceRefits:
    """Refit the surface to weighted resamples (the Bayesian bootstrap, Rubin 1981), and without each unit.

    Exponential weights vary as the counts of the pairs bootstrap do, but leave no cell and no rate out altogether:
    with few of them, every resample still shows a valley. The window stays.
    """
    unit, by_cells = resampling_units(fitted)
    count = int(unit.max()) + 1
    generator = np.random.default_rng(seed)
    weights = generator.exponential(size=(bootstraps, count))
    draws = _thetas(fitted, np.take(weights, unit, axis=1))
    leave_one_out = None
    if 1 < count <= _MOST_UNITS:
        alone = _thetas(fitted, 1.0 - (np.arange(count)[:, None] == unit))
        leave_one_out = fitted.laws(alone) if alone.shape[0] == count else None
    cells = np.unique(fitted.runs.cell[in_use(fitted.estimated)]).size
    free = int(in_use(fitted.estimated).sum()) - fitted.valley.parameters - cells
    return SurfaceRefits(
        unit=unit,
        by_cells=by_cells,
        draws=fitted.laws(draws),
        leave_one_out=leave_one_out,
        degrees_of_freedom=max(min(count - fitted.design.coefficients, free) if by_cells else free, 1),
        drawn=draws.shape[0],
    )


def _thetas(fitted: Fitted, weights: Floats) -> Floats:
    """Refit with weights of shape (b, n); those that show no valley are left out.

    The window keeps its height and follows each refit's bottom, as that of the fit does: held in place, it would hold
    back the law.
    """
    known = fitted.estimated
    heights = height(fitted.valley, known.theta[None])[0]
    base = fitted.runs.weight * known.trust
    used = (base > 0) & (heights < _REACH * known.window)
    cells = np.unique(fitted.valley.cell[used], return_inverse=True)
    valley = replace(
        fitted.valley,
        logs=fitted.valley.logs[used],
        loss=fitted.valley.loss[used],
        cell=cells[1].reshape(-1),
        designs=tuple(design[cells[0]] for design in fitted.valley.designs),
        scale=fitted.valley.scale[cells[0]],
    )
    found = []
    for begin in range(0, weights.shape[0], _CHUNK):
        part = weights[begin : begin + _CHUNK, used] * base[used]
        start = np.repeat(known.theta[None], part.shape[0], axis=0)
        theta = solve(valley, start, part * known.kernel[used], _ITERATIONS, _TOLERANCE).theta
        sound = is_valley(valley, theta) & np.all(np.isfinite(theta), axis=1)
        theta, part = theta[sound], part[sound]
        kernel = np.clip(1.0 - height(valley, theta) / known.window, 0.0, 1.0)
        theta = solve(valley, theta, part * kernel, _ITERATIONS, _TOLERANCE).theta
        found.append(theta[is_valley(valley, theta) & np.all(np.isfinite(theta), axis=1)])
    return np.concatenate(found)


def resampling_units(fitted: Fitted) -> tuple[Indices, bool]:
    """Number the resampling unit of each run, and return whether units are whole cells.

    Cells that share a trajectory (a run evaluated at several D) are one unit. Where too few units of cells are left to
    show how much the optimum scatters about the law, trajectories are drawn, or runs where there are none.
    """
    runs = fitted.runs
    labels = runs.cell if runs.trajectory is None else _joined(runs)
    unit = np.unique(labels, return_inverse=True)[1].reshape(-1)
    if int(unit.max()) + 1 >= fitted.design.coefficients + LEAST_CELLS:
        return unit, True
    if runs.trajectory is None:
        return np.arange(runs.count), False
    numbers: dict[object, int] = {}
    names = [(place,) if name is None else name for place, name in enumerate(runs.trajectory)]
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.int64), False


def _joined(runs: HyperparameterRuns) -> Indices:
    """Number the groups of cells that share trajectories, shape (n,)."""
    assert runs.trajectory is not None
    group = list(range(int(runs.cell.max()) + 1))

    def root(cell: int) -> int:
        while group[cell] != cell:
            cell = group[cell]
        return cell

    first: dict[object, int] = {}
    for cell, name in zip(runs.cell.tolist(), runs.trajectory, strict=True):
        if name is not None:
            group[root(cell)] = root(first.setdefault(name, cell))
    return np.array([root(int(cell)) for cell in runs.cell], dtype=np.int64)
