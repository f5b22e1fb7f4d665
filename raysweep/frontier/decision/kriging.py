"""A family's loss at a compute by universal kriging: the law linearised at its fit, with errors as in `errors`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_solve, cholesky

from raysweep.frontier.approaches.options import Options
from raysweep.frontier.approaches.refusals import refusals
from raysweep.frontier.decision.comparison import ComparedAt
from raysweep.frontier.decision.errors import ErrorForm, PointLayout, Smooth, bending, likeness, noise_of, spread_at
from raysweep.frontier.fitting.surfaces import Prepared, fit_surface, log_loss_gradient, prepare, to_surface, to_theta
from raysweep.frontier.fitting.trajectories import trajectories
from raysweep.frontier.laws.forms import LOG_A, LOG_B, Form, LawName
from raysweep.frontier.laws.laws import Surface
from raysweep.frontier.numerics.arrays import Floats, Indices
from raysweep.frontier.points.samples import Samples
from raysweep.frontier.result import Fit

MOST_POINTS = 160
"""Of a family; of more, as many of each run are taken, evenly along it."""
_OPEN = np.array([0.5, 2.0, 0.5, 2.0, 0.5, 0.5, 0.5, 2.0, 0.5, 2.0])
"""Standard deviations of the prior of a law's parameters about its fit, in the solver's units: E in units of the lowest
loss, logarithms of coefficients, exponents."""
FURTHER: tuple[LawName, ...] = ("coupled", "broken_data")
"""Laws that stand beside the additive one: a loss that flattens may have an asymptote, terms that hide each other, or
an exponent that falls, and points below a compute seldom tell which."""
BEYOND = 0.1
"""Standard deviation of what any law errs by in ln (L - E) for each factor e of compute beyond the dearest run. On
simulated runs whose exponent in D falls by .2 to .6 near the points (`benchmarks/decision_simulation.py`), fits to a
pilot err by 10 to 12 % of the loss (root mean square) at a compute of four to eight times that of its runs."""
_STARTS = 8
_USUAL_NOISE = 0.03
"""The noise in ln loss for which the prior above is meant."""
_USUAL = ErrorForm(slope=-0.15, memory=3.0, white=0.05, misfit=0.3, drift=1.5)
_STEPS = 2
"""Times that the law is linearised anew where the errors put it."""
_LEAST_TRUST = 1e-3
_JITTER = 1e-9


@dataclass(frozen=True, kw_only=True)
class TargetLoss:
    """A family under one form of errors, in units of its noise.

    Attributes:
        evidence: ln of the marginal likelihood, the noise's level integrated out, up to a constant.
        level: variance of the noise at the centre. mean, variance: of ln loss at the target; the variance in units of
            `level`.
    """

    evidence: float
    level: float
    mean: float
    variance: float


class FamilyPoints:
    """The points of a family about its law, and the place at which its loss is asked for."""

    def __init__(self, fit: Fit, at: ComparedAt, centre: float, other: Form | None = None) -> None:
        """Take the law about its fit, or about that of another form."""
        samples, trust = _thinned(fit.samples, fit.trust)
        self.form, self.at, self.centre, self.samples = fit.form, at, centre, samples
        self.surface: Surface = fit.surface
        if other is not None:
            self.form, self.surface = other, fit_surface(fit.samples, other, None, fit.seed, _STARTS).surface
        self.prepared: Prepared = prepare(fit.samples, self.form)
        self.theta = to_theta(self.prepared, self.surface, self.form)
        self.layout = self.lay(samples.params, samples.data, trajectories(samples))
        weight = np.clip(samples.weight / samples.weight.max() * trust, _LEAST_TRUST, 1.0)
        self.doubt = 1.0 / weight - 1.0
        free = self.prepared.problem.free
        self.open = (free.T * (_OPEN[: free.shape[0]] / _USUAL_NOISE) ** 2) @ free
        self._linearise()
        for _ in range(_STEPS):
            self._step()

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the noise's level: points less parameters."""
        return max(float(self.residuals.size - self.open.shape[0]), 1.0)

    def lay(self, params: Floats, data: Floats, run: Indices) -> PointLayout:
        """Lay out points of sizes and amounts of data (n,)."""
        return PointLayout(places=np.column_stack([np.log(params) - self.centre, np.log(data)]), run=run)

    def gradient(self, layout: PointLayout) -> Floats:
        """Of ln loss in the law's free parameters, shape (n, p)."""
        params, data = np.exp(layout.places[:, 0] + self.centre), np.exp(layout.places[:, 1])
        return np.asarray(log_loss_gradient(self.prepared, self.form, self.theta, params, data))

    def smooth(self, first: PointLayout, second: PointLayout) -> Smooth:
        """The covariance of ln loss between two sets of places, without run-to-run noise."""
        slopes, others = self.gradient(first), self.gradient(second)
        drift = np.zeros((slopes.shape[0], others.shape[0]))
        for axis, coefficient in ((0, LOG_A), (1, LOG_B)):
            shares = np.flatnonzero(self.prepared.problem.free[coefficient])  # of a term in the loss: d ln L / d ln A
            middle = self.layout.places[:, axis].mean()
            bent = bending(first.places[:, axis] - middle, second.places[:, axis] - middle)
            drift += slopes[:, shares] @ others[:, shares].T * bent
        return Smooth(trend=slopes @ self.open @ others.T, drift=drift, alike=likeness(first, second))

    def prior(self, form: ErrorForm, first: PointLayout, second: PointLayout) -> Floats:
        """Covariance of ln loss without the noise of runs, in units of the level, shape (n, m)."""
        return self.smooth(first, second).under(form)

    def measured(self, form: ErrorForm) -> Floats:
        """Covariance of the measured ln losses, noise included, in units of the level, shape (n, n)."""
        doubt = spread_at(form, self.layout) ** 2 * self.doubt + _JITTER
        return np.asarray(self._among.under(form) + noise_of(form, self.layout) + np.diag(doubt))

    def solve(self, form: ErrorForm) -> TargetLoss:
        """Condition on the measured losses under a form of errors."""
        root = cholesky(self.measured(form), lower=True)
        across = self._across.under(form)[0]
        both = cho_solve((root, True), np.column_stack([self.residuals, across]))
        squares, count = float(self.residuals @ both[:, 0]), float(self.residuals.size)
        own = float(self._own.under(form)[0, 0])
        return TargetLoss(
            evidence=-float(np.log(np.diag(root)).sum()) - 0.5 * count * float(np.log(max(squares, 1e-300))),
            level=squares / self.freedom,
            mean=self.predicted + float(across @ both[:, 0]),
            variance=max(own - float(across @ both[:, 1]), 0.0),
        )

    def _linearise(self) -> None:
        """Take residuals, slopes and the target from the law as it is."""
        params, data, loss = self.at.best(self.surface)
        self.target = self.lay(np.array([params]), np.array([data]), np.array([-1]))
        self.predicted = float(np.log(loss))
        self.residuals = np.log(self.samples.loss / self.surface.loss(self.samples.params, self.samples.data))
        self._slopes = self.gradient(self.layout)
        self._among = self.smooth(self.layout, self.layout)
        self._across, self._own = self.smooth(self.target, self.layout), self.smooth(self.target, self.target)

    def _step(self) -> None:
        """Move the law to where the errors put it (Gauss and Newton), within its bounds."""
        pull = np.linalg.solve(self.measured(_USUAL), self.residuals)
        problem = self.prepared.problem
        moved = self.theta + problem.free @ (self.open @ self._slopes.T @ pull)
        moved = np.clip(moved, problem.lower, problem.upper)
        surface = to_surface(self.prepared, moved, self.surface.cost, self.form)
        if self.at.has_best(surface):
            self.theta, self.surface = moved, surface
            self._linearise()


class FamilyLaws:
    """A family with the laws that it may have, linearised each at its fit; none of them is known to be right."""

    def __init__(self, fit: Fit, at: ComparedAt, centre: float) -> None:
        self.laws = [FamilyPoints(fit, at, centre)]
        self.dearest, self.training = float(fit.samples.cost.max()), at.training(self.laws[0].surface)
        if fit.form.law == "additive":
            forms = [replace(fit.form, law=law) for law in FURTHER]
            known = [form for form in forms if not refusals(fit.samples, Options(form=form))]
            laws = [FamilyPoints(fit, at, centre, form) for form in known]
            self.laws += [one for one in laws if np.isfinite(one.predicted)]

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the noise's level."""
        return self.laws[0].freedom

    def solve(self, form: ErrorForm) -> TargetLoss:
        """Average over the laws, each by its evidence; `variance` has how far they differ."""
        found = [law.solve(form) for law in self.laws]
        evidence = np.array([one.evidence for one in found])
        weight = np.exp(evidence - evidence.max())
        total, weight = float(weight.sum()), weight / weight.sum()
        means = np.array([one.mean for one in found])
        mean, level = float(weight @ means), float(weight @ [one.level for one in found])
        own = float(weight @ [one.level * one.variance for one in found]) + self.beyond(self.dearest)
        return TargetLoss(
            evidence=float(evidence.max()) + float(np.log(total / len(found))),
            level=level,
            mean=mean,
            variance=(own + float(weight @ (means - mean) ** 2)) / max(level, 1e-300),
        )

    def beyond(self, dearest: float) -> float:
        """Variance of ln loss at the best model due to the distance from the most expensive run."""
        share = max(1.0 - float(law.surface.E) / float(np.exp(law.predicted)) for law in self.laws)
        away = float(np.log(max(self.training / dearest, 1.0)))
        return (BEYOND * max(share, 0.0) * away) ** 2

    def best(self, form: ErrorForm) -> FamilyPoints:
        """The law of the most evidence."""
        return max(self.laws, key=lambda law: law.solve(form).evidence)


class TargetCovariance:
    """The joint covariance of ln loss at a family's target (row 0) and of points that could be measured."""

    def __init__(self, family: FamilyPoints, form: ErrorForm, layout: PointLayout) -> None:
        level = family.solve(form).level
        places = np.vstack([family.target.places, layout.places])
        wanted = PointLayout(places=places, run=np.concatenate([[-1], layout.run]))
        across = family.prior(form, wanted, family.layout)
        known = np.linalg.solve(family.measured(form), across.T)
        self.covariance = level * (family.prior(form, wanted, wanted) - across @ known)
        self.covariance[1:, 1:] += level * noise_of(form, layout)

    @property
    def variance(self) -> float:
        """Of ln loss at the target."""
        return max(float(self.covariance[0, 0]), 0.0)

    def fall(self, rows: Indices) -> float:
        """By how much measuring some points lowers the variance."""
        towards = self.covariance[rows, 0]
        return float(towards @ np.linalg.solve(self.covariance[np.ix_(rows, rows)], towards))

    def measure(self, rows: Indices) -> None:
        """Condition on measurements of some points."""
        gain = np.linalg.solve(self.covariance[np.ix_(rows, rows)], self.covariance[rows, :])
        self.covariance = self.covariance - self.covariance[:, rows] @ gain
        self.covariance[np.diag_indices_from(self.covariance)] += 1e-14


def _thinned(samples: Samples, trust: Floats | None) -> tuple[Samples, Floats]:
    """Take as many points of each run as there is room for, evenly along it, its last one always."""
    trust = np.ones(samples.count) if trust is None else trust
    if samples.count <= MOST_POINTS:
        return samples, trust
    label = trajectories(samples)
    each = max(MOST_POINTS // (int(label.max()) + 1), 1)
    kept: list[int] = []
    for run in range(int(label.max()) + 1):
        rows = np.flatnonzero(label == run)
        rows = rows[np.argsort(samples.data[rows], kind="stable")]
        kept += _evenly(rows, each)
    rows = np.sort(np.array(kept))
    if rows.size > MOST_POINTS:  # more runs than that
        rows = rows[np.unique(np.linspace(0, rows.size - 1, MOST_POINTS).round().astype(int))]
    return samples.take(rows), trust[rows]


def _evenly(rows: Indices, count: int) -> Sequence[int]:
    places = np.unique(np.linspace(rows.size - 1, 0, min(count, rows.size)).round().astype(int))
    return [int(rows[place]) for place in places]
