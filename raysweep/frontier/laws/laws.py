"""The laws as values: the loss at a run, and the optimum at a cost. A field is one number, or one per bootstrap.

    Surface   L = E + A N^-alpha + B D^-beta      with the cost  C = kappa N^p D^q; see also `laws.extension`
    Curve     L = E + F C^-gamma on the frontier, with N* = n C^a and D* = d C^b

For language models C = 6 N D (p = q = 1, 2001.08361); for force fields C is measured and p, q are fitted to it.
"""

from dataclasses import dataclass, fields
from types import EllipsisType
from typing import Annotated, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from raysweep.frontier.laws.extension import Extension, lowest
from raysweep.frontier.numerics.arrays import AsJson, Floats, Indices, Mask, Number

LogTerm: TypeAlias = Annotated[float | NDArray[np.float64], AsJson(absent=-np.inf)]
"""ln of a coefficient, -inf where the law has no such term."""
LogRepeats: TypeAlias = Annotated[float | NDArray[np.float64], AsJson(absent=np.inf)]
Rows: TypeAlias = int | slice | EllipsisType | Mask | Indices
_STEP = 0.01
"""In ln C, of the slopes of a frontier that is no power law."""
_FAR, _HALVINGS = 30.0, 60
"""ln of the factor from the tangent's cost within which a cost is sought, and times that it is halved."""
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
    """The amount of distinct data equivalent to data with repeats: U + U R* (1 - e^(-R / R*)), R = D / U - 1.

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


def _select(law: "Surface | Curve | Extension", shape: tuple[int, ...], rows: Rows) -> dict[str, Number]:
    names = [field.name for field in fields(law) if field.name not in ("cost", "extension")]
    return {name: _rows(getattr(law, name), shape, rows) for name in names}


def _rows(values: Number, shape: tuple[int, ...], rows: Rows) -> Floats:
    return np.asarray(np.broadcast_to(values, shape)[rows])


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The additive law of 2203.15556 (approach 3), or one that extends it, with the cost of a run."""

    E: Number
    log_A: LogTerm
    alpha: Number
    log_B: LogTerm
    beta: Number
    log_repeats: LogRepeats = np.inf
    """ln of R*, the number of repeats after which data teach little; infinite where repeats count in full."""
    cost: CostModel
    extension: Extension | None = None
    """What the law has beyond the additive one."""

    @property
    def params_exponent(self) -> Floats:
        """The exponent a of N* ~ C^a: beta / (q alpha + p beta), which is beta / (alpha + beta) for C = 6 N D.

        Where a power breaks, a is the slope of ln N* in ln C at the reference cost; b and gamma likewise.
        """
        return np.asarray(self.beta / self._denominator) if not self.breaks else self._slopes()[0]

    @property
    def data_exponent(self) -> Floats:
        """The exponent b of D* ~ C^b: alpha / (q alpha + p beta)."""
        return np.asarray(self.alpha / self._denominator) if not self.breaks else self._slopes()[1]

    @property
    def loss_exponent(self) -> Floats:
        """The exponent gamma of L* - E ~ C^-gamma: alpha beta / (q alpha + p beta)."""
        return np.asarray(self.alpha * self.beta / self._denominator) if not self.breaks else self._slopes()[2]

    @property
    def breaks(self) -> bool:
        """Whether a power breaks, so that the frontier is not one."""
        return self.extension is not None and self.extension.breaks

    @property
    def _denominator(self) -> Floats:
        return np.asarray(self.cost.data_power * self.alpha + self.cost.params_power * self.beta)

    @_quiet
    def _slopes(self) -> tuple[Floats, Floats, Floats]:
        """Slopes of ln N*, ln D* and -ln(L* - E) in ln C at the reference cost."""
        assert self.extension is not None
        ends = [self.optimum(np.exp(self.extension.log_reference + side)) for side in (-_STEP, _STEP)]
        lower, upper = ([np.log(n), np.log(d), -np.log(loss - self.E)] for n, d, loss in ends)
        a, b, gamma = (np.asarray((up - low) / (2 * _STEP)) for low, up in zip(lower, upper, strict=True))
        return a, b, gamma

    @_quiet
    def loss(self, params: Number, data: Number, unique: Number | None = None) -> Floats:
        """Loss of `params` parameters after `data`, of which `unique` are distinct (None: all)."""
        if unique is not None:
            data = effective_data(data, unique, np.exp(self.log_repeats))
        if self.extension is not None:
            log_a, log_b = self._log_terms(self.extension, np.log(params), np.log(data))
            return np.asarray(self.E + self.extension.combine(log_a, log_b))
        return np.asarray(self.E + _term(self.log_A, self.alpha, params) + _term(self.log_B, self.beta, data))

    def _log_terms(self, extension: Extension, log_params: Number, log_data: Number) -> tuple[Floats, Floats]:
        bend_n, bend_d = extension.bend(log_params, log_data)
        log_a, log_b = self.log_A - self.alpha * log_params, self.log_B - self.beta * log_data
        return np.asarray(log_a + bend_n), np.asarray(log_b + bend_d)

    @_quiet
    def optimum(self, cost: Number) -> tuple[Floats, Floats, Floats]:
        """N*, D* and L* at a cost: where alpha A N^-alpha / p = beta B D^-beta / q on the curve of equal cost.

        With terms coupled by k, both are taken to the power 1 / k.
        """
        p, q = self.cost.params_power, self.cost.data_power
        weight = 1.0 if self.extension is None else np.exp(self.extension.log_coupling)
        share = self.log_A - self.log_B + weight * (np.log(self.alpha / p) - np.log(self.beta / q))
        log_data_at_one = (np.log(cost) - self.cost.log_kappa) / q
        log_params = (share + self.beta * log_data_at_one) / (self.alpha + self.beta * p / q)
        if self.extension is not None and self.breaks:
            log_params = self._lowest(self.extension, log_params, log_data_at_one)
        params = np.asarray(np.exp(log_params))
        data = np.asarray(np.exp(log_data_at_one - log_params * p / q))
        return params, data, self.loss(params, data)

    def _lowest(self, extension: Extension, guess: Number, log_data_at_one: Number) -> Floats:
        """Find ln N* by search, where a break leaves no closed form; one for each law, shape (k,)."""
        wide = self.wide()
        assert wide.extension is not None
        beyond, at_one = wide.extension, np.reshape(log_data_at_one, (-1, 1))
        p, q = wide.cost.params_power, wide.cost.data_power

        def terms(log_params: Floats) -> tuple[Floats, Floats]:
            return wide._log_terms(beyond, log_params, at_one - log_params * p / q)

        def slope(log_params: Floats) -> Floats:
            more_n, more_d = beyond.steepness(log_params, at_one - log_params * p / q)
            log_a, log_b = (term / np.exp(beyond.log_coupling) for term in terms(log_params))
            most = np.maximum(log_a, log_b)
            rise = (wide.beta + more_d) / q * np.exp(log_b - most)
            return np.asarray(rise - (wide.alpha + more_n) / p * np.exp(log_a - most))

        return lowest(lambda log_params: beyond.combine(*terms(log_params)), slope, guess)

    def wide(self) -> Self:
        """The same laws with fields of shape (k, 1), to be evaluated at arrays of shape (k, m)."""
        columns = {name: np.reshape(values, (-1, 1)) for name, values in _select(self, np.shape(self.E), ...).items()}
        powers = (self.cost.log_kappa, self.cost.params_power, self.cost.data_power)
        log_kappa, p, q = (np.reshape(power, (-1, 1)) for power in powers)
        beyond = None
        if self.extension is not None:
            further = _select(self.extension, np.shape(self.E), ...)
            beyond = Extension(**{name: np.reshape(values, (-1, 1)) for name, values in further.items()})
        return type(self)(
            **columns, cost=CostModel(log_kappa=log_kappa, params_power=p, data_power=q), extension=beyond
        )

    @_quiet
    def optimum_with(self, cost: Number, unique: float) -> tuple[Floats, Floats, Floats]:
        """N*, D* and L* at a cost where only `unique` data are distinct: repeats cost as much and teach less."""
        start = np.log(np.ravel(self.optimum(cost)[0]))[:, None]
        grid = start + np.linspace(-2.0, 10.0, 1201)
        wide, params = self.wide(), np.exp(grid)
        data = wide.cost.data_for(cost, params)
        loss = wide.loss(params, data, unique)
        best = np.argmin(loss, axis=1)[:, None]
        found = [np.take_along_axis(values, best, axis=1)[:, 0] for values in (params, data, loss)]
        return (found[0], found[1], found[2]) if np.ndim(self.E) else (found[0][0], found[1][0], found[2][0])

    @_quiet
    def curve(self) -> "Curve":
        """The frontier that the surface implies; where a power breaks, its tangent at the reference cost."""
        at: Number = 0.0 if self.extension is None or not self.breaks else self.extension.log_reference
        params, data, loss = self.optimum(np.exp(at))
        a, b, gamma = self.params_exponent, self.data_exponent, self.loss_exponent
        return Curve(
            E=self.E,
            log_F=np.log(loss - self.E) + gamma * at,
            gamma=gamma,
            log_n=np.log(params) - a * at,
            params_exponent=a,
            log_d=np.log(data) - b * at,
            data_exponent=b,
        )

    @_quiet
    def cost_for(self, loss: Number) -> Floats:
        """The cost at which the frontier reaches a loss; infinite where the asymptote lies above it."""
        found = self.curve().cost_for(loss)
        if not self.breaks:
            return found
        low, high = np.log(found) - _FAR, np.log(found) + _FAR
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            above = self.optimum(np.exp(middle))[2] > loss
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return np.asarray(np.where(np.isfinite(found), np.exp(0.5 * (low + high)), np.inf))

    def take(self, rows: Rows) -> Self:
        """Select draws."""
        shape = np.shape(self.E)
        cost = CostModel(
            log_kappa=_rows(self.cost.log_kappa, shape, rows),
            params_power=_rows(self.cost.params_power, shape, rows),
            data_power=_rows(self.cost.data_power, shape, rows),
        )
        beyond = self.extension if self.extension is None else Extension(**_select(self.extension, shape, rows))
        return type(self)(**_select(self, shape, rows), cost=cost, extension=beyond)


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
        return type(self)(**_select(self, np.shape(self.E), rows))
