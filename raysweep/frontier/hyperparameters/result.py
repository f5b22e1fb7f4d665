"""`HyperparameterFit`: the laws of the best learning rate and batch size, reasons to trust them, and their answers."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from raysweep.core.errors import FrontierError
from raysweep.core.text import short
from raysweep.frontier.answers.values import Answer
from raysweep.frontier.hyperparameters.laws import AXES, HyperparameterLaw, range_within
from raysweep.frontier.hyperparameters.runs import HyperparameterRuns
from raysweep.frontier.numerics.arrays import Floats, Scalar
from raysweep.frontier.numerics.intervals import LEAST_DRAWS, Interval, interval_of
from raysweep.frontier.points.findings import Status
from raysweep.frontier.points.samples import Exclusion

REGRET = 0.005
"""Share of the loss that a hyperparameter may cost and still count as near-optimal, where the caller names none."""
NAMES = {
    "a": ("learning_rate", "params"),
    "b": ("learning_rate", "data"),
    "c": ("batch", "data"),
    "e": ("batch", "params"),
}
"""Exponents: rate ~ N^a D^b, batch ~ D^c N^e."""
_SAME = 0.05
"""Log difference from the only N (or D, or from the line that N and D lie on) up to which it is taken for the same."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The best value of one hyperparameter at an N and D.

    Attributes:
        value: with its interval.
        near: the values whose loss exceeds the best by at most the regret, the other hyperparameter at its best.
    """

    value: Answer
    near: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.value}, near-optimal {self.near[0]:.4g} to {self.near[1]:.4g}"


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The best hyperparameters at an N and D; None for one that has no law.

    `extrapolation` is the factor by which N or D lies beyond the cells of the fit, whichever is larger; 1 among them.
    """

    params: float
    data: float
    learning_rate: Setting | None
    batch: Setting | None
    regret: float
    extrapolation: float


@dataclass(frozen=True, kw_only=True)
class CellOptimum:
    """A cell of the fit: its N and D, and the law's best hyperparameters there (None for one that has no law)."""

    params: float
    data: float
    runs: int
    learning_rate: float | None
    batch: float | None


@dataclass(frozen=True, kw_only=True)
class HyperparameterFit:
    """The hyperparameter laws of one family, made by `raysweep.frontier.fit_hyperparameters`.

    Attributes:
        status: typed, with a sentence; `status.findings` has everything that was found.
        architecture: label of the family, None where the table names none.
        seed, bootstraps: as given. versions: of raysweep, numpy and scipy.
        excluded: runs that were kept out, with reasons. samples: those that entered, sorted by cell.
        open_exponents: names of the exponents (a, b, c, e) that the cells do not determine, with the reason.
        window: excess of ln L over the valley's bottom, by its parabola, beyond which runs are left out.
        noise: robust standard deviation of ln L about the surface.
        gradient_norm: largest gradient component over the sum of the contributions that cancel in it (certificate).
        residuals: ln of measured over fitted loss. trust: the weight that outliers were left with, at most 1.
        units, by_cells: the number of resampling units, and whether they are of whole cells.
        degrees_of_freedom: of the intervals.
        estimate, draws, leave_one_out: the laws, those of each bootstrap, and those without each unit in turn.
    """

    status: Status
    architecture: str | None
    seed: int
    bootstraps: int
    versions: dict[str, str]
    excluded: tuple[Exclusion, ...]
    samples: HyperparameterRuns
    open_exponents: dict[str, str]
    window: Scalar = float("nan")
    noise: Scalar = float("nan")
    gradient_norm: Scalar = float("nan")
    residuals: Floats | None = None
    trust: Floats | None = None
    units: int = 0
    by_cells: bool = False
    degrees_of_freedom: int = 1
    estimate: HyperparameterLaw | None = None
    draws: HyperparameterLaw | None = None
    leave_one_out: HyperparameterLaw | None = None

    @property
    def known(self) -> HyperparameterLaw:
        """The laws.

        Raises:
            FrontierError: there are none; the message is the status.
        """
        if self.estimate is None:
            whose = f"{self.architecture}: " if self.architecture else ""
            raise FrontierError(f"{whose}no hyperparameter law: {self.status}")
        return self.estimate

    def exponent(self, name: str, level: float = 0.95) -> Answer:
        """An exponent with its interval (None without bootstraps).

        Args:
            name: a, b of the best learning rate ~ N^a D^b; c, e of the best batch size ~ D^c N^e.
            level: coverage aimed at.

        Raises:
            FrontierError: there is no such exponent, or the runs do not determine it; the message says why.
        """
        if name not in NAMES:
            raise FrontierError(f"no exponent {name!r}: a, b (learning rate), c, e (batch size)")
        axis, quantity = NAMES[name]
        if axis not in self.known.axes():
            raise FrontierError(f"exponent {name}: there is no law of the {axis.replace('_', ' ')}")
        if name in self.open_exponents:
            raise FrontierError(f"exponent {name}: {self.open_exponents[name]}")
        return self._answer(lambda law: np.asarray(getattr(law.of(axis), quantity)), level, positive=False)

    @property
    def exponents(self) -> dict[str, Answer]:
        """The exponents that the runs determine, with 95 % intervals; e where it was fitted."""
        names = [name for name, (axis, _) in NAMES.items() if axis in self.known.axes()]
        found = {name: self.exponent(name) for name in names if name not in self.open_exponents}
        return {name: answer for name, answer in found.items() if name != "e" or answer.value != 0}

    def best(
        self,
        params: float,
        data: float,
        *,
        learning_rate: float | None = None,
        batch: float | None = None,
        regret: float = REGRET,
        level: float = 0.95,
    ) -> Recommendation:
        """The best hyperparameters at N and D.

        Args:
            params: N.
            data: D, in the unit of the runs.
            learning_rate: the one in use, where it has no law of its own and the best batch size depends on it.
            batch: the same for the batch size and the best learning rate.
            regret: share of the loss that counts as near-optimal.
            level: of the intervals.

        Raises:
            FrontierError: a number is not positive, or the runs do not tell how the best value changes up to there.
        """
        for name, value in (("params", params), ("data", data), ("regret", regret)):
            if not 0 < value < np.inf:
                raise FrontierError(f"best({name}={value}): give a positive, finite number")
        law = self.known
        others = {"learning_rate": batch, "batch": learning_rate}
        settings = {
            axis: self._setting(axis, params, data, others[axis], regret, level) if axis in law.axes() else None
            for axis in AXES
        }
        spans = ((params, self.samples.params), (data, self.samples.data))
        beyond = max(max(value / column.max(), column.min() / value) for value, column in spans)
        return Recommendation(
            params=params, data=data, **settings, regret=regret, extrapolation=max(1.0, float(beyond))
        )

    def _setting(
        self, axis: str, params: float, data: float, other: float | None, regret: float, level: float
    ) -> Setting:
        self._require_determined(axis, params, data, other)
        value = self._answer(lambda law: np.exp(law.of(axis).log_value(params, data, other)), level, positive=True)
        quadratic, cubic = self.known.along(axis, params, data)
        below, above = range_within(quadratic, cubic, regret)
        return Setting(value=value, near=(value.value * float(np.exp(below)), value.value * float(np.exp(above))))

    def _require_determined(self, axis: str, params: float, data: float, other: float | None) -> None:
        """Refuse an N or D away from the only ones that the law is known at."""
        law = self.known.of(axis)
        missing = [quantity for name, (of, quantity) in NAMES.items() if of == axis and name in self.open_exponents]
        place = {"params": params, "data": data}
        columns = {"params": np.log(self.samples.params), "data": np.log(self.samples.data)}
        if len(missing) == 2 and np.ptp(columns["data"]) > _SAME:
            slope, level = np.polyfit(columns["data"], columns["params"], 1)
            expected = {"params": float(np.exp(level + slope * np.log(data)))}
        else:
            expected = {name: float(np.exp(columns[name].mean())) for name in missing}
        for name, value in expected.items():
            if abs(np.log(place[name] / value)) > _SAME:
                raise FrontierError(
                    f"best({name}={place[name]:g}): all runs have {name} = {short(value)} there, so how the best "
                    f"{axis.replace('_', ' ')} changes with it is unknown; ask for {short(value)}, or add runs"
                )
        if np.any(np.asarray(law.given) != 0) and other is None:
            name = next(one for one in AXES if one != axis)
            raise FrontierError(
                f"best: the best {axis.replace('_', ' ')} was found at several values of {name}: give {name}= as well"
            )

    @cached_property
    def cells(self) -> tuple[CellOptimum, ...]:
        """The cells of the fit with the law's optimum in each."""
        found = []
        for cell in np.unique(self.samples.cell):
            inside = self.samples.take(self.samples.cell == cell)
            params, data = (float(np.exp(np.log(column).mean())) for column in (inside.params, inside.data))
            best = dict.fromkeys(AXES)
            for axis in self.known.axes():
                name = next(one for one in AXES if one != axis)
                column = getattr(inside, name)
                other = None if column is None else float(np.exp(np.log(column).mean()))
                best[axis] = float(np.exp(self.known.of(axis).log_value(params, data, other)))
            found.append(CellOptimum(params=params, data=data, runs=inside.count, **best))
        return tuple(found)

    def _answer(self, value: Callable[[HyperparameterLaw], Floats], level: float, *, positive: bool) -> Answer:
        """Evaluate a quantity of the law, with its interval where there are refits to take it from."""
        if not 0 < level < 1:
            raise FrontierError(f"level = {level}: give a share between 0 and 1, such as 0.95")
        estimate = float(value(self.known))
        if self.draws is None or np.shape(self.draws.shape)[0] < LEAST_DRAWS:
            return Answer(value=estimate, interval=None)
        scale = np.log if positive else np.asarray
        jackknife = None if self.leave_one_out is None else np.asarray(scale(value(self.leave_one_out)))
        low, high, method = interval_of(
            float(scale(estimate)),
            np.asarray(scale(value(self.draws))),
            jackknife,
            level,
            self.degrees_of_freedom,
            self.by_cells,
            "default",
        )
        if positive:
            low, high = float(np.exp(low)), float(np.exp(high))
        return Answer(value=estimate, interval=Interval(low=low, high=high, level=level, method=method))
