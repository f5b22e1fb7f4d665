"""Extensions of the additive law: coupled terms, and powers that break once in N or in D.

    L = E + (a^(1/k) + b^(1/k))^k,     a = A N^-alpha (1 + N_b/N)^delta_N,     b = B D^-beta (1 + D_b/D)^delta_D

k = 1 is the additive law; k < 1 lets the larger term hide the smaller one (k -> 0: the larger alone), k > 1 makes both
matter together. Before a break the exponent is alpha + delta, long after it alpha. `delta_D = -beta` is an offset of D.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np
from numpy.typing import NDArray

from raysweep.frontier.numerics.arrays import AsJson, Floats, Number

LogPlace: TypeAlias = Annotated[float | NDArray[np.float64], AsJson(absent=-np.inf)]
"""ln of the place of a break, -inf where there is none."""
_REACH, _STEPS, _HALVINGS = 25.0, 400, 48
"""ln N is searched this far on either side of a guess, on a grid of so many steps, halved so many times at the end."""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """The further parameters of a law.

    Attributes:
        log_coupling: ln k. params_bend, data_bend: delta_N, delta_D. log_params_break, log_data_break: ln N_b, ln D_b.
        log_reference: ln of the cost at which exponents of the frontier are given: with a break they change with it.
    """

    log_coupling: Number = 0.0
    params_bend: Number = 0.0
    log_params_break: LogPlace = -np.inf
    data_bend: Number = 0.0
    log_data_break: LogPlace = -np.inf
    log_reference: Number = 0.0

    @property
    def breaks(self) -> bool:
        """Whether a power breaks, so that the frontier is none."""
        return bool(np.any(np.asarray(self.params_bend) != 0.0) or np.any(np.asarray(self.data_bend) != 0.0))

    def bend(self, log_params: Number, log_data: Number) -> tuple[Floats, Floats]:
        """What the breaks add to ln a and ln b at a run."""
        return _bend(self.params_bend, self.log_params_break, log_params), _bend(
            self.data_bend, self.log_data_break, log_data
        )

    def steepness(self, log_params: Number, log_data: Number) -> tuple[Floats, Floats]:
        """What the breaks add to the exponents of N and D at a run."""
        return (
            self.params_bend * _before(self.log_params_break, log_params),
            self.data_bend * _before(self.log_data_break, log_data),
        )

    def combine(self, log_a: Number, log_b: Number) -> Floats:
        """The loss above E of the two terms, given as logarithms."""
        coupling = np.exp(self.log_coupling)
        return np.asarray(np.exp(coupling * np.logaddexp(log_a / coupling, log_b / coupling)))


def _bend(bend: Number, place: Number, at: Number) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(np.isneginf(place), 0.0, bend * np.logaddexp(0.0, place - np.asarray(at))))


def _before(place: Number, at: Number) -> Floats:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(np.asarray(at) - place)))


def lowest(loss: Callable[[Floats], Floats], slope: Callable[[Floats], Floats], guess: Number) -> Floats:
    """Find where a function of ln N is lowest: on a grid about a guess, then by halving where its slope changes sign.

    Args:
        loss: to be minimised, of arrays (k, m) for k laws.
        slope: of its sign alone, as the loss.
        guess: shape (k,).
    """
    grid = np.reshape(guess, (-1, 1)) + np.linspace(-_REACH, _REACH, _STEPS + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        place = np.nanargmin(np.where(np.isfinite(loss(grid)), loss(grid), np.inf), axis=1)[:, None]
    low = np.take_along_axis(grid, np.maximum(place - 1, 0), axis=1)
    high = np.take_along_axis(grid, np.minimum(place + 1, _STEPS), axis=1)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        falls = slope(middle) < 0
        low, high = np.where(falls, middle, low), np.where(falls, high, middle)
    found = 0.5 * (low + high)[:, 0]
    return found if np.ndim(guess) else np.asarray(found[0])
