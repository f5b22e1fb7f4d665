"""The reasons to refuse a fit: points that do not determine the law at all."""

import numpy as np

from raysweep.frontier.approaches.options import Options
from raysweep.frontier.fitting.levels import TOLERANCE, counts, needs
from raysweep.frontier.numerics.arrays import Floats
from raysweep.frontier.points.findings import Finding, Kind, count_of, fatal
from raysweep.frontier.points.samples import Samples

FEW, GAP = 0.1, 0.05
"""Losses below an asymptote that is held are outliers, and it is not wrong, where they are at most this share of all
and lie below the others by this share of the loss."""


def refusals(samples: Samples, options: Options) -> list[Finding]:
    """Find the reason why these points cannot be fitted: one fatal finding, or none."""
    form = options.form
    if samples.count <= form.parameters:
        left = count_of(samples.count, "is left", "are left")
        text = (
            f"{left}; law={form.law!r} has {form.parameters} parameters to fit and needs "
            f"{form.parameters + 1} points or more"
        )
        return [fatal(Kind.TOO_FEW_POINTS, text)]
    if np.ptp(np.log(samples.loss)) < 1e-12:
        return [fatal(Kind.LOSSES_EQUAL, f"all {samples.count} losses equal {samples.loss[0]:.6g}: nothing to fit")]
    if form.asymptote is not None and not _clear_of(samples.loss, form.asymptote):
        text = f"the asymptote {form.asymptote:g} lies above the lowest loss {samples.loss.min():g}: lower it"
        return [fatal(Kind.NOT_POSITIVE, text)]
    if form.law == "data_constrained" and samples.unique_data is None:
        text = "law='data_constrained' needs a column unique_data: the distinct part of data"
        return [fatal(Kind.NO_REPEATS, text)]
    if form.law == "data_constrained" and not np.any(samples.data > 1.5 * np.asarray(samples.unique_data)):
        text = "no run repeats its data, so the value of repeats cannot be fitted; use law='additive'"
        return [fatal(Kind.NO_REPEATS, text)]
    return _design_refusals(samples, options)


def _clear_of(loss: Floats, asymptote: float) -> bool:
    """Whether the losses lie above an asymptote, but for a few that lie far below the others."""
    below, above = loss[loss <= asymptote], loss[loss > asymptote]
    return below.size == 0 or (below.size <= FEW * loss.size and bool(below.max() < (1.0 - GAP) * above.min()))


def _design_refusals(samples: Samples, options: Options) -> list[Finding]:
    """Find the parameters that the sizes and amounts of data leave open."""
    form = options.form
    least = needs(form)
    sizes, amounts, runs = (int(count[0]) for count in counts(samples, form, np.ones((1, samples.count))))
    if sizes < 2 and least.sizes:
        return [
            fatal(
                Kind.ONE_SIZE_ONLY,
                "all points have the same N, so its effect on the loss cannot be fitted; use law='data'",
            )
        ]
    if amounts < 2 and least.amounts:
        text = "all points have the same D, so its effect on the loss cannot be fitted; use law='params'"
        return [fatal(Kind.ONE_DATA_ONLY, text)]
    if options.method != "parametric":
        return []
    held = ", or hold E with asymptote=" if form.asymptote is None else ""
    if sizes < least.sizes:
        apart = "E, A and alpha: add a size"
        return [_too_few(sizes, least.sizes, ("model sizes", apart, Kind.TWO_SIZES_ONLY), form.law, held)]
    if amounts < least.amounts:
        apart = "E, B and beta: add an amount"
        return [_too_few(amounts, least.amounts, ("amounts of data", apart, Kind.TWO_DATA_ONLY), form.law, held)]
    if sizes + amounts < least.both or runs < least.runs:
        text = (
            f"{sizes} model sizes and {amounts} amounts of data, {runs} different runs in all, do not determine the "
            f"{form.parameters} parameters of the law: add a size or an amount of data{held}"
        )
        return [fatal(Kind.TOO_FEW_LEVELS, text)]
    if least.both and _in_lockstep(samples):
        text = "N and D rise in lockstep over the points: their effects cannot be separated; vary D at fixed N"
        return [fatal(Kind.DEPENDENT_DESIGN, text)]
    return []


def _too_few(count: int, least: int, told: tuple[str, str, Kind], law: str, held: str) -> Finding:
    """The refusal of too few levels; `told`: what they are, what two of them leave open, and the kind for two."""
    what, apart, kind = told
    if count == 2 and least == 3 and law != "data_constrained":
        return fatal(kind, f"two {what} cannot separate {apart}{held}")
    counted = ", counted with their distinct part," if law == "data_constrained" else ""
    text = f"{count} {what}{counted} do not determine law={law!r}: it needs {least}{held}"
    return fatal(kind if count == 2 else Kind.TOO_FEW_LEVELS, text)


def _in_lockstep(samples: Samples) -> bool:
    """Whether D is a power of N over the points, but for the rounding of batches."""
    x, y = np.log(samples.params), np.log(samples.data)
    x, y = x - x.mean(), y - y.mean()
    away = y - x * float(x @ y) / float(x @ x)
    return bool(np.abs(away).max() < 0.5 * TOLERANCE)
