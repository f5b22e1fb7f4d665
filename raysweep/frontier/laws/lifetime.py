"""The cheapest model over its life: training once, and inference for a number of atom-steps.

Compute-optimal training looks for the lowest loss at a training cost C(N, D). A model that is used pays M c(N) as well,
M atom-steps at the cost c(N) of energy and forces of one atom, so that a smaller model on more data is cheaper
(2401.00448, "Beyond Chinchilla-Optimal", for language models, where c = 2 N and C = 6 N D). On the curve of equal loss
as on that of equal total cost the best size is where

    alpha a^(1/k) = beta b^(1/k) (p + M c'(N) / C) / q,     c'(N) = d c / d ln N

with the law's terms a in N and b in D, their coupling k, and C = kappa N^p D^q; M = 0 is the usual optimum.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raysweep.frontier.laws.laws import Surface, effective_data
from raysweep.frontier.numerics.arrays import Floats, Number

_FAR, _HALVINGS, _CELLS = 40.0, 80, 400
"""ln of the factor below the largest possible N within which the best one is sought, and how."""
_quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore")


@dataclass(frozen=True, kw_only=True)
class AtomStepCost:
    """The cost of an atom-step, energy and forces of one atom, as a function of N: floor + scale N^power.

    Attributes:
        log_scale: ln of scale, in the unit of the training cost (FLOP or device seconds). power: at least 0.
        floor: what a step costs however small the network.
    """

    log_scale: float
    power: float
    floor: float = 0.0

    @_quiet
    def cost(self, params: Number) -> Floats:
        """Cost of an atom-step with `params` parameters."""
        return np.asarray(self.floor + self._growing(np.log(params)))

    def _growing(self, log_params: Number) -> Floats:
        return np.asarray(np.exp(self.log_scale + self.power * np.asarray(log_params)))


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Inference for M = `steps` atom-steps at the cost `step` each."""

    steps: float
    step: AtomStepCost

    def cost(self, params: Number) -> Floats:
        """Cost of all the inference with a model of `params` parameters."""
        return np.asarray(self.steps * self.step.cost(params))

    def slope(self, log_params: Number) -> Floats:
        """D cost / d ln N."""
        return np.asarray(self.steps * self.step.power * self.step._growing(log_params))

    @_quiet
    def log_params_for(self, cost: Number) -> Floats:
        """N, as its ln, whose inference has a cost: infinite where none has, -infinite where the floor is above."""
        left = np.asarray(cost) / self.steps - self.step.floor if self.steps else np.full(np.shape(cost), np.inf)
        if self.step.power <= 0:
            return np.where(left > np.exp(self.step.log_scale), np.inf, -np.inf)
        return np.asarray(np.where(left > 0, (np.log(left) - self.step.log_scale) / self.step.power, -np.inf))


@_quiet
def cheapest(law: Surface, usage: Usage, loss: float, unique: float | None = None) -> tuple[Floats, Floats, Floats]:
    """N, D and total cost of the cheapest model of a loss; infinite where the asymptote is not below it.

    Args:
        law: one law, or one for each bootstrap.
        usage: the inference.
        loss: to be reached.
        unique: amount of distinct data; None: unlimited.
    """
    terms = _Terms(law.wide(), unique)
    low = terms.log_params_for(loss)
    high = low + _FAR
    if unique is None:  # the best size without inference is the largest that may be best with it
        high = np.reshape(np.log(law.optimum(law.cost_for(loss))[0]), (-1, 1))
    high = np.maximum(high, low)

    def total(log_params: Floats) -> Floats:
        cost = terms.training(log_params, terms.log_data_for(loss, log_params))
        return np.asarray(cost + usage.cost(np.exp(log_params)))

    def slope(log_params: Floats) -> Floats:
        log_data = terms.log_data_for(loss, log_params)
        return np.where(np.isfinite(log_data), terms.slope(log_params, log_data, usage), -1.0)  # too small a model

    found = _lowest(total, slope, low, high, search=terms.may_wind)
    reached = np.asarray(loss > terms.law.E)
    values = (np.exp(found), np.exp(terms.log_data_for(loss, found)), total(found))
    n, d, cost = (np.where(reached, value, np.inf)[:, 0] for value in values)
    return (n, d, cost) if np.ndim(law.E) else (n[0], d[0], cost[0])


@_quiet
def best_within(
    law: Surface, usage: Usage, total: Number, unique: float | None = None
) -> tuple[Floats, Floats, Floats]:
    """N, D and loss of the best model whose training and inference have a total cost.

    The loss is infinite, and N and D are NaN, where inference alone costs more with any model.

    Args:
        law: one law, or one for each bootstrap, shape (k,).
        usage: the inference.
        total: one cost, or with one law an array of them, shape (k,).
        unique: amount of distinct data; None: unlimited.
    """
    largest = np.log(np.reshape(law.optimum(np.asarray(total))[0], (-1, 1))) + (0.0 if unique is None else _FAR)
    found = _best_within(_Terms(law.wide(), unique), usage, np.reshape(total, (-1, 1)), largest)
    n, d, lowest = (value[:, 0] for value in found)
    return (n, d, lowest) if np.ndim(law.E) or np.ndim(total) else (n[0], d[0], lowest[0])


@_quiet
def losses_within(law: Surface, usage: Usage, totals: Floats) -> Floats:
    """The lowest loss at each total cost, shape (k, m) for k laws and m costs; infinite as in `best_within`."""
    terms = _Terms(law.wide(), None)
    if terms.may_wind:
        return np.stack([np.atleast_1d(best_within(law, usage, float(total))[2]) for total in totals], axis=1)
    columns = totals[None, :]
    return _best_within(terms, usage, columns, np.log(terms.law.optimum(columns)[0]))[2]


@_quiet
def total_costs(law: Surface, usage: Usage, training: Floats) -> Floats:
    """The total costs at which trainings of these costs are the best ones, shape (m,), by one law."""
    terms, columns = _Terms(law.wide(), None), training[None, :]
    largest = np.log(law.optimum(training)[0])[None, :]

    def slope(log_params: Floats) -> Floats:
        return terms.slope(log_params, terms.log_data_left(columns, log_params), usage)

    params = np.exp(_lowest(lambda at: at, slope, largest - _FAR, largest, search=False))
    return np.asarray((columns + usage.cost(params))[0])


def _best_within(terms: "_Terms", usage: Usage, total: Floats, largest: Floats) -> tuple[Floats, Floats, Floats]:
    """N, D and loss at total costs of shape (k, 1) or (1, m); `largest`: ln of the N beyond which none is best."""
    high = np.minimum(largest, usage.log_params_for(total))

    def log_data(log_params: Floats) -> Floats:
        left = total - usage.cost(np.exp(log_params))
        return terms.log_data_left(np.where(left > 0, left, np.nan), log_params)

    def loss(log_params: Floats) -> Floats:
        return np.asarray(terms.law.loss(np.exp(log_params), np.exp(log_data(log_params)), terms.unique))

    def slope(log_params: Floats) -> Floats:
        return terms.slope(log_params, log_data(log_params), usage)

    found = _lowest(loss, slope, high - _FAR, high, search=terms.may_wind)
    possible = np.isfinite(high)
    params, data = (np.where(possible, np.exp(value), np.nan) for value in (found, log_data(found)))
    return params, data, np.where(possible, loss(found), np.inf)


@dataclass(frozen=True)
class _Terms:
    """The terms of laws in columns, shape (k, 1), as functions of ln N and ln D, shape (k, m)."""

    law: Surface
    unique: float | None

    @property
    def may_wind(self) -> bool:
        """Whether the curve of equal loss may have several optima: with breaks, and with repeated data."""
        return self.law.breaks or self.unique is not None

    @property
    def coupling(self) -> Floats:
        return np.asarray(1.0 if self.law.extension is None else np.exp(self.law.extension.log_coupling))

    def log_a(self, log_params: Number) -> Floats:
        beyond = self.law.extension
        bend = 0.0 if beyond is None else beyond.bend(log_params, 0.0)[0]
        return np.asarray(self.law.log_A - self.law.alpha * np.asarray(log_params) + bend)

    def log_b(self, log_effective: Number) -> Floats:
        beyond = self.law.extension
        bend = 0.0 if beyond is None else beyond.bend(0.0, log_effective)[1]
        return np.asarray(self.law.log_B - self.law.beta * np.asarray(log_effective) + bend)

    def log_params_for(self, loss: float) -> Floats:
        """Ln of the N that reaches a loss with unlimited data."""
        log_above = np.log(loss - self.law.E)
        guess = np.asarray((self.law.log_A - log_above) / self.law.alpha)
        return _where_falls(lambda at: self.log_a(at) - log_above, guess) if self.law.breaks else guess

    def log_data_for(self, loss: float, log_params: Floats) -> Floats:
        """Ln of the D with which a size reaches a loss; infinite where none does."""
        log_above = np.log(loss - self.law.E)
        share = np.exp((self.log_a(log_params) - log_above) / self.coupling)
        log_b = log_above + self.coupling * np.log1p(-np.minimum(share, 1.0))
        found = np.asarray((self.law.log_B - log_b) / self.law.beta)
        if self.law.breaks:
            found = np.where(np.isfinite(found), _where_falls(lambda at: self.log_b(at) - log_b, found), found)
        return found if self.unique is None else self._with_repeats(found, self.unique)

    def _with_repeats(self, log_effective: Floats, unique: float) -> Floats:
        """Ln of the data, repeats counted, that are worth as much as distinct ones; infinite where none are."""
        repeats, worth = np.exp(self.law.log_repeats), np.exp(log_effective) / unique - 1.0
        again = np.where(np.isinf(repeats), worth, -repeats * np.log1p(-np.minimum(worth / repeats, 1.0)))
        return np.where(worth > 0, np.log(unique) + np.log1p(again), log_effective)

    def training(self, log_params: Floats, log_data: Floats) -> Floats:
        """The cost of training."""
        cost = self.law.cost
        return np.asarray(np.exp(cost.log_kappa + cost.params_power * log_params + cost.data_power * log_data))

    def log_data_left(self, cost: Floats, log_params: Floats) -> Floats:
        """Ln of the data that a training cost leaves."""
        of = self.law.cost
        return np.asarray((np.log(cost) - of.log_kappa - of.params_power * log_params) / of.data_power)

    def slope(self, log_params: Floats, log_data: Floats, usage: Usage) -> Floats:
        """Of the sign of the slope in ln N of the loss at equal total cost, and of the total cost at equal loss."""
        law, log_effective, gain = self.law, log_data, np.asarray(1.0)
        if self.unique is not None:
            repeats = np.exp(law.log_repeats)
            data = np.exp(log_data)
            worth = effective_data(data, self.unique, repeats)
            again = np.maximum(data / self.unique - 1.0, 0.0)
            log_effective, gain = np.log(worth), np.asarray(data / worth * np.exp(-again / repeats))
        more_n, more_d = (0.0, 0.0) if law.extension is None else law.extension.steepness(log_params, log_effective)
        log_a, log_b = self.log_a(log_params) / self.coupling, self.log_b(log_effective) / self.coupling
        most = np.maximum(log_a, log_b)
        dearer = law.cost.params_power + usage.slope(log_params) / self.training(log_params, log_data)
        rise = (law.beta + more_d) * gain * np.exp(log_b - most) * dearer / law.cost.data_power
        return np.asarray(rise - (law.alpha + more_n) * np.exp(log_a - most))


def _where_falls(function: Callable[[Floats], Floats], guess: Floats) -> Floats:
    """Where a falling function passes 0, near a guess."""
    low, high = guess - _FAR, guess + _FAR
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        above = function(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray(0.5 * (low + high))


def _lowest(
    value: Callable[[Floats], Floats], slope: Callable[[Floats], Floats], low: Floats, high: Floats, *, search: bool
) -> Floats:
    """Where a function is lowest between two ends, shape (k, 1): by halving, within the lowest cell of a grid first."""
    if search:
        grid = low + (high - low) * np.linspace(0.0, 1.0, _CELLS + 1)
        values = value(grid)
        place = np.argmin(np.where(np.isfinite(values), values, np.inf), axis=1)[:, None]
        low = np.take_along_axis(grid, np.maximum(place - 1, 0), axis=1)
        high = np.take_along_axis(grid, np.minimum(place + 1, _CELLS), axis=1)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        falls = slope(middle) < 0
        low, high = np.where(falls, middle, low), np.where(falls, high, middle)
    return np.asarray(0.5 * (low + high))
