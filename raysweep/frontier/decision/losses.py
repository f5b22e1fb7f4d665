"""Each family's loss at a compute with its spread, and the difference of two of them at any level.

The form of the errors is shared by the families and never known for sure: it is averaged over by importance sampling,
which gives mixtures of Student's t with the tails that a plug-in of its most likely value would lack.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from raysweep.frontier.decision.comparison import comparison
from raysweep.frontier.decision.errors import CENTRE, SPREAD, ErrorForm, form_at
from raysweep.frontier.decision.kriging import FamilyLaws, TargetLoss
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.result import Fit

_FIRST, _SECOND = 64, 64
"""Forms of the errors that are weighed: from the prior, then from where the first have their weight."""
_HALVINGS = 60
_FARTHEST = 1e4
"""Standard errors within which a quantile is sought."""


@dataclass(frozen=True, kw_only=True)
class LogLoss:
    """The logarithm of a family's lowest loss at a compute, under each of k forms of the errors.

    Attributes:
        value, deviation, weight: shape (k,); families of one look have the same forms and weights.
        degrees_of_freedom: of Student's t.
    """

    value: Floats
    deviation: Floats
    weight: Floats
    degrees_of_freedom: float

    @property
    def estimate(self) -> float:
        """The mean over the forms."""
        return float(self.weight @ self.value)


@dataclass(frozen=True, kw_only=True)
class LossesAt:
    """The families' losses at a compute, the most probable form of the errors, and the laws behind them."""

    losses: dict[str, LogLoss]
    laws: dict[str, FamilyLaws]
    form: ErrorForm
    assumed: dict[str, str]
    """By family, what had to be assumed of its inference."""


def losses_at(fits: Mapping[str, Fit], flops: float, inference_steps: float = 0.0) -> LossesAt:
    """Estimate the logarithm of each family's lowest loss at a compute from usable fits of laws in N and D.

    Args:
        fits: by family.
        flops: the compute, of training and inference together.
        inference_steps: atom-steps of inference.
    """
    centre = float(np.mean([np.log(fit.samples.params).mean() for fit in fits.values()]))
    places = {name: comparison(fit, flops, inference_steps) for name, fit in fits.items()}
    laws = {name: FamilyLaws(fit, places[name][0], centre) for name, fit in fits.items()}
    families = list(laws.values())
    forms, weight, solved = _weighed(families)
    kept = weight > 1e-4 * weight.max()
    weight = weight[kept] / weight[kept].sum()
    losses = {}
    for number, (name, family) in enumerate(laws.items()):
        own = [solved[k][number] for k in np.flatnonzero(kept)]
        losses[name] = LogLoss(
            value=np.array([one.mean for one in own]),
            deviation=np.sqrt([one.level * one.variance for one in own]),
            weight=weight,
            degrees_of_freedom=family.freedom,
        )
    assumed = {name: told for name, (_, told) in places.items() if told is not None}
    return LossesAt(losses=losses, laws=laws, form=form_at(weight @ forms[kept]), assumed=assumed)


def _weighed(families: Sequence[FamilyLaws]) -> tuple[Floats, Floats, list[list[TargetLoss]]]:
    """Places of the forms (k, 5), their weights (k,), and each family under each of them."""
    first = CENTRE + SPREAD * _normal(_FIRST, 0)
    solved = [[family.solve(form_at(place)) for family in families] for place in first]
    weight = _exp([sum(one.evidence for one in row) for row in solved])
    mean = weight @ first
    spread = (first - mean).T @ ((first - mean) * weight[:, None])
    width = np.linalg.cholesky(1.5 * spread + np.diag((0.15 * SPREAD) ** 2))
    second = mean + _normal(_SECOND, 1) @ width.T
    solved += [[family.solve(form_at(place)) for family in families] for place in second]
    places = np.concatenate([first, second])
    prior = -0.5 * (((places - CENTRE) / SPREAD) ** 2).sum(axis=1) - np.log(SPREAD).sum()
    whitened = np.linalg.solve(width, (places - mean).T)
    proposal = -0.5 * (whitened**2).sum(axis=0) - np.log(np.diag(width)).sum()
    evidence = np.array([sum(one.evidence for one in row) for row in solved])
    mixed = np.logaddexp(np.log(_FIRST) + prior, np.log(_SECOND) + proposal)
    return places, _exp(evidence + prior - mixed), solved


def _exp(log_weight: object) -> Floats:
    values = np.asarray(log_weight, dtype=float)
    weight = np.exp(values - values.max())
    return np.asarray(weight / weight.sum())


def _normal(count: int, seed: int) -> Floats:
    """Standard normal numbers that fill the space evenly (Sobol's), shape (count, 5)."""
    from scipy.special import ndtri
    from scipy.stats import qmc  # takes a second to import, which most commands need not wait for

    return np.asarray(ndtri(np.clip(qmc.Sobol(CENTRE.size, seed=seed).random(count), 1e-9, 1.0 - 1e-9)))


def log_difference(first: LogLoss, second: LogLoss, error: float) -> tuple[float, float, float]:
    """The difference of two logarithms of the loss and its ends, each exceeded with a probability of `error`.

    Under one form of the errors it is Student's t with the degrees of freedom of Welch (1947) and Satterthwaite (1946).
    """
    value = first.value - second.value
    variances = np.array([first.deviation**2, second.deviation**2])
    total = np.maximum(variances.sum(axis=0), 1e-300)
    degrees = np.array([[first.degrees_of_freedom], [second.degrees_of_freedom]])
    freedom = total**2 / np.maximum((variances**2 / degrees).sum(axis=0), 1e-300)
    low, high = (
        _quantile(value, np.sqrt(total), np.minimum(freedom, 1e9), first.weight, share)
        for share in (error, 1.0 - error)
    )
    return first.estimate - second.estimate, low, high


def _quantile(value: Floats, deviation: Floats, freedom: Floats, weight: Floats, share: float) -> float:
    """Quantile of a mixture of Student's t, by bisection."""
    low, high = float((value - _FARTHEST * deviation).min()), float((value + _FARTHEST * deviation).max())
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        below = float(weight @ stdtr(freedom, (middle - value) / deviation))
        low, high = (middle, high) if below < share else (low, middle)
    return 0.5 * (low + high)
