"""Lack of fit: whether a law's residuals follow a shape that noise does not explain; size, sign and place of the bend.

It needs arrays alone (residuals, tangent space, where the points lie), so it serves every law. The tests share the
level by Bonferroni: a scan for shapes over points, and an F-test against replicates where there are some. Where there
are runs, the scan goes along them and over their means, and a test asks whether their first budgets obey the law of the
later ones.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from raysweep.frontier.fitting.misfit.curvature import mean_curvature
from raysweep.frontier.fitting.misfit.directions import QUADRATIC, Axes, at_end, directions, standardised
from raysweep.frontier.fitting.misfit.memory import RunOrder
from raysweep.frontier.fitting.misfit.scan import LEAST_DEGREES, Scan, basis, project_out, scan
from raysweep.frontier.fitting.misfit.transition import Windows, windows_along_runs
from raysweep.frontier.fitting.robust import robust_scale
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask, Scalar

LEVEL = 0.03
"""p-value below which the residuals count as systematic; false alarms stay below 5 % with uneven noise, too."""
SMALL = 1e-3
"""Share of the loss below which a bend is told but casts no doubt on answers."""
ROUNDING = 1e-4
"""Share of the loss below which a bend is not told."""
DIVERGED = float(np.log(2.0))
"""Residual beyond which a run has failed, and tells nothing about the law."""
WEIGHTS = {"transition": 3.0}
"""Share of the level that a test has, over that of the others: it has the most power for learning curves."""
ESTIMATED = 1.5
"""Factor on p-values of the scan along runs, whose noise and memory are estimated from the same few points (measured:
7.5 % of 160 true laws had one below 3 %)."""
CLIPPED = 5.0
"""Noises beyond which a residual counts no more: one failed run is no bend, many on one side are."""
SAME = 0.005
"""ln of the ratio up to which two runs count as of the same N, and of the same D."""


@dataclass(frozen=True, kw_only=True)
class Departure:
    """Mean of ln(measured / predicted) over the points at a place, such as "the largest compute"."""

    place: str
    size: Scalar


@dataclass(frozen=True, kw_only=True)
class LackOfFit:
    """Whether residuals are systematic.

    Attributes:
        p_value: chance that noise about the law follows some shape as closely as these residuals do.
        test: what gave it: "shapes" (over N, D and compute), "transition" (first budgets of runs against later ones),
            "curvature" (of all runs in ln D), "runs" (means of runs) or "replicates".
        statistic, degrees_of_freedom: F of the closest shape (1 degree of freedom above) and its degrees below.
        size: largest departure along that shape, a share of the loss.
        departures: at the ends of N, D and compute, largest first.
        transition_ends: the D from which on the runs obey one law (`misfit.transition`); None where they do throughout,
            or no window is long enough to tell.
    """

    p_value: Scalar
    test: str
    statistic: Scalar
    degrees_of_freedom: int
    size: Scalar
    departures: tuple[Departure, ...]
    transition_ends: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the residuals are systematic, however small."""
        return self.p_value < LEVEL and self.size >= ROUNDING

    @property
    def bends(self) -> bool:
        """Whether the residuals are systematic, and large enough to matter."""
        return self.significant and self.size >= SMALL

    def __str__(self) -> str:
        first = self.departures[0]
        told = f"losses at {first.place} lie {_percent(first.size)} the law"
        others = [one for one in self.departures[1:] if one.place == "the largest compute" or one.size * first.size < 0]
        if others:
            told += f", those at {others[0].place} {_percent(others[0].size)} it"
        if self.transition_ends is not None:
            told += f"; runs are in transition up to D = {self.transition_ends:.3g}"
        return f"{told} (p = {self.p_value:.2g})"


def lack_of_fit(
    residuals: Floats, tangent: Floats, axes: Axes, unit: Indices, weight: Floats | None = None
) -> LackOfFit | None:
    """Test whether residuals are systematic.

    Args:
        residuals: ln of measured over predicted loss, shape (n,).
        tangent: derivatives of ln loss by the law's free parameters, shape (n, p).
        axes: where the points lie.
        unit: number of the run that each point belongs to, shape (n,); all distinct where points share no run.
        weight: of the points, shape (n,): inverse variances, up to a factor.

    Returns:
        None where the points are too few to tell, or the residuals are rounding.
    """
    near = np.abs(residuals) < DIVERGED
    if not near.all():
        weight = None if weight is None else weight[near]
        residuals, tangent, axes, unit = residuals[near], tangent[near], axes.take(near), unit[near]
    noise = robust_scale(residuals, tangent.shape[1])
    if not noise > 1e-9:
        return None
    clipped = np.clip(residuals, -CLIPPED * noise, CLIPPED * noise)
    root = np.ones(residuals.size) if weight is None else np.sqrt(weight / weight.mean())
    tests, windows = _tests(clipped, tangent, axes, unit, root)
    ends = axes.data.min() if windows is None else windows.start[windows.chosen(np.ones((1, residuals.size)))[0]]
    made = {name: found for name, found in tests.items() if found is not None}
    if not made:
        return None
    total = sum(WEIGHTS.get(name, 1.0) for name in made)
    factor = {name: total / WEIGHTS.get(name, 1.0) for name in made}
    test = min(made, key=lambda name: made[name].p_value * factor[name])
    return LackOfFit(
        p_value=min(1.0, made[test].p_value * factor[test]),
        test=test,
        statistic=made[test].statistic,
        degrees_of_freedom=made[test].degrees_of_freedom,
        size=made[test].size,
        departures=_departures(clipped, axes),
        transition_ends=float(ends) if ends > 1.01 * axes.data.min() else None,
    )


def _tests(
    clipped: Floats, tangent: Floats, axes: Axes, unit: Indices, root: Floats
) -> tuple[dict[str, "_Test | None"], Windows | None]:
    """Make every test that the points allow; also give the windows along runs."""
    runs = int(np.unique(unit).size)
    if runs == unit.size:
        points = _over_points(clipped, tangent, axes, root)
        return {"shapes": points, "replicates": _replicates(clipped, tangent, axes)}, None
    means = _RunMeans(clipped, tangent, axes, unit)
    curvature = mean_curvature(clipped, unit, axes.data)
    windows = along_windows(clipped, tangent, axes, unit, root)
    tests = {
        "shapes": _along_runs(clipped, tangent, axes, unit, root),
        "curvature": None if curvature is None else _Test(*curvature),
        "transition": None if windows is None else _transition(clipped, axes, windows),
        "runs": _over_points(means.residuals, means.tangent, means.axes, np.ones(runs)),
        "replicates": _replicates(means.residuals, means.tangent, means.axes),
    }
    return tests, windows


@dataclass(frozen=True)
class _Test:
    p_value: float
    statistic: float
    degrees_of_freedom: int
    size: float


class _RunMeans:
    """Residuals, tangent space and place of each run: means over its points."""

    def __init__(self, residuals: Floats, tangent: Floats, axes: Axes, unit: Indices) -> None:
        _, number, count = np.unique(unit, return_inverse=True, return_counts=True)

        def mean(values: Floats) -> Floats:
            return np.asarray(np.bincount(number, values) / count)

        self.residuals = mean(residuals)
        self.tangent = np.stack([mean(column) for column in tangent.T], axis=1)
        self.axes = replace(
            axes,
            params=np.exp(mean(np.log(axes.params))),
            data=np.exp(mean(np.log(axes.data))),
            cost=np.exp(mean(np.log(axes.cost))),
            params_slope=mean(axes.params_slope),
            data_slope=mean(axes.data_slope),
        )


def _over_points(residuals: Floats, tangent: Floats, axes: Axes, root: Floats) -> _Test | None:
    """Scan points that are independent; the noise may rise or fall with compute as a power law."""
    shapes = directions(axes)
    spread = _spread(residuals, np.hstack([tangent, shapes[:, :QUADRATIC]]), standardised(axes.cost))
    scale = (root / spread)[:, None]
    return _test(scan(residuals * scale[:, 0], tangent * scale, shapes * scale), tangent, shapes)


def _along_runs(residuals: Floats, tangent: Floats, axes: Axes, unit: Indices, root: Floats) -> _Test | None:
    """Scan along runs, each with its own intercept; the noise may rise or fall with N as a power law."""
    shapes, runs = directions(axes), RunOrder(unit, axes.data)
    scale, correlation = _noise_along(runs, residuals, np.hstack([tangent, shapes[:, :QUADRATIC]]), axes, root)
    white = [runs.whiten(values * scale, correlation) for values in (residuals[:, None], tangent, shapes)]
    found = scan(white[0][:, 0], white[1], white[2], lost=int(runs.first.sum()))
    if found is not None:
        found = replace(found, p_value=min(1.0, ESTIMATED * found.p_value))
    return _test(found, runs.whiten(tangent, 0.0), runs.whiten(shapes, 0.0))


def along_windows(residuals: Floats, tangent: Floats, axes: Axes, unit: Indices, root: Floats) -> Windows | None:
    """Fit the law along runs in nested windows of D."""
    rich = np.hstack([tangent, directions(axes)[:, :QUADRATIC]])
    scale, correlation = _noise_along(RunOrder(unit, axes.data), residuals, rich, axes, root)
    return windows_along_runs(residuals * scale[:, 0], tangent * scale, unit, axes.data, correlation)


def _noise_along(runs: RunOrder, residuals: Floats, mean: Floats, axes: Axes, root: Floats) -> tuple[Floats, float]:
    """One over the noise of each point, shape (n, 1), and the correlation of deviations a factor 2 apart."""
    centred = runs.whiten(residuals, 0.0)
    spread = np.empty(residuals.size)
    spread[runs.order] = _spread(centred, runs.whiten(mean, 0.0), standardised(axes.params)[runs.order])
    scale = (root / spread)[:, None]
    return scale, runs.correlation(residuals * scale[:, 0], mean * scale)


def _transition(residuals: Floats, axes: Axes, windows: Windows) -> _Test:
    level = _levels(np.log(axes.data))
    means = np.bincount(level, residuals) / np.bincount(level)
    return _Test(*windows.p_value(), float(np.max(np.abs(means))))


def _test(found: Scan | None, tangent: Floats, shapes: Floats) -> _Test | None:
    if found is None:
        return None
    bend = found.coefficient * project_out(basis(tangent), shapes[:, found.column])
    return _Test(found.p_value, found.statistic, found.degrees_of_freedom, float(np.max(np.abs(bend))))


def _spread(residuals: Floats, mean: Floats, along: Floats) -> Floats:
    """Noise of each point over their root mean square: a power law along a standardised coordinate, shape (n,).

    The slope of ln |residual| is shrunk by its standard error (1.11, that of ln |z| for Gaussian z, over root n), so
    that even noise stays even.
    """
    rest = project_out(basis(mean), residuals)
    logs = np.log(np.abs(rest) + 0.1 * float(np.sqrt(np.mean(rest**2))) + 1e-300)
    slope = float(along @ (logs - logs.mean())) / max(float(along @ along), 1e-300)
    error = 1.11 / np.sqrt(residuals.size)
    slope *= max(0.0, 1.0 - 2.25 * (error / slope) ** 2) if slope else 0.0
    spread = np.exp(slope * along)
    return np.asarray(spread / np.sqrt(np.mean(spread**2)))


def _replicates(residuals: Floats, tangent: Floats, axes: Axes) -> _Test | None:
    """Compare the means of runs of one N and D with the law, in units of the spread among them (pure error)."""
    group = _groups(axes)
    count = np.bincount(group)
    means = (np.bincount(group, residuals) / count)[group]
    inner = residuals.size - count.size
    outer = count.size - basis(tangent).shape[1]
    if inner < LEAST_DEGREES or outer < 1:
        return None
    pure = float(np.sum((residuals - means) ** 2)) / inner
    bend = project_out(basis(tangent), means)
    statistic = float(bend @ bend) / outer / max(pure, 1e-300)
    return _Test(float(special.fdtrc(outer, inner, statistic)), statistic, inner, float(np.max(np.abs(bend))))


def _groups(axes: Axes) -> Indices:
    """Number the pairs of N and D, shape (n,)."""
    keys = np.stack([_levels(np.log(values)) for values in (axes.params, axes.data)], axis=1)
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1]).ravel()


def _levels(logs: Floats) -> Indices:
    order = np.argsort(logs, kind="stable")
    level = np.zeros(logs.size, dtype=np.int64)
    level[order] = np.concatenate([[0], np.cumsum(np.diff(logs[order]) > SAME)])
    return level


def _departures(residuals: Floats, axes: Axes) -> tuple[Departure, ...]:
    found = []
    for name, values in (("compute", axes.cost), ("N", axes.params), ("D", axes.data)):
        for word, side in (("largest", 1), ("smallest", -1)):
            chosen: Mask = at_end(side * np.log(values))
            if chosen.any():
                found.append(Departure(place=f"the {word} {name}", size=float(np.mean(residuals[chosen]))))
    return tuple(sorted(found, key=lambda one: -abs(one.size)))


def _percent(size: float) -> str:
    return f"{abs(np.expm1(size)):.1%} {'above' if size > 0 else 'below'}"
