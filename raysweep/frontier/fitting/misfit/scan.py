"""The scan: which of many shapes the residuals follow, and how likely noise is to follow one of them as closely.

The residuals are projected on each shape, orthogonal to the law's tangent space (the directions in which its parameters
could still move). The statistic is the smallest p-value of all shapes, one at a time, and of the three quadratic ones
together. Under Gaussian noise its distribution depends on the shapes' correlations alone and is drawn from them, so the
p-value allows for the number of shapes and for how alike they are (Westfall and Young 1993).
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from raysweep.frontier.fitting.misfit.directions import QUADRATIC
from raysweep.frontier.numerics.arrays import Floats

LEAST_DEGREES = 4
"""Degrees of freedom that the residuals need beyond the law's."""
DRAWS = 4000
_SEEN = 0.03
"""Share of a shape's length that has to lie outside of the tangent space for the points to show it."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """The outcome of a scan: the shape (a column) that the residuals follow most closely, and its coefficient."""

    p_value: float
    statistic: float
    degrees_of_freedom: int
    column: int
    coefficient: float


def basis(columns: Floats, least: float = 1e-9) -> Floats:
    """Orthonormal basis of the space that columns (n, m) span; directions below a share `least` are dropped."""
    length = np.linalg.norm(columns, axis=0)
    columns = columns[:, length > 0] / length[length > 0]
    if columns.shape[1] == 0:
        return columns
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, size > least * size[0]])


def project_out(space: Floats, values: Floats) -> Floats:
    """The part of values (n,) or (n, m) that is orthogonal to an orthonormal basis (n, p)."""
    return np.asarray(values - space @ (space.T @ values))


def scan(residuals: Floats, tangent: Floats, shapes: Floats, lost: int = 0) -> Scan | None:
    """Scan residuals of equal variance for shapes.

    Args:
        residuals: shape (n,), uncorrelated under the law.
        tangent: spans the tangent space, shape (n, p).
        shapes: of `directions`, shape (n, m).
        lost: degrees of freedom that were spent on the residuals before.

    Returns:
        None where the residuals have fewer than `LEAST_DEGREES` degrees of freedom, or no shape can be seen.
    """
    space = basis(tangent)
    degrees = residuals.size - space.shape[1] - lost
    left = project_out(space, shapes)
    length = np.linalg.norm(left, axis=0)
    seen = length > _SEEN * np.linalg.norm(shapes, axis=0)
    if degrees < LEAST_DEGREES or not seen.any():
        return None
    quadratic = int(seen[:QUADRATIC].sum())
    left = left[:, seen] / length[seen]
    rest = project_out(space, residuals)
    total = float(rest @ rest)
    span = basis(left, 1e-4)
    units, plane = span.T @ left, span.T @ basis(left[:, :quadratic], 1e-4)
    along = rest @ left
    observed = _least_p((span.T @ rest)[None, :], np.array([total]), units, plane, degrees)
    generator = np.random.default_rng(0)
    noise = generator.standard_normal((DRAWS, span.shape[1]))
    beyond = generator.chisquare(max(degrees - span.shape[1], 1), DRAWS) * (degrees > span.shape[1])
    drawn = _least_p(noise, (noise**2).sum(axis=1) + beyond, units, plane, degrees)
    best = int(np.argmax(np.abs(along)))
    return Scan(
        p_value=float((1 + np.sum(drawn <= observed[0])) / (1 + DRAWS)),
        statistic=float(along[best] ** 2 / max(total - along[best] ** 2, 1e-300) * (degrees - 1)),
        degrees_of_freedom=degrees - 1,
        column=int(np.flatnonzero(seen)[best]),
        coefficient=float(along[best] / length[seen][best]),
    )


def _least_p(inside: Floats, total: Floats, units: Floats, plane: Floats, degrees: int) -> Floats:
    """Smallest p-value of the shapes for residuals of coordinates `inside` (k, d) and squared length `total` (k,)."""
    single = np.max((inside @ units) ** 2, axis=1)
    found = _f_p_value(single, total - single, 1, degrees)
    together = plane.shape[1]
    if 1 < together < degrees:
        joint = ((inside @ plane) ** 2).sum(axis=1)
        found = np.minimum(found, _f_p_value(joint, total - joint, together, degrees))
    return found


def _f_p_value(explained: Floats, left: Floats, parameters: int, degrees: int) -> Floats:
    free = degrees - parameters
    ratio = explained / parameters / np.maximum(left / free, 1e-300)
    return np.asarray(special.fdtrc(parameters, free, ratio))
