"""The transition: the first part of learning curves, which the law of their later part does not describe.

Windows D >= D0 are nested, and the law's fit to a narrow one has residuals of known noise. Each budget that is added
before it has to lie on the same law, by an F-test against the noise in the window (Chow 1960). Residuals are taken
along runs: about a constant of each run, after differences that make a run's remembered deviations independent.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from raysweep.frontier.fitting.misfit.memory import RunOrder
from raysweep.frontier.fitting.misfit.scan import DRAWS, LEAST_DEGREES, basis, project_out
from raysweep.frontier.numerics.arrays import Floats, Indices, Mask

LEAST_BUDGETS_LEFT = 4
"""Points of a run that a window keeps, on three of the runs or on all where there are fewer."""
LEAST_SPAN = 6.0
"""Factor of D that a window spans: less says little about an exponent."""
EXTENDS = 0.2
"""p-value of a further budget below which the window ends: cutting too much costs precision, too little the answer."""
MOST_WINDOWS = 8
_SAME = 0.005


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Nested windows D >= start, the narrowest first and all points last, with the residuals of the law in each.

    Attributes:
        start: D at which each begins, shape (w,). squares: of the residuals in each, by point, shape (w, n).
        degrees: degrees of freedom, shape (w,).
    """

    start: Floats
    squares: Floats
    degrees: Indices

    def chosen(self, weights: Floats) -> Indices:
        """The widest window to which no budget adds more than noise explains, for weights of the points (k, n)."""
        sums = weights @ self.squares.T
        grown = np.diff(self.degrees)
        p_values = _f_p_value(np.diff(sums, axis=1), sums[:, :-1], grown, self.degrees[:-1])
        return np.asarray(np.argmin(np.hstack([p_values >= EXTENDS, np.zeros((len(sums), 1), dtype=bool)]), axis=1))

    def p_value(self) -> tuple[float, float, int]:
        """Chance that noise makes all points look as unlike some window as these do; with that F and its degrees.

        Under the law the squares that a budget adds are independent of those before, so the smallest p-value of all
        windows has a distribution that is drawn from chi-squared variables.
        """
        sums = self.squares.sum(axis=1)[None, :]
        generator = np.random.default_rng(0)
        grown = np.concatenate([self.degrees[:1], np.diff(self.degrees)])
        drawn = np.cumsum(generator.chisquare(grown, (DRAWS, grown.size)), axis=1)
        observed, null = (self._against_all(one) for one in (sums, drawn))
        best = int(np.argmin(observed[0]))
        extra = int(self.degrees[-1] - self.degrees[best])
        ratio = (sums[0, -1] - sums[0, best]) / extra / max(sums[0, best] / self.degrees[best], 1e-300)
        p_value = (1 + np.sum(null.min(axis=1) <= observed.min())) / (1 + DRAWS)
        return float(p_value), float(ratio), int(self.degrees[best])

    def _against_all(self, sums: Floats) -> Floats:
        extra = self.degrees[-1] - self.degrees[:-1]
        return _f_p_value(sums[:, -1:] - sums[:, :-1], sums[:, :-1], extra, self.degrees[:-1])


def windows_along_runs(
    residuals: Floats, tangent: Floats, unit: Indices, data: Floats, correlation: float
) -> Windows | None:
    """Fit the law, to first order, in each window.

    Args:
        residuals: of the law fitted to all points, over their noise, shape (n,).
        tangent: derivatives of ln loss by the law's parameters, over the noise, shape (n, p).
        unit: the run of each point, shape (n,).
        data: D, shape (n,).
        correlation: of a run's deviations at budgets a factor 2 apart.

    Returns:
        None where there is no window but that of all points.
    """
    start: list[float] = []
    squares: list[Floats] = []
    degrees: list[int] = []
    for lowest in candidates(unit, data):
        inside = data >= lowest
        runs = RunOrder(unit[inside], data[inside])
        space = basis(runs.whiten(tangent[inside], correlation))
        rest = project_out(space, runs.whiten(residuals[inside], correlation))
        free = int(inside.sum()) - int(runs.first.sum()) - space.shape[1]
        if free < LEAST_DEGREES or (degrees and free <= degrees[-1]):
            continue
        row = np.zeros(data.size)
        row[np.flatnonzero(inside)[runs.order]] = rest**2
        start.append(lowest)
        squares.append(row)
        degrees.append(free)
    if len(start) < 2:
        return None
    return Windows(start=np.array(start), squares=np.array(squares), degrees=np.array(degrees))


def candidates(unit: Indices, data: Floats) -> list[float]:
    """The D at which a window may begin, largest first: enough budgets of enough runs are left, over enough of D."""
    levels = np.sort(data)
    levels = levels[np.append(True, np.diff(np.log(levels)) > _SAME)]
    allowed = [float(level) for level in levels if long_enough(unit, data, data >= level)]
    if len(allowed) > MOST_WINDOWS:
        allowed = [allowed[k] for k in np.unique(np.linspace(0, len(allowed) - 1, MOST_WINDOWS).astype(int))]
    return allowed[::-1]


def long_enough(unit: Indices, data: Floats, inside: Mask) -> bool:
    """Whether the points of a window determine how the loss falls along runs."""
    _, count = np.unique(unit[inside], return_counts=True)
    needed = min(3, int(np.unique(unit).size))
    spans = float(data[inside].max() / data[inside].min()) if inside.any() else 0.0
    return bool(np.sum(count >= LEAST_BUDGETS_LEFT) >= needed and spans >= LEAST_SPAN)


def data_wanted(data: Floats, end: float | None) -> tuple[float, float]:
    """Estimate where a transition ends whose end the runs do not show, and how long runs show enough after it.

    Args:
        data: D of the points, shape (n,).
        end: D at which the narrowest window that is long enough begins; None: no window is.

    Returns:
        D at its end; the largest D of runs that show `LEAST_SPAN` of it.
    """
    largest = float(data.max())
    seen = max(float(np.median(data)) if end is None else end, 2.0 * largest / LEAST_SPAN)
    return seen, LEAST_SPAN * seen


def _f_p_value(added: Floats, inside: Floats, extra: Indices, degrees: Indices) -> Floats:
    ratio = np.maximum(added, 0.0) / extra / np.maximum(inside / degrees, 1e-300)
    return np.asarray(special.fdtrc(extra, degrees, ratio))
