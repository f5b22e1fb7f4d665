"""The noise of runs estimated by restricted likelihood, jointly for the families of a sweep.

Restricted likelihood (REML, Patterson and Thompson 1971) is that of what is left of the errors once the law is
projected out, so that noise is not taken for smaller than it is where a law of five parameters goes through a few
runs. A few runs leave the covariance uncertain; the plug-in of its most likely value would make intervals too narrow.
It is therefore averaged over, with weak priors, by importance sampling: what Satterthwaite's degrees of freedom
approximate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from raysweep.frontier.fitting.run_noise.runs import Memory, Runs, whiten
from raysweep.frontier.numerics.arrays import Floats, Indices


@dataclass(frozen=True)
class Prior:
    """Centre and standard deviation of Gaussian priors of the covariance's form, in the order below."""

    centre: tuple[float, float, float]
    spread: tuple[float, float, float]


WIDE = Prior(centre=(float(np.log(30.0)), -1.0, -0.15), spread=(2.0, 4.0, 0.2))
"""Of the Gaussian priors of ln memory, of the logit of the white share, and of the slope of ln standard deviation in
ln N. They reach from errors that a run never forgets to independent ones, and from a standard deviation that falls with
N as N^-.55 to one that rises as N^.25. The level has a flat prior in its logarithm, which makes intervals Student's t
where the rest is known. Wide as they are, they matter where runs are few: benchmarks/frontier_run_noise.py."""
USUAL = Prior(centre=(float(np.log(30.0)), -3.0, -0.15), spread=(2.0, 1.5, 0.2))
"""Where the law takes up whatever its runs differ by, a share of the variance that a run does not remember of 5 %, from
.3 to 50 %: runs of force fields have 5 %. Were it as likely to be all of it, intervals would be those of independent
points half of the time."""
APART = np.array([0.0, 0.2, 0.4])
"""Standard deviations of ln level between families that are averaged over."""
_SAMPLES = 256
_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
_LEVELS = 13
_COLLINEAR = 1e-10
_AT_ONCE = 200_000
"""Numbers in the whitened Jacobians of the covariances that are weighed at once."""


@dataclass(frozen=True, kw_only=True)
class Deviations:
    """A family's errors about its law: residuals (n,), the law's Jacobian in its free parameters (n, p), the runs."""

    residuals: Floats
    jacobian: Floats
    runs: Runs

    @property
    def degrees_of_freedom(self) -> float:
        """Points less parameters."""
        return max(self.runs.count - float(self.jacobian.shape[1]), 1.0)


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Covariances with their weights.

    Attributes:
        memory: c covariances up to the level.
        apart: the ln level's standard deviation between families, shape (s,).
        level: ln of the standard deviation at the centre, shape (c, l).
        weight: shape (c, s, l), sums to 1.
        squares: of each family's whitened residuals at unit level, shape (families, c).
        freedom: degrees of freedom of each family, shape (families,).
    """

    memory: Memory
    apart: Floats
    level: Floats
    weight: Floats
    squares: Floats
    freedom: Floats


def estimate(families: Sequence[Deviations], prior: Prior = WIDE) -> Posterior:
    """Estimate the covariance of errors, whose form the families share."""
    from scipy import stats  # takes a second to import, which most commands need not wait for
    from scipy.stats import qmc

    centre, reach = np.array(prior.centre), np.array(prior.spread)
    first = centre + reach * stats.norm.ppf(qmc.Sobol(3, seed=0).random(_SAMPLES))
    evidence = _evidence_of(families, first)
    weight = _marginal(families, first, evidence).weight.sum(axis=(1, 2))
    mean = weight @ first
    spread = (first - mean).T @ ((first - mean) * weight[:, None])
    width = np.linalg.cholesky(1.5 * spread + np.diag((0.05 * reach) ** 2))
    second = mean + stats.norm.ppf(qmc.Sobol(3, seed=1).random(_SAMPLES)) @ width.T
    both = np.concatenate([first, second])
    density = stats.norm.logpdf(both, centre, reach).sum(axis=1)
    proposal = stats.multivariate_normal.logpdf(both, mean, width @ width.T)
    evidence = np.concatenate([evidence, _evidence_of(families, second)], axis=2)
    return _marginal(families, both, evidence, density - np.logaddexp(density, proposal))


def _memory_at(places: Floats) -> Memory:
    """The covariances at places (c, 3) of their form."""
    return Memory(memory=np.exp(places[:, 0]), white=special.expit(places[:, 1]), slope=places[:, 2])


def _evidence_of(families: Sequence[Deviations], places: Floats) -> Floats:
    """Both parts of the restricted likelihood (`_evidence`) of each family, shape (families, 2, c)."""
    memory = _memory_at(places)
    return np.array([_evidence_in_parts(one, memory) for one in families])


def _marginal(
    families: Sequence[Deviations], places: Floats, evidence: Floats, log_weight: Floats | float = 0.0
) -> Posterior:
    """Weigh places (c, 3) of the covariance's form, over levels and differences between families.

    `evidence` is that of the places, `log_weight` the prior over the density from which they were drawn.
    """
    memory = _memory_at(places)
    constant, squares = np.sum(evidence[:, 0], axis=0), evidence[:, 1]
    freedom = np.array([one.degrees_of_freedom for one in families])
    apart = APART if len(families) > 1 else APART[:1]
    reach = 4.0 / np.sqrt(2.0 * freedom.sum()) + 2.0 * float(apart.max())
    middle = 0.5 * np.log(squares.sum(axis=0) / freedom.sum())
    level = middle[:, None] + np.linspace(-reach, reach, _LEVELS)
    log_density = np.zeros((places.shape[0], apart.size, _LEVELS))
    for one, freed in zip(squares, freedom, strict=True):
        log_density += _at_levels(one, freed, level, apart)
    log_density += (constant + log_weight)[:, None, None]
    weight = np.exp(log_density - log_density.max())
    return Posterior(
        memory=memory, apart=apart, level=level, weight=weight / weight.sum(), squares=squares, freedom=freedom
    )


def _at_levels(squares: Floats, freedom: float, level: Floats, apart: Floats) -> Floats:
    """Ln likelihood of one family's level about the common one, shape (c, s, l)."""
    own = level[:, None, :, None] + apart[None, :, None, None] * _NODES
    log_likelihood = -freedom * own - 0.5 * squares[:, None, None, None] * np.exp(-2.0 * own)
    return np.asarray(special.logsumexp(log_likelihood + np.log(_NODE_WEIGHTS / _NODE_WEIGHTS.sum()), axis=3))


def _evidence_in_parts(family: Deviations, memory: Memory) -> tuple[Floats, Floats]:
    """Go through the covariances a few at a time where the points are many; `_evidence` says what is returned."""
    parts = max(1, memory.memory.size * family.jacobian.size // _AT_ONCE)
    rows = np.array_split(np.arange(memory.memory.size), min(parts, memory.memory.size))
    found = [_evidence(family, memory.take(some)) for some in rows]
    return np.concatenate([one[0] for one in found]), np.concatenate([one[1] for one in found])


def _evidence(family: Deviations, memory: Memory) -> tuple[Floats, Floats]:
    """What of the restricted likelihood does not depend on the level, and the squares that do, each of shape (c,)."""
    jacobian = family.jacobian / np.linalg.norm(family.jacobian, axis=0).clip(1e-300)
    columns = np.column_stack([jacobian, family.residuals])
    white, log_det = whiten(family.runs, memory, columns[None])
    gram = white.transpose(0, 2, 1) @ white
    values, vectors = np.linalg.eigh(gram[:, :-1, :-1])
    values = np.maximum(values, _COLLINEAR * values[:, -1:])
    along = (gram[:, None, -1, :-1] @ vectors)[:, 0, :]
    squares = np.maximum(gram[:, -1, -1] - (along**2 / values).sum(axis=1), 1e-300)
    return -0.5 * log_det - 0.5 * np.log(values).sum(axis=1), squares


def sample(posterior: Posterior, family: int, uniform: Floats) -> tuple[Indices, Floats]:
    """Draw covariances: which of those of the posterior, and the family's ln level, each of shape (k,).

    Args:
        posterior: of all families.
        family: whose level is drawn.
        uniform: numbers from 0 to 1, shape (k, 2).
    """
    flat = np.cumsum(posterior.weight.ravel())
    chosen = np.minimum(np.searchsorted(flat, uniform[:, 0] * flat[-1]), flat.size - 1)
    place, spread, at = np.unravel_index(chosen, posterior.weight.shape)
    own = posterior.level[place, at][:, None] + posterior.apart[spread][:, None] * _NODES
    squares, freedom = posterior.squares[family][place][:, None], posterior.freedom[family]
    log_density = np.log(_NODE_WEIGHTS) - freedom * own - 0.5 * squares * np.exp(-2.0 * own)
    share = np.cumsum(np.exp(log_density - log_density.max(axis=1, keepdims=True)), axis=1)
    node = (share < uniform[:, 1:] * share[:, -1:]).sum(axis=1)
    return place, np.take_along_axis(own, node[:, None], axis=1)[:, 0]
