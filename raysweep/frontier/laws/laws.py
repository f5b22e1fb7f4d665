"""The laws as values: the loss at a run, and the optimum at a cost. A field is one number, or one per bootstrap.

    Surface   L = E + A N^-alpha + B D^-beta      with the cost  C = kappa N^p D^q
    Curve     L = E + F C^-gamma on the frontier, with N* = n C^a and D* = d C^b

For language models C = 6 N D (p = q = 1, 2001.08361); for force fields C is measured and p, q are fitted to it.
"""

from dataclasses import dataclass, fields
from types import EllipsisType
from typing import Annotated, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from raysweep.frontier.numerics.arrays import AsJson, Floats, Indices, Mask, Number

LogTerm: TypeAlias = Annotated[float | NDArray[np.float64], AsJson(absent=-np.inf)]
"""ln of a coefficient, -inf where the law has no such term."""
LogRepeats: TypeAlias = Annotated[float | NDArray[np.float64], AsJson(absent=np.inf)]
Rows: TypeAlias = int | slice | EllipsisType | Mask | Indices
_quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")
"""Laws fitted to what is no law overflow: the answer is then infinite or NaN, and the fit's status says why."""


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """C = kappa N^p D^q, the cost of training N parameters on D data.

    Attributes:
        log_kappa: ln of kappa (kappa is 6 for a dense language model, in FLOP).
        params_power: p. data_power: q.
        residual: root mean square of the points' ln C about the model, 0 where it is exact.
        exact: whether C = 6 N D held at every point to 0.5 %.
    """

    log_kappa: Number
    params_power: Number
    data_power: Number
    residual: float = 0.0
    exact: bool = False

    @_quiet
    def cost(self, params: Number, data: Number) -> Floats:
        """Cost of training `params` parameters on `data`."""
        log_cost = self.log_kappa + self.params_power * np.log(params) + self.data_power * np.log(data)
        return np.asarray(np.exp(log_cost))

    @_quiet
    def data_for(self, cost: Number, params: Number) -> Floats:
        """Data that a cost leaves for a model of `params` parameters."""
        log_data = (np.log(cost) - self.log_kappa - self.params_power * np.log(params)) / self.data_power
        return np.asarray(np.exp(log_data))


def effective_data(data: Number, unique: Number, repeats: Number) -> Floats:
    """Distinct data that would teach as much as data with repeats: U + U R* (1 - e^(-R / R*)), R = D / U - 1.

    This is eq. 5 of 2305.16264. It leaves out the same decay for parameters in excess of what U can use (R_N* there).

    >>> float(effective_data(4e9, 4e9, 15.4))  # seen once
    4000000000.0
    >>> f"{float(effective_data(16e9, 4e9, 15.4)):.3g}"  # seen four times
    '1.49e+10'
    """
    again = np.maximum(np.asarray(data) / unique - 1.0, 0.0)
    once = np.minimum(data, unique)
    with np.errstate(invalid="ignore"):
        worth = np.where(np.isinf(repeats), again, -repeats * np.expm1(-again / repeats))
    return np.asarray(once + unique * worth)


def _term(log_coefficient: LogTerm, exponent: Number, amount: Number) -> Floats:
    """A term of the law; 0 where the law has no such term, and so no exponent."""
    term = np.exp(log_coefficient - exponent * np.log(amount))
    return np.where(np.isneginf(log_coefficient), 0.0, term)


def _select(law: "Surface | Curve", rows: Rows) -> dict[str, Number]:
    names = [field.name for field in fields(law) if field.name != "cost"]
    return {name: _rows(getattr(law, name), np.shape(law.E), rows) for name in names}


def _rows(values: Number, shape: tuple[int, ...], rows: Rows) -> Floats:
    return np.asarray(np.broadcast_to(values, shape)[rows])


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The additive law of 2203.15556 (approach 3) with the cost model that turns it into a frontier."""

    E: Number
    log_A: LogTerm
    alpha: Number
    log_B: LogTerm
    beta: Number
    log_repeats: LogRepeats = np.inf
    """ln of R*, the number of repeats after which data teach little; infinite where repeats count in full."""
    cost: CostModel

    @property
    def params_exponent(self) -> Floats:
        """The exponent a of N* ~ C^a: beta / (q alpha + p beta), which is beta / (alpha + beta) for C = 6 N D."""
        return np.asarray(self.beta / self._denominator)

    @property
    def data_exponent(self) -> Floats:
        """The exponent b of D* ~ C^b: alpha / (q alpha + p beta)."""
        return np.asarray(self.alpha / self._denominator)

    @property
    def loss_exponent(self) -> Floats:
        """The exponent gamma of L* - E ~ C^-gamma: alpha beta / (q alpha + p beta)."""
        return np.asarray(self.alpha * self.beta / self._denominator)

    @property
    def _denominator(self) -> Floats:
        return np.asarray(self.cost.data_power * self.alpha + self.cost.params_power * self.beta)

    @_quiet
    def loss(self, params: Number, data: Number, unique: Number | None = None) -> Floats:
        """Loss of `params` parameters after `data`, of which `unique` are distinct (None: all)."""
        if unique is not None:
            data = effective_data(data, unique, np.exp(self.log_repeats))
        return np.asarray(self.E + _term(self.log_A, self.alpha, params) + _term(self.log_B, self.beta, data))

    @_quiet
    def optimum(self, cost: Number) -> tuple[Floats, Floats, Floats]:
        """N*, D* and L* at a cost: where alpha A N^-alpha / p = beta B D^-beta / q on the curve of equal cost."""
        p, q = self.cost.params_power, self.cost.data_power
        share = self.log_A + np.log(self.alpha / p) - self.log_B - np.log(self.beta / q)
        log_data_at_one = (np.log(cost) - self.cost.log_kappa) / q
        log_params = (share + self.beta * log_data_at_one) / (self.alpha + self.beta * p / q)
        params = np.asarray(np.exp(log_params))
        data = np.asarray(np.exp(log_data_at_one - log_params * p / q))
        return params, data, self.loss(params, data)

    @_quiet
    def optimum_with(self, cost: Number, unique: float) -> tuple[Floats, Floats, Floats]:
        """N*, D* and L* at a cost where only `unique` data are distinct: repeats cost as much and teach less."""
        start = np.log(np.ravel(self.optimum(cost)[0]))[:, None]
        grid = start + np.linspace(-2.0, 10.0, 1201)
        columns = {name: np.reshape(values, (-1, 1)) for name, values in _select(self, ...).items()}
        powers = (self.cost.log_kappa, self.cost.params_power, self.cost.data_power)
        log_kappa, p, q = (np.reshape(power, (-1, 1)) for power in powers)
        wide = Surface(**columns, cost=CostModel(log_kappa=log_kappa, params_power=p, data_power=q))
        params = np.exp(grid)
        data = wide.cost.data_for(cost, params)
        loss = wide.loss(params, data, unique)
        best = np.argmin(loss, axis=1)[:, None]
        found = [np.take_along_axis(values, best, axis=1)[:, 0] for values in (params, data, loss)]
        return (found[0], found[1], found[2]) if np.ndim(self.E) else (found[0][0], found[1][0], found[2][0])

    @_quiet
    def curve(self) -> "Curve":
        """The frontier that the surface implies; exact, since the optimum is a power law."""
        params, data, loss = self.optimum(1.0)
        return Curve(
            E=self.E,
            log_F=np.log(loss - self.E),
            gamma=self.loss_exponent,
            log_n=np.log(params),
            params_exponent=self.params_exponent,
            log_d=np.log(data),
            data_exponent=self.data_exponent,
        )

    def take(self, rows: Rows) -> Self:
        """Select draws."""
        shape = np.shape(self.E)
        cost = CostModel(
            log_kappa=_rows(self.cost.log_kappa, shape, rows),
            params_power=_rows(self.cost.params_power, shape, rows),
            data_power=_rows(self.cost.data_power, shape, rows),
        )
        return type(self)(**_select(self, rows), cost=cost)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The frontier itself: loss, N* and D* as power laws of the cost (approaches 1 and 2 of 2203.15556)."""

    E: Number
    log_F: Number
    gamma: Number
    log_n: Number
    params_exponent: Number
    log_d: Number
    data_exponent: Number

    @property
    def loss_exponent(self) -> Floats:
        """The exponent gamma of L* - E ~ C^-gamma."""
        return np.asarray(self.gamma)

    @_quiet
    def loss_at(self, cost: Number) -> Floats:
        """The lowest loss that a cost reaches."""
        return np.asarray(self.E + np.exp(self.log_F - self.gamma * np.log(cost)))

    @_quiet
    def optimum(self, cost: Number) -> tuple[Floats, Floats, Floats]:
        """N*, D* and L* at a cost."""
        log_cost = np.log(cost)
        params = np.exp(self.log_n + self.params_exponent * log_cost)
        data = np.exp(self.log_d + self.data_exponent * log_cost)
        return np.asarray(params), np.asarray(data), self.loss_at(cost)

    def cost_for(self, loss: Number) -> Floats:
        """The cost at which the frontier reaches a loss; infinite where the asymptote lies above it."""
        above = np.asarray(loss - self.E)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            cost = np.exp((self.log_F - np.log(above)) / self.gamma)
        return np.asarray(np.where(above > 0, cost, np.inf))

    def take(self, rows: Rows) -> Self:
        """Select draws."""
        return type(self)(**_select(self, rows))
