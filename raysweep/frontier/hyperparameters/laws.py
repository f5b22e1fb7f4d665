"""Laws of the best hyperparameters: powers of N and D (2503.04715), and the valley of the loss about them."""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.numerics.arrays import Floats, Number

AXES = ("learning_rate", "batch")
"""The hyperparameters that a law is fitted to, by the names of their columns."""


@dataclass(frozen=True, kw_only=True)
class BestLaw:
    """The best value of one hyperparameter, e^log_factor N^params D^data, or one of these for each refit.

    An exponent that the runs do not determine is NaN; `log_factor` then holds at the one N (or D) of the runs.
    `given` is the exponent of the other hyperparameter, where that was varied but too little to have a law itself.
    """

    log_factor: Number
    params: Number
    data: Number
    given: Number

    def log_value(self, params: float, data: float, other: float | None = None) -> Floats:
        """Logarithm of the best value at N and D."""
        value = np.asarray(self.log_factor, dtype=float)
        for exponent, at in ((self.params, params), (self.data, data), (self.given, other)):
            if at is not None and not np.all(np.isnan(exponent)):
                value = value + np.asarray(exponent) * np.log(at)
        return np.asarray(value)

    def take(self, chosen: Floats) -> "BestLaw":
        """Select refits by a mask."""
        return BestLaw(**{name: np.asarray(value)[chosen] for name, value in vars(self).items()})

    def __str__(self) -> str:
        terms = (("N", self.params), ("D", self.data), ("(other)", self.given))
        shown = [f" {name}^{float(power):.4f}" for name, power in terms if not np.isnan(power) and power]
        return f"{float(np.exp(self.log_factor)):.4g}{''.join(shown)}"


@dataclass(frozen=True, kw_only=True)
class HyperparameterLaw:
    """The laws of the best learning rate and batch size (None where one was not fitted), and the valley about them.

    Attributes:
        learning_rate, batch: the laws.
        shape: quadratic and cubic terms of the valley in the log distances u from the best learning rate and v from the
            best batch size: u²/2, uv, v²/2, u³/6, u²v/2, uv²/2, v³/6; where only one was fitted u²/2, u³/6; the cubic
            ones only where there were runs enough. Of ln L; shape (terms,), or (refits, terms).
        steepness: exponents of N and D by which the valley as a whole grows steeper, shape (2,) or (refits, 2).
        centre: ln N and ln D at which `shape` holds.
    """

    learning_rate: BestLaw | None
    batch: BestLaw | None
    shape: Floats
    steepness: Floats
    centre: Floats

    def axes(self) -> tuple[str, ...]:
        """The hyperparameters that have a law."""
        return tuple(name for name in AXES if getattr(self, name) is not None)

    def of(self, axis: str) -> BestLaw:
        """The law of one hyperparameter."""
        found = getattr(self, axis)
        assert isinstance(found, BestLaw)
        return found

    def at(self, params: float, data: float) -> Floats:
        """The terms of the valley at N and D."""
        place = np.array([np.log(params), np.log(data)]) - self.centre
        return np.asarray(np.exp(self.steepness @ place)[..., None] * self.shape)

    def along(self, axis: str, params: float, data: float) -> tuple[float, float]:
        """Quadratic and cubic coefficients of the valley along one hyperparameter, the other at its best."""
        shape = self.at(params, data)
        pairs = {AXES[0]: (0, 3), AXES[1]: (2, 6)} if len(self.axes()) == 2 else {axis: (0, 1)}
        quadratic, cubic = pairs[axis]
        return float(shape[quadratic]), float(shape[cubic]) if cubic < shape.size else 0.0


def range_within(quadratic: float, cubic: float, regret: float) -> tuple[float, float]:
    """Log distances on either side of the bottom at which ln L exceeds it by ln(1 + regret).

    Where the cubic term lets the valley never rise so far on its flat side, the parabola's distance stands.
    """
    target = float(np.log1p(regret))
    reach = float(np.sqrt(2.0 * target / quadratic))
    roots = np.roots([cubic / 6.0, quadratic / 2.0, 0.0, -target]) if abs(cubic) > 1e-12 * quadratic else np.array([])
    real = np.sort(roots[np.abs(roots.imag) < 1e-9 * np.maximum(np.abs(roots), 1e-300)].real)
    below, above = real[real < 0], real[real > 0]
    return (float(below.max()) if below.size else -reach), (float(above.min()) if above.size else reach)
