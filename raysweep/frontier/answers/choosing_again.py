"""The choice of a law, redone in every resample: what the draws of a chosen law do not know is which law it is.

Each candidate was fitted to the smaller runs and asked for the larger ones. A resample weighs the same points
otherwise: the candidates are refitted from their optima to the smaller runs as it weighs them, and judged by the larger
ones as it weighs those. It draws the law that it would have chosen. That the points contradict the additive law at all
is taken as given: a resample repeats points, and so contradicts any law more than the points do.
"""

from collections.abc import Sequence

import numpy as np

from raysweep.frontier.answers.choice import ORIGINS, LawChoice, rolling_origins
from raysweep.frontier.fitting.levels import determined
from raysweep.frontier.fitting.surfaces import draw_surfaces, fit_surface
from raysweep.frontier.laws.extension import Extension
from raysweep.frontier.laws.forms import Form
from raysweep.frontier.laws.laws import CostModel, Surface
from raysweep.frontier.numerics.arrays import Floats, Indices, Number
from raysweep.frontier.points.samples import Samples
from raysweep.frontier.points.weighting import toward_largest

JUDGED = 60
"""Resamples whose choice is redone; further ones take the same laws in turn."""
LEAST_SHARE = 0.02
"""Of the resamples that choose a law, below which it is not drawn."""
_STARTS, _ITERATIONS = 12, 60


def chosen_again(
    samples: Samples, choice: LawChoice, form: Form, delta: float | None, seed: int, weights: Floats
) -> Indices:
    """Place among the candidates of the law that each resample chooses, shape (k,).

    Args:
        samples: the points.
        choice: that was made of them.
        form: of the law that was chosen.
        delta: Huber's in ln loss, None to follow the noise.
        seed: of the starts.
        weights: of the resamples, shape (k, n).
    """
    forms = [candidate.of(form) for candidate in choice.candidates]
    every = np.full((len(forms), weights.shape[0]), np.inf)
    divided = list(rolling_origins(samples, form, ORIGINS))
    for place, one in enumerate(forms):
        if np.isfinite(choice.candidates[place].error):
            found = [_errors(samples, *parts, one, delta, seed, weights) for parts in divided]
            every[place] = np.mean(found, axis=0)
    base, best = every[choice.default], np.argmin(every, axis=0)
    taken = np.where(every.min(axis=0) <= choice.margin * base, best, choice.default)
    return np.asarray(np.where(np.isfinite(every).any(axis=0), taken, choice.chosen))


def _errors(
    samples: Samples, part: Samples, rest: Samples, form: Form, delta: float | None, seed: int, weights: Floats
) -> Floats:
    """Mean absolute error of ln loss of the larger runs, in each resample, shape (k,)."""
    place = {row: number for number, row in enumerate(samples.row)}
    seen, unseen = ([place[row] for row in some.row] for some in (part, rest))
    part = weighted(part, form)
    found = fit_surface(part, form, delta, seed, _STARTS, _ITERATIONS)
    draws, converged = draw_surfaces(part, found, form, weights[:, seen])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        away = np.abs(np.log(rest.loss / draws.wide().loss(rest.params, rest.data)))
    counted = weights[:, unseen] * rest.weight
    usable = converged & determined(part, form, weights[:, seen]) & (counted.sum(axis=1) > 0)
    total = np.sum(counted * away, axis=1) / np.maximum(counted.sum(axis=1), 1e-300)
    return np.asarray(np.where(usable & np.isfinite(total), total, np.inf))


def weighted(samples: Samples, form: Form) -> Samples:
    """The points as a form weighs them."""
    return toward_largest(samples, form.parameters) if form.toward_largest else samples


def together(parts: Sequence[Surface]) -> Surface:
    """Several sets of laws as one; a law without an extension has one that adds nothing."""
    parts = [part for part in parts if np.size(part.E)] or list(parts[:1])
    first = next((part.extension for part in parts if part.extension is not None), None)
    references = np.zeros(0) if first is None else np.ravel(first.log_reference)
    reference = float(references[0]) if len(references) else 0.0
    beyond = [part.extension or Extension(log_reference=reference) for part in parts]
    sizes = [np.size(part.E) for part in parts]

    def joined(values: Sequence[Number]) -> Floats:
        wide = [np.broadcast_to(np.asarray(one, dtype=float), (size,)) for one, size in zip(values, sizes, strict=True)]
        return np.concatenate(wide)

    extension = Extension(**{name: joined([getattr(one, name) for one in beyond]) for name in vars(beyond[0])})
    cost = CostModel(
        log_kappa=joined([part.cost.log_kappa for part in parts]),
        params_power=joined([part.cost.params_power for part in parts]),
        data_power=joined([part.cost.data_power for part in parts]),
    )
    names = ("E", "log_A", "alpha", "log_B", "beta", "log_repeats")
    laws = {name: joined([getattr(part, name) for part in parts]) for name in names}
    return Surface(**laws, cost=cost, extension=None if first is None else extension)
