"""Findings about the points that a fit down-weights."""

from collections.abc import Iterable

import numpy as np

from raysweep.frontier.fitting.majority import FAR, many_far
from raysweep.frontier.fitting.robust import DOUBTED, MOST_SILENCED
from raysweep.frontier.fitting.screening import far_above, far_below
from raysweep.frontier.fitting.surfaces import SurfaceFit
from raysweep.frontier.numerics.arrays import Indices
from raysweep.frontier.points.findings import Finding, Kind, caution, count_of, note
from raysweep.frontier.points.samples import Samples


def far_findings(samples: Samples, fit: SurfaceFit) -> Iterable[Finding]:
    """Report the points so far from the law that they get no weight."""
    above, below = np.flatnonzero(far_above(fit)), np.flatnonzero(far_below(fit))
    if above.size:
        text = "has over twice the loss of the law, like a diverged run, and has"
        many = "have over twice the loss of the law, like diverged runs, and have"
        yield caution(Kind.DIVERGED, f"{count_of(above.size, text, many)} no weight ({rows_of(samples, above)})")
    if below.size:
        lowest = float(np.exp(fit.minimum.residuals[below].min()))
        what = f"down to {lowest:.2g} of it: another loss, or another unit?"
        text = "lies far below the law and has no weight"
        many = "lie far below the law and have no weight"
        yield caution(Kind.FAR_BELOW, f"{count_of(below.size, text, many)}, {what} ({rows_of(samples, below)})")


def outlier_findings(samples: Samples, fit: SurfaceFit) -> Iterable[Finding]:
    """Report all down-weighted points, those far from the law first."""
    yield from far_findings(samples, fit)
    yield from _too_many(fit)
    lost = np.flatnonzero(fit.trust < 1.0)
    if not lost.size:
        return
    silent = int(np.sum(fit.trust == 0.0))
    text = f"lies more than {DOUBTED:g} σ from the law and has less weight"
    many = f"lie more than {DOUBTED:g} σ from the law and have less weight"
    worst = lost[np.argsort(fit.trust[lost], kind="stable")]
    none = f", {silent} of them none" if silent else ""
    yield note(Kind.OUTLIERS, f"{count_of(lost.size, text, many)}{none} ({rows_of(samples, worst)})")


def _too_many(fit: SurfaceFit) -> Iterable[Finding]:
    """Report that too many points are far from the law to be outliers."""
    remedy = "leave out the runs that failed (exclude=), or these points have another law"
    silent = fit.trust < 0.5
    if np.mean(silent) > MOST_SILENCED:
        text = f"{int(silent.sum())} of {silent.size} points have no weight, too many for outliers: {remedy}"
        yield caution(Kind.MANY_FAR_AWAY, text)
    elif many_far(fit.prepared.problem, fit.minimum.theta, fit.trust):
        far = int(np.sum((np.abs(fit.minimum.residuals) > FAR) & ~silent))
        text = (
            f"{far} of {silent.size} points lie over {np.expm1(FAR):.0%} from the law, too many for outliers: {remedy}"
        )
        yield caution(Kind.MANY_FAR_AWAY, text)


def rows_of(samples: Samples, places: Indices) -> str:
    """List the rows of points in the table given."""
    shown = ", ".join(str(row) for row in samples.row[places][:8])
    return f"row{'' if places.size == 1 else 's'} {shown}{', ...' if places.size > 8 else ''}"
