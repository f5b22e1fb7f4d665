"""The reasons to refuse a fit: points that do not determine the law at all."""

import numpy as np

from raysweep.frontier.approaches.options import Options
from raysweep.frontier.points.findings import Finding, Kind, fatal
from raysweep.frontier.points.samples import Samples

LEAST_POINTS = 6


def refusals(samples: Samples, options: Options) -> list[Finding]:
    """Find the reason why these points cannot be fitted: one fatal finding, or none."""
    form = options.form
    if samples.count < max(LEAST_POINTS, form.parameters + 1):
        text = f"{samples.count} points are left; the law has {form.parameters} parameters and needs 6 or more"
        return [fatal(Kind.TOO_FEW_POINTS, text)]
    if np.ptp(np.log(samples.loss)) < 1e-12:
        return [fatal(Kind.LOSSES_EQUAL, f"all {samples.count} losses equal {samples.loss[0]:.6g}: nothing to fit")]
    if form.asymptote is not None and samples.loss.min() <= form.asymptote:
        text = f"the asymptote {form.asymptote:g} lies above the lowest loss {samples.loss.min():g}: lower it"
        return [fatal(Kind.NOT_POSITIVE, text)]
    if form.law == "data_constrained" and samples.unique_data is None:
        text = "law='data_constrained' needs a column unique_data: the distinct part of data"
        return [fatal(Kind.NO_REPEATS, text)]
    if form.law == "data_constrained" and not np.any(samples.data > 1.5 * np.asarray(samples.unique_data)):
        text = "no run repeats its data, so what repeats are worth is unseen; law='additive'"
        return [fatal(Kind.NO_REPEATS, text)]
    return _design_refusals(samples, options)


def _design_refusals(samples: Samples, options: Options) -> list[Finding]:
    """Find the parameters that the sizes and amounts of data leave open."""
    sizes, amounts = (np.unique(np.round(np.log(v), 9)).size for v in (samples.params, samples.data))
    needs_params, needs_data = options.form.law != "data", options.form.law != "params"
    if sizes == 2 and needs_params and options.form.asymptote is None and options.method == "parametric":
        text = "two model sizes cannot tell E, A and alpha apart: add a size, or hold E with asymptote="
        return [fatal(Kind.TWO_SIZES_ONLY, text)]
    if sizes < 2 and needs_params:
        return [fatal(Kind.ONE_SIZE_ONLY, "all points have one N: what N does to the loss cannot be seen; law='data'")]
    if amounts < 2 and needs_data:
        text = "all points have one D: what D does to the loss cannot be seen; law='params'"
        return [fatal(Kind.ONE_DATA_ONLY, text)]
    if needs_params and needs_data and options.method == "parametric" and _in_lockstep(samples):
        text = "N and D rise in lockstep over the points: their effects cannot be told apart; vary D at fixed N"
        return [fatal(Kind.DEPENDENT_DESIGN, text)]
    return []


def _in_lockstep(samples: Samples) -> bool:
    x, y = np.log(samples.params), np.log(samples.data)
    return bool(abs(np.corrcoef(x, y)[0, 1]) > 1 - 1e-9)
