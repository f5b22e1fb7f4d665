"""The problem that the batched solver minimises: points, free directions of a law, bounds, and derivatives.

    F(x, y) = t + (e^(u / k) + e^(v / k))^k            k = e^c, 1 in the additive law
    u = p - alpha x + delta_N softplus(x_b - x)
    v = q - beta y + delta_D softplus(y_b - y)         theta = (t, p, alpha, q, beta, c, delta_N, x_b, delta_D, y_b)

in coordinates that make it well conditioned (x, y: centred ln N and ln D; losses divided by a scale). The additive law
has the first five entries of theta alone. The objective is the **sum** over points of w rho(ln loss - ln F), where rho
is Huber's function (2404.10102, eq. 2). A sum, not a mean, and tolerances relative to the objective: a mean of Huber
losses of size 1e-3 lets an optimizer with absolute tolerances stop at its start (what happened to the published fit of
2203.15556).
"""

from dataclasses import dataclass

import numpy as np

from raysweep.frontier.numerics.arrays import Floats

ADDITIVE = 5
"""Entries of theta in the additive law."""
PLACES = 10
"""Entries of theta in the laws that extend it."""
LOWER = np.array([0.0, -60.0, 1e-3, -60.0, 1e-3, -1.7, -1.5, -30.0, -1.5, -30.0])
UPPER = np.array([2.0, 60.0, 5.0, 60.0, 5.0, 1.7, 1.5, 30.0, 1.5, 30.0])
"""Bounds of theta. Exponents of measured losses lie between .03 and 1.5; a fit at a bound says so in its status."""
STEP = np.array([0.5, 2.0, 0.3, 2.0, 0.3, 0.5, 0.2, 1.0, 0.2, 1.0])
"""The most that one step of the solver moves theta."""
SMALL = 1e-9
"""Log residuals below this count as zero in the certificate: double precision leaves no meaning in them."""


@dataclass(frozen=True)
class Problem:
    """Points as the solver sees them, shared by all fits of a batch.

    Attributes:
        x, y: centred ln N and ln D, shape (n,).
        z: ln of the loss over the loss scale, shape (n,), or (k, n) where every fit of the batch has its own losses.
        free: columns span the directions in which theta may move, shape (5, p) or (10, p): the identity for the
            additive law, fewer columns where a parameter is fixed, two ones in a column where two are tied.
        terms: 2, or 1 where the law has no term in y.
        over: weight of points above the law (loss higher than predicted) relative to those below it.
        prior: (2, 10) centre and precision of a Gaussian prior on theta, with delta^2 the variance of a point: None
            where there is none. It keeps what a law has beyond the additive one near that where the points are silent.
    """

    x: Floats
    y: Floats
    z: Floats
    free: Floats
    terms: int = 2
    over: float = 1.0
    prior: Floats | None = None

    @property
    def lower(self) -> Floats:
        """Lower bounds of theta, shape (P,)."""
        return LOWER[: self.free.shape[0]]

    @property
    def upper(self) -> Floats:
        """Upper bounds of theta, shape (P,)."""
        return UPPER[: self.free.shape[0]]


@dataclass
class Evaluation:
    """The objective of each fit of a batch, shape (k,), with its gradient (k, P) and Hessian (k, P, P) in theta."""

    objective: Floats
    gradient: Floats
    hessian: Floats
    scale: Floats
    """The sum of the absolute contributions to each gradient component, shape (k, P)."""
