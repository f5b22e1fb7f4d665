"""The answer in plain words: which family is best, which scales best, and what cannot be decided."""

import itertools
from collections.abc import Sequence

from raysweep.core.text import scaled
from raysweep.report.content.sources import UNNAMED
from raysweep.report.content.values import Estimate, FamilyFit, Headline, Standing

Ends = tuple[float, float]


def headline(
    rows: Sequence[Standing],
    flops: float | None,
    data: float | None,
    fits: Sequence[FamilyFit],
    reservation: str | None = None,
) -> Headline:
    """Write the headline.

    Args:
        rows: the families at the largest common compute and data, the best first.
        flops: that compute, None if there is no usable point.
        data: those data.
        fits: what was fitted to each family.
        reservation: a closing sentence, for instance that the sweep has not finished.
    """
    doubtful = [fit.family for fit in fits if fit.cautions and fit.usable]
    whose = "" if doubtful == [UNNAMED] else f" of {_listed(doubtful)}" if doubtful else ""
    doubts = [f"Read the fits{whose} with the cautions listed below."] if doubtful else []
    compared = _alone(rows[0], flops) if len(rows) == 1 else [*_best(rows, flops), *_by_data(rows, data)]
    return Headline(
        sentences=(*compared, *_steepest(fits), *doubts, *([reservation] if reservation else [])),
        common_flops=flops,
        common_data=data,
        standings=tuple(rows),
    )


def _alone(row: Standing, flops: float | None) -> list[str]:
    if flops is None or row.loss_at_flops is None:
        return ["No point can be used, so there is nothing to report."]
    spread = f" [{row.interval[0]:.4g}, {row.interval[1]:.4g}]" if row.interval else ""
    return [
        f"With {scaled(flops)} FLOP, the largest compute of the points, the lowest loss is {row.loss_at_flops:.4g}"
        f"{spread}, of a model of {scaled(row.params_at_flops)} parameters."
    ]


def _best(rows: Sequence[Standing], flops: float | None) -> list[str]:
    known = [row for row in rows if row.loss_at_flops is not None]
    missing = ", ".join(row.family for row in rows if row.loss_at_flops is None)
    if flops is None or len(known) < 2:
        return [f"The families cannot be compared at a common compute: no usable point of {missing or 'any'} there."]
    best = known[0]
    tied = [row.family for row in known[1:] if _overlap(best.interval, row.interval)]
    head = f"With {scaled(flops)} FLOP, the largest compute that all families reached, "
    if tied:
        first = (
            f"{head}{_listed([best.family, *tied])} cannot be told apart: {best.family} has the lowest loss "
            f"({best.loss_at_flops:.4g}), but the difference is within the run-to-run noise."
        )
    else:
        judged = best.interval is not None and known[1].interval is not None
        doubt = "" if judged else "; without an interval, the difference cannot be judged"
        first = f"{head}{best.family} is best, with a loss of {best.loss_at_flops:.4g}{doubt}."
    second = f"There, from the highest loss to the lowest: {_ordering(known)}."
    return [first, second + (f" No usable point of {missing}." if missing else "")]


def _ordering(best_first: Sequence[Standing]) -> str:
    """Order the families from the highest loss to the lowest, with ≈ between those whose intervals overlap."""
    rows = list(reversed(best_first))
    text = f"{rows[0].family} ({rows[0].loss_at_flops:.4g})"
    for before, row in itertools.pairwise(rows):
        sign = "≈" if _overlap(before.interval, row.interval) else ">"
        text += f" {sign} {row.family} ({row.loss_at_flops:.4g})"
    return text


def _by_data(rows: Sequence[Standing], data: float | None) -> list[str]:
    known = [(row.loss_at_data, row.family) for row in rows if row.loss_at_data is not None]
    if data is None or len(known) < 2:
        return []
    order = " > ".join(f"{family} ({loss:.4g})" for loss, family in sorted(known, reverse=True))
    return [f"After equal data (D = {scaled(data)}), whatever the compute, the best size of each gives {order}."]


def _steepest(fits: Sequence[FamilyFit]) -> list[str]:
    """Say whose loss falls fastest with compute, by the fitted law or else by the envelope."""
    by_law = [(fit.family, fit.loss_exponent) for fit in fits if fit.loss_exponent is not None]
    by_envelope = [(fit.family, fit.envelope_exponent) for fit in fits if fit.envelope_exponent is not None]
    known, word = (
        (by_law, "") if len(by_law) >= len(by_envelope) or len(by_law) > 1 else (by_envelope, " of the envelope")
    )
    if not known:
        return ["No family has enough points for an exponent."]
    if len(known) == 1:
        family, gamma = known[0]
        whose = "" if family == UNNAMED else f" of {family}"
        text = f"The reducible loss{whose} falls with compute as C^−{gamma.value:.3g}"
        return [text + (f" (95 % interval {gamma.low:.3g} to {gamma.high:.3g})." if gamma.bounded else ".")]
    known.sort(key=lambda pair: -pair[1].value)
    (first, gamma), (second, runner_up) = known[0], known[1]
    if _overlap(_ends(gamma), _ends(runner_up)) is not False:
        rivals = [name for name, other in known[1:] if _overlap(_ends(gamma), _ends(other)) is not False]
        return [
            f"It is not settled which family's loss falls fastest with compute: {first} has the largest exponent{word} "
            f"(γ = {_interval(gamma)}), and its interval overlaps that of {_listed(rivals)}."
        ]
    return [
        f"{first} scales best: its reducible loss falls fastest with compute (exponent{word} γ = {_interval(gamma)}; "
        f"next {second}, {_interval(runner_up)})."
    ]


def _overlap(first: Ends | None, second: Ends | None) -> bool | None:
    """Check whether two intervals overlap; None if one is missing."""
    if first is None or second is None:
        return None
    return first[0] <= second[1] and second[0] <= first[1]


def _ends(value: Estimate) -> Ends | None:
    return None if value.low is None or value.high is None else (value.low, value.high)


def _interval(value: Estimate) -> str:
    text = f"{value.value:.3g}"
    return f"{text} [{value.low:.3g}, {value.high:.3g}]" if value.bounded else text


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
